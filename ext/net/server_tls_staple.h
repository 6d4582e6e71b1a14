/* What an authority says of a certificate (OCSP, RFC 6960), passed on with it in the handshake, so that
 * clients need not ask (RFC 6066 section 8).
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_NET_SERVER_TLS_STAPLE_H
#define FLUVIAL_NET_SERVER_TLS_STAPLE_H

#include "base/py.h"
#include "net/server_tls_files.h"

#include <time.h>

typedef struct SecureStaple {
    X509 *cert;          /* owned: a reference */
    unsigned char *text; /* owned: the response in DER form */
    size_t len;
    time_t until; /* seconds since 1970: when it is out of date; 0: never */
} SecureStaple;

/* Reads the response about `cert` that the file has. 0, or -1 with ValueError set. */
int secure_staple_read(SecureStaple *staple, const SecureFile *file, X509 *cert);
void secure_staple_free(SecureStaple *staple);

/* Gives the response to a client that asks for it, unless it is out of date: a result of OpenSSL's callback. */
int secure_staple_give(const SecureStaple *staple, SSL *ssl);

#endif
