/* HMAC-SHA-256 makes everything of the secret: the keys, and the next secret (see server_tls_tickets.h).
 * Tickets are encrypted as RFC 5077 section 4 recommends: AES in CBC mode, with a MAC over all of it.
 */
#include "base/py.h"

#include "net/server_tls_tickets.h"

#include "base/slice.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <uv.h>

#define NS_PER_S 1000000000u

/* Writes SECURE_TICKET_SECRET bytes, which may replace the secret itself. */
static void
ticket_derive(const unsigned char *secret, Slice label, unsigned char *out)
{
    unsigned char made[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    (void)HMAC(EVP_sha256(), secret, SECURE_TICKET_SECRET,
               (const unsigned char *)label.ptr, label.len, made, &len);
    assert(len == SECURE_TICKET_SECRET);
    memcpy(out, made, SECURE_TICKET_SECRET);
    OPENSSL_cleanse(made, sizeof made);
}

static void
ticket_make_key(const SecureTickets *tickets, SecureTicketKey *key)
{
    ticket_derive(tickets->secret, SLICE("name"), key->name);
    ticket_derive(tickets->secret, SLICE("cipher"), key->cipher);
    ticket_derive(tickets->secret, SLICE("mac"), key->mac);
}

SecureTickets *
secure_tickets_new(long lifetime)
{
    SecureTickets *tickets = PyMem_RawCalloc(1, sizeof(*tickets));
    if (tickets == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (RAND_bytes(tickets->secret, sizeof tickets->secret) != 1) {
        ERR_clear_error();
        PyMem_RawFree(tickets);
        PyErr_SetString(PyExc_OSError, "the system has no random numbers");
        return NULL;
    }
    tickets->refs = 1;
    tickets->lifetime = lifetime;
    tickets->started = uv_hrtime();
    ticket_make_key(tickets, &tickets->now);
    return tickets;
}

/* ---- Another process' keys ------------------------------------------------------------------- */

/* How they are handed over: between processes of one machine and, perhaps, of two versions of Fluvial, which the
 * first bytes tell apart. */
typedef struct TicketState {
    char magic[16];
    uint64_t lifetime, started, changes, has_before;
    unsigned char secret[SECURE_TICKET_SECRET];
    SecureTicketKey before;
    unsigned char spare[80];
} TicketState;
static_assert(sizeof(TicketState) == SECURE_TICKET_STATE, "the sizes are the same");
static const char TICKET_MAGIC[16] = "fluvial keys 1";

void
secure_tickets_state(SecureTickets *tickets, unsigned char out[SECURE_TICKET_STATE])
{
    secure_tickets_advance(tickets, uv_hrtime());
    TicketState state = {
        .lifetime = (uint64_t)tickets->lifetime,
        .started = tickets->started,
        .changes = tickets->changes,
        .has_before = tickets->has_before,
        .before = tickets->before,
    };
    memcpy(state.magic, TICKET_MAGIC, sizeof state.magic);
    memcpy(state.secret, tickets->secret, sizeof state.secret);
    memcpy(out, &state, sizeof state);
    OPENSSL_cleanse(&state, sizeof state);
}

bool
secure_tickets_continue(SecureTickets *tickets, Slice bytes)
{
    TicketState state;
    if (bytes.len != sizeof state) {
        return false;
    }
    memcpy(&state, bytes.ptr, sizeof state);
    if (memcmp(state.magic, TICKET_MAGIC, sizeof state.magic) != 0
        || state.started > uv_hrtime()) {
        return false;
    }
    SecureTickets theirs = {.started = state.started, .changes = state.changes};
    memcpy(theirs.secret, state.secret, sizeof theirs.secret);
    ticket_make_key(&theirs, &theirs.now);
    if ((long)state.lifetime != tickets->lifetime) { /* they change at other times */
        tickets->before = theirs.now;
        tickets->has_before = true;
    } else {
        memcpy(tickets->secret, theirs.secret, sizeof tickets->secret);
        tickets->started = theirs.started;
        tickets->changes = theirs.changes;
        tickets->now = theirs.now;
        tickets->before = state.before;
        tickets->has_before = state.has_before != 0;
    }
    OPENSSL_cleanse(&theirs, sizeof theirs);
    OPENSSL_cleanse(&state, sizeof state);
    return true;
}

SecureTickets *
secure_tickets_ref(SecureTickets *tickets)
{
    tickets->refs++;
    return tickets;
}

void
secure_tickets_unref(SecureTickets *tickets)
{
    if (tickets != NULL && --tickets->refs == 0) {
        OPENSSL_cleanse(tickets, sizeof *tickets);
        PyMem_RawFree(tickets);
    }
}

void
secure_tickets_advance(SecureTickets *tickets, uint64_t now)
{
    long seconds = tickets->lifetime > SECURE_TICKET_PERIOD_MIN
                       ? tickets->lifetime
                       : SECURE_TICKET_PERIOD_MIN;
    uint64_t due = (now - tickets->started) / ((uint64_t)seconds * NS_PER_S);
    while (now > tickets->started && tickets->changes < due) {
        ticket_derive(tickets->secret, SLICE("next"), tickets->secret);
        tickets->changes++;
        if (tickets->changes + 1 >= due) { /* one of the last two */
            tickets->before = tickets->now;
            ticket_make_key(tickets, &tickets->now);
            tickets->has_before = true;
        }
    }
}

/* Whether the MAC and the cipher were set up. */
static bool
ticket_set_up(SecureTicketKey *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
              EVP_MAC_CTX *mac, bool writing)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac,
                                          sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1
           && EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv,
                                writing ? 1 : 0)
                  == 1;
}

int
secure_tickets_use(SecureTickets *tickets, unsigned char *name, unsigned char *iv,
                   EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool writing)
{
    secure_tickets_advance(tickets, uv_hrtime());
    SecureTicketKey *now = &tickets->now, *before = &tickets->before;
    if (writing) {
        int size = EVP_CIPHER_get_iv_length(EVP_aes_256_cbc());
        memcpy(name, now->name, SECURE_TICKET_NAME);
        return RAND_bytes(iv, size) == 1 && ticket_set_up(now, iv, cipher, mac, true)
                   ? 1
                   : -1;
    }
    if (CRYPTO_memcmp(name, now->name, SECURE_TICKET_NAME) == 0) {
        return ticket_set_up(now, iv, cipher, mac, false) ? 1 : -1;
    }
    if (!tickets->has_before
        || CRYPTO_memcmp(name, before->name, SECURE_TICKET_NAME) != 0) {
        return 0;
    }
    return ticket_set_up(before, iv, cipher, mac, false) ? 2 : -1;
}
