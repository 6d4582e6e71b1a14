/* `_core.SecureContext`: what the server's own TLS is set up with: certificate, key, the
 * authorities that clients' certificates are judged by, ciphers. Read from files once, before
 * workers are started, so that all of them have the same keys for session tickets. See ADR 14. (TLS
 * for asyncio is something else, see asyncio_tls.h.)
 * Thread: any, with the GIL; it isn't changed after it is made.
 */
#ifndef FLUVIAL_NET_SERVER_TLS_H
#define FLUVIAL_NET_SERVER_TLS_H

#include "base/py.h"
#include "net/net_state.h"

#include <openssl/types.h>

/* Whether clients are asked for certificates; the numbers are those of Python's ssl.CERT_*. */
typedef enum SecureVerify {
    SECURE_VERIFY_NONE,
    SECURE_VERIFY_OPTIONAL, /* what is given must be good */
    SECURE_VERIFY_REQUIRED,
} SecureVerify;

/* OpenSSL's context in `obj` (borrowed) when that is a SecureContext; else NULL with TypeError
 * set. Borrowed from it: SSL_CTX_up_ref keeps it. */
SSL_CTX *secure_context_of(const NetState *st, PyObject *obj);

/* Creates NetState.secure_type and adds it to the module. 0, or -1 with an exception set. */
int secure_setup(PyObject *module, NetState *st);

#endif
