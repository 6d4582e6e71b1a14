/* `_core.SecureContext`: the configuration of the server's own TLS: certificates, keys, the authorities
 * for clients' certificates, ciphers. `_core.SessionTickets`: keys
 * that contexts may share. See ADR 14. (TLS for asyncio is separate, see asyncio_tls.h.)
 * Thread: any, with the GIL; it isn't changed after it is created.
 */
#ifndef FLUVIAL_NET_SERVER_TLS_H
#define FLUVIAL_NET_SERVER_TLS_H

#include "base/py.h"
#include "net/net_state.h"
#include "net/server_tls_set.h"

/* The set in `obj` (borrowed) if that is a SecureContext; otherwise NULL with TypeError set. The result is
 * borrowed from `obj`; a caller that keeps it calls secure_set_ref. */
SecureSet *secure_context_of(const NetState *st, PyObject *obj);

/* Creates NetState.secure_type and adds it to the module. 0, or -1 with an exception set. */
int secure_setup(PyObject *module, NetState *st);

#endif
