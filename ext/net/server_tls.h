/* `_core.SecureContext`: the configuration of the server's own TLS: certificate, key, the authorities
 * for clients' certificates, ciphers. It is read from files once, before workers are started, so that
 * all of them have the same keys for session tickets. See ADR 14. (TLS for asyncio is separate, see
 * asyncio_tls.h.)
 * Thread: any, with the GIL; it isn't changed after it is created.
 */
#ifndef FLUVIAL_NET_SERVER_TLS_H
#define FLUVIAL_NET_SERVER_TLS_H

#include "base/py.h"
#include "net/net_state.h"

#include <openssl/types.h>

/* Whether clients are asked for certificates; the numbers are those of Python's ssl.CERT_*. */
typedef enum SecureVerify {
    SECURE_VERIFY_NONE,
    SECURE_VERIFY_OPTIONAL, /* the app is told whether one that is sent is valid */
    SECURE_VERIFY_REQUIRED,
} SecureVerify;

/* OpenSSL's context in `obj` (borrowed) if that is a SecureContext; otherwise NULL with TypeError set.
 * The result is borrowed from `obj`; a caller that keeps it calls SSL_CTX_up_ref. */
SSL_CTX *secure_context_of(const NetState *st, PyObject *obj);

/* Creates NetState.secure_type and adds it to the module. 0, or -1 with an exception set. */
int secure_setup(PyObject *module, NetState *st);

#endif
