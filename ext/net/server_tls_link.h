/* TLS of one of the server's connections, without its socket: records in, plain bytes out, and the other
 * way round. Records to be sent gather in SecureHost.out. The layer above must pass them to the kernel
 * right after each call that may add some, so that the buffer is empty between two calls.
 *
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_NET_SERVER_TLS_LINK_H
#define FLUVIAL_NET_SERVER_TLS_LINK_H

#include "base/py.h"
#include "base/buf.h"
#include "base/slice.h"
#include "net/server_tls_set.h"

#include <openssl/bio.h>

enum { SECURE_RECORD = 16 * 1024 }; /* bytes of plaintext in one record, at most */

/* Shared by all connections of a server. */
typedef struct SecureHost {
    SecureSet *set;             /* owned: a reference; for new connections */
    BIO_METHOD *method;         /* owned */
    Buf out;                    /* owned: records on their way to the kernel */
    char record[SECURE_RECORD]; /* for joining the small pieces of one write */
} SecureHost;

typedef struct SecureLink {
    SSL *ssl;           /* owned */
    SecureSet *set;     /* owned: a reference */
    SecureHost *host;   /* borrowed; outlives its links */
    Slice in;           /* borrowed during secure_link_read: records not read yet */
    PyObject *facts;    /* owned dict, or NULL: see server_tls_facts.h */
    const char *reason; /* static: why it failed */
    uint64_t plain;     /* bytes passed to secure_link_write */
    uint64_t sealed;    /* bytes of all records produced, including TLS's own */
    size_t unasked;     /* bytes of TLS's own records while the peer reads nothing */
    bool begun;         /* bytes have arrived */
    bool ready;         /* the handshake is complete */
    bool shut;          /* close_notify was produced */
} SecureLink;

typedef enum SecureStep {
    SECURE_MORE,   /* the peer will send more */
    SECURE_ENDED,  /* the peer has sent close_notify */
    SECURE_FAILED, /* see SecureLink.reason; an alert may have been produced */
} SecureStep;

/* Takes a reference to `set`. NULL when out of memory. */
SecureHost *secure_host_new(SecureSet *set);
/* New connections have `set` from now on; takes a reference. */
void secure_host_renew(SecureHost *host, SecureSet *set);
void secure_host_free(SecureHost *host); /* may be NULL */

/* A link for one connection, before its handshake. NULL when out of memory. */
SecureLink *secure_link_new(SecureHost *host);
void secure_link_free(SecureLink *link); /* may be NULL */

/* Reads all of the bytes that have arrived; they may begin or end inside a record. Writes the resulting
 * plain bytes to `plain` and their number to `*got`. `plain` must have room for SECURE_RECORD bytes
 * more than `records` has. It may overlap `records` if it begins more than SECURE_RECORD bytes before
 * them: then no unread byte is overwritten. */
SecureStep secure_link_read(SecureLink *link, Slice records, char *plain, size_t *got);

/* Puts plain bytes into as few records as possible. 0; UV_EPROTO; UV_ENOMEM. */
int secure_link_write(SecureLink *link, Slice plain);

/* Produces close_notify, once, if the handshake is complete. */
void secure_link_shut(SecureLink *link);

#endif
