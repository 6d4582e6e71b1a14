/* What a server's TLS is set up with: its certificates, with one SSL_CTX for each, of which a connection gets
 * the one for the server name that the client asks for (SNI, RFC 6066 section 3). A set isn't changed once it
 * is made: a server whose files have changed gets another one for its next connections, while those that are
 * open keep theirs. See ADR 27.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_NET_SERVER_TLS_SET_H
#define FLUVIAL_NET_SERVER_TLS_SET_H

#include "base/py.h"
#include "net/server_tls_files.h"
#include "net/server_tls_names.h"
#include "net/server_tls_staple.h"
#include "net/server_tls_tickets.h"

/* Whether clients are asked for certificates; the numbers are those of Python's ssl.CERT_*. */
typedef enum SecureVerify {
    SECURE_VERIFY_NONE,
    SECURE_VERIFY_OPTIONAL, /* the app can see whether one that is sent is valid */
    SECURE_VERIFY_REQUIRED,
} SecureVerify;

/* What holds for all certificates of a set; all borrowed. */
typedef struct SecureRules {
    SecureFile cas;       /* authorities for clients' certificates; may be none */
    SecureFile crl;       /* the same, of revoked certificates */
    const char *password; /* of the keys; NULL: none */
    const char *ciphers;  /* of TLS 1.2; NULL: the default */
    int verify;           /* SecureVerify */
    int least;            /* TLS1_2_VERSION or TLS1_3_VERSION */
    int http2;            /* whether ALPN may choose HTTP/2 */
} SecureRules;

typedef struct SecureSet {
    unsigned refs;
    SSL_CTX **
        contexts; /* owned, and each a reference; the first is for clients without a name that we know */
    unsigned ncontexts;
    SecureStaple *staples; /* owned */
    unsigned nstaples;
    SecureNames names;      /* owned; the indices are those of `contexts` */
    SecureTickets *tickets; /* owned: a reference; NULL: sessions can't be resumed */
} SecureSet;

/* An empty set with one reference, which takes another one to `tickets`; NULL when out of memory. */
SecureSet *secure_set_new(SecureTickets *tickets);
/* The files of one certificate. */
typedef struct SecurePair {
    SecureFile cert, key;
    SecureFile ocsp; /* may be none */
} SecurePair;

/* Adds a certificate and its key. 0, or -1 with an exception set. */
int secure_set_add(SecureSet *set, const SecureRules *rules, const SecurePair *pair);
/* Call it when all were added. */
void secure_set_seal(SecureSet *set);

SecureSet *secure_set_ref(SecureSet *set); /* returns `set` */
void secure_set_unref(SecureSet *set);     /* may be NULL */

/* The TLS of a new connection; NULL when out of memory. `set` must outlive its handshake. */
SSL *secure_set_connection(const SecureSet *set);

#endif
