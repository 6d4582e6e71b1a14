/* The keys of session tickets (RFC 5077, RFC 8446 section 4.6.1), which change as time passes. Every key is
 * derived from one secret. At each change the secret is replaced by its hash. Processes that were forked from one
 * thus agree on the keys without messages, and a stolen secret doesn't reveal older traffic. See ADR 27.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_NET_SERVER_TLS_TICKETS_H
#define FLUVIAL_NET_SERVER_TLS_TICKETS_H

#include "base/py.h"
#include "base/slice.h"

#include <openssl/types.h>

enum {
    SECURE_TICKET_SECRET = 32,     /* bytes */
    SECURE_TICKET_NAME = 16,       /* the same; RFC 5077 section 4 */
    SECURE_TICKET_PERIOD_MIN = 60, /* seconds */
};

typedef struct SecureTicketKey {
    unsigned char name
        [SECURE_TICKET_SECRET]; /* of which the ticket has SECURE_TICKET_NAME bytes */
    unsigned char cipher[SECURE_TICKET_SECRET], mac[SECURE_TICKET_SECRET];
} SecureTicketKey;

typedef struct SecureTickets {
    unsigned refs;
    long lifetime; /* seconds for which a session may be resumed */
    uint64_t
        started; /* nanoseconds of the monotonic clock: when the first key began to count */
    uint64_t changes; /* how often the keys have changed since */
    unsigned char secret[SECURE_TICKET_SECRET];
    SecureTicketKey now, before; /* the first writes tickets; both read them */
    bool has_before;
} SecureTickets;

/* With one reference; NULL with an exception set. */
SecureTickets *secure_tickets_new(long lifetime);
/* The same with the keys of another process of this machine, whose `state` is that of secure_tickets_state(); with
 * another lifetime new keys begin, and those are still read. Returns false when it is none. */
bool secure_tickets_continue(SecureTickets *tickets, Slice state);
/* What another process needs, as of now. It is secret. */
enum { SECURE_TICKET_STATE = 256 }; /* bytes */
void secure_tickets_state(SecureTickets *tickets,
                          unsigned char out[SECURE_TICKET_STATE]);
SecureTickets *secure_tickets_ref(SecureTickets *tickets); /* returns `tickets` */
void secure_tickets_unref(SecureTickets *tickets);         /* may be NULL */

/* Changes the keys as often as is due at `now`, in nanoseconds of the monotonic clock. */
void secure_tickets_advance(SecureTickets *tickets, uint64_t now);

/* Sets up how a ticket is encrypted (`writing`) or decrypted. As OpenSSL's callback: 1; 2 for a ticket that is
 * to be replaced by a new one; 0 for one of other keys; -1 when that failed. */
int secure_tickets_use(SecureTickets *tickets, unsigned char *name, unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool writing);

#endif
