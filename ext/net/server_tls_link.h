/* TLS of one of the server's connections, apart from sockets: records in, plain bytes out, and the
 * other way round. What is to be sent gathers in the host's buffer, which is empty between two
 * calls of the layer above: whoever calls a function that may fill it hands it to the kernel next.
 *
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_NET_SERVER_TLS_LINK_H
#define FLUVIAL_NET_SERVER_TLS_LINK_H

#include "base/py.h"
#include "base/buf.h"
#include "base/slice.h"

#include <openssl/bio.h>

enum { SECURE_RECORD = 16 * 1024 }; /* bytes of plaintext in one record, at most */

/* What all connections of a server share. */
typedef struct SecureHost {
    SSL_CTX *ctx;               /* owned: a reference */
    BIO_METHOD *method;         /* owned */
    Buf out;                    /* owned: records on their way to the kernel */
    char record[SECURE_RECORD]; /* where small pieces of one write are put together */
} SecureHost;

typedef struct SecureLink {
    SSL *ssl;         /* owned */
    SecureHost *host; /* borrowed; outlives its links */
    Slice in;         /* borrowed during secure_link_read: records not looked at yet */
    PyObject *facts;  /* owned dict, or NULL: see server_tls_facts.h */
    const char *reason; /* static: why it failed */
    uint64_t plain;     /* bytes that were given to secure_link_write */
    uint64_t sealed; /* bytes of records made, those of the protocol itself included */
    size_t unasked;  /* bytes of the latter while the peer reads nothing */
    bool ready;      /* the handshake is complete */
    bool shut;       /* close_notify was made */
} SecureLink;

typedef enum SecureStep {
    SECURE_MORE,   /* the peer will send more */
    SECURE_ENDED,  /* it has sent close_notify */
    SECURE_FAILED, /* see SecureLink.reason; an alert may have been made */
} SecureStep;

/* Takes a reference to `ctx`. NULL when out of memory. */
SecureHost *secure_host_new(SSL_CTX *ctx);
void secure_host_free(SecureHost *host); /* may be NULL */

/* A connection's, before its handshake. NULL when out of memory. */
SecureLink *secure_link_new(SecureHost *host);
void secure_link_free(SecureLink *link); /* may be NULL */

/* Takes records that have arrived, all of them, also when they are parts of some; says in `got`
 * how many plain bytes came of them and all before. These are written to `plain`, which has room
 * for SECURE_RECORD bytes more than `records` has; it may be the memory before and under
 * `records`, when it begins more than SECURE_RECORD bytes earlier: nothing is written to where
 * something unread lies. */
SecureStep secure_link_read(SecureLink *link, Slice records, char *plain, size_t *got);

/* Makes records of plain bytes, as few as these fit in. 0; UV_EPROTO; UV_ENOMEM. */
int secure_link_write(SecureLink *link, Slice plain);

/* Makes close_notify, once and if there was a handshake. */
void secure_link_shut(SecureLink *link);

#endif
