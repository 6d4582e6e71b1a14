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
