/* Creates the SSL_CTXs (see server_tls_set.h) and chooses between them. All of a set have the same rules, so
 * that nothing but the certificate depends on the name that a client asks for.
 */
#include "base/py.h"

#include "net/server_tls_set.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* The default ciphers of TLS 1.2: those with forward secrecy and authenticated encryption. All cipher
 * suites of TLS 1.3 have both. */
static const char default_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

/* Raises ValueError("TLS: <why>"). Returns -1. */
static int
tls_raise(const char *why)
{
    PyErr_Format(PyExc_ValueError, "TLS: %s", why);
    ERR_clear_error();
    return -1;
}

/* ---- What connections ask ------------------------------------------------------------------ */

/* The protocols in order of preference; HTTP/2, the first, is left out unless it is wanted. */
static const unsigned char protocols[] = "\x02h2\x08http/1.1\x08http/1.0";
enum { ALPN_H2 = 3 }; /* bytes of "\x02h2" */

/* Selects a protocol. A client that offers only others is refused (RFC 7301 section 3.2). For a client that
 * offers none this isn't called. `data` is where ours begin in `protocols`. */
static int
tls_on_alpn(SSL *Py_UNUSED(ssl), const unsigned char **out, unsigned char *out_len,
            const unsigned char *offer, unsigned int offer_len, void *data)
{
    const unsigned char *ours = data;
    size_t len = (size_t)(protocols + sizeof protocols - 1 - ours);
    int found = SSL_select_next_proto((unsigned char **)out, out_len, ours,
                                      (unsigned)len, offer, offer_len);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK
                                           : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Chooses the certificate. A client that asks for a name that none has gets the first, and decides itself
 * what that is worth. */
static int
tls_on_name(SSL *ssl, int *Py_UNUSED(alert), void *data)
{
    const SecureSet *set = data;
    const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    int found = host == NULL ? -1 : secure_names_find(&set->names, host);
    if (found < 0) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    return SSL_set_SSL_CTX(ssl, set->contexts[found]) == NULL
               ? SSL_TLSEXT_ERR_ALERT_FATAL
               : SSL_TLSEXT_ERR_OK;
}

/* Encrypts and decrypts tickets. Only contexts of a set that has tickets call this. */
static int
tls_on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
              EVP_MAC_CTX *mac, int writing)
{
    const SecureSet *set = SSL_get_app_data(ssl);
    return secure_tickets_use(set->tickets, name, iv, cipher, mac, writing != 0);
}

/* What the authority says of the certificate, for a client that asks. */
static int
tls_on_status(SSL *ssl, void *Py_UNUSED(data))
{
    const SecureSet *set = SSL_get_app_data(ssl);
    const X509 *cert = SSL_get_certificate(ssl);
    for (unsigned i = 0; i < set->nstaples; i++) {
        if (set->staples[i].cert == cert) {
            return secure_staple_give(&set->staples[i], ssl);
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* Where certificates are optional, a bad one doesn't end the handshake. The app finds the error in the
 * facts of the connection, see server_tls_facts.c. */
static int
tls_on_verify(int Py_UNUSED(good), X509_STORE_CTX *Py_UNUSED(store))
{
    return 1;
}

/* ---- One context --------------------------------------------------------------------------- */

/* Binds sessions to the rules for clients' certificates. Resumption skips the verification, so new rules, such as
 * a renewed list of revoked certificates, must make older sessions invalid. */
static bool
tls_set_session_context(SSL_CTX *ctx, const SecureRules *rules)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    const size_t sizes[] = {rules->cas.text.len, rules->crl.text.len};
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool made = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1
                && EVP_DigestUpdate(md, &rules->verify, sizeof rules->verify) == 1
                && EVP_DigestUpdate(md, sizes, sizeof sizes) == 1
                && EVP_DigestUpdate(md, rules->cas.text.ptr, sizes[0]) == 1
                && EVP_DigestUpdate(md, rules->crl.text.ptr, sizes[1]) == 1
                && EVP_DigestFinal_ex(md, id, &len) == 1;
    EVP_MD_CTX_free(md);
    return made && SSL_CTX_set_session_id_context(ctx, id, len) == 1;
}

/* Sets protocol versions, options and ciphers. Sessions are kept in tickets by the client; the server
 * stores none. */
static int
tls_set_protocol(SSL_CTX *ctx, const SecureRules *rules)
{
    const char *ciphers = rules->ciphers == NULL ? default_ciphers : rules->ciphers;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* An idle connection then keeps no buffers, which saves 34 KiB. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, tls_on_alpn,
                               (void *)(protocols + (rules->http2 ? 0 : ALPN_H2)));
    ERR_clear_error();
    if (SSL_CTX_set_min_proto_version(ctx, rules->least) != 1
        || !tls_set_session_context(ctx, rules)) {
        return tls_raise("the context can't be set up");
    }
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
        PyErr_Format(PyExc_ValueError, "'%s' names no cipher of TLS 1.2", ciphers);
        ERR_clear_error();
        return -1;
    }
    return 0;
}

/* Whether sessions may be resumed, and for how long. */
static void
tls_set_tickets(SSL_CTX *ctx, const SecureTickets *tickets)
{
    if (tickets == NULL) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        (void)SSL_CTX_set_num_tickets(ctx,
                                      0); /* TLS 1.3 has others, for stored sessions */
        return;
    }
    (void)SSL_CTX_set_timeout(ctx, tickets->lifetime);
    (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tls_on_ticket);
}

/* What is asked of clients. `first` has read the authorities already, or is NULL. */
static int
tls_set_verification(SSL_CTX *ctx, const SecureRules *rules, SSL_CTX *first)
{
    if (first != NULL) {
        SSL_CTX_set1_cert_store(ctx, SSL_CTX_get_cert_store(first));
        SSL_CTX_set_client_CA_list(ctx,
                                   SSL_dup_CA_list(SSL_CTX_get_client_CA_list(first)));
    } else if ((rules->cas.name != NULL
                && secure_load_authorities(ctx, &rules->cas) < 0)
               || (rules->crl.name != NULL
                   && secure_load_revoked(ctx, &rules->crl) < 0)) {
        return -1;
    }
    switch ((SecureVerify)rules->verify) {
    case SECURE_VERIFY_NONE:
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        break;
    case SECURE_VERIFY_OPTIONAL:
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, tls_on_verify);
        break;
    case SECURE_VERIFY_REQUIRED:
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           NULL);
        break;
    }
    return 0;
}

/* A context without a certificate; NULL with an exception set. */
static SSL_CTX *
tls_make_context(const SecureSet *set, const SecureRules *rules)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        (void)tls_raise("OpenSSL can't be set up");
        return NULL;
    }
    SSL_CTX *first = set->ncontexts == 0 ? NULL : set->contexts[0];
    if (tls_set_protocol(ctx, rules) < 0
        || tls_set_verification(ctx, rules, first) < 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    tls_set_tickets(ctx, set->tickets);
    (void)SSL_CTX_set_tlsext_status_cb(ctx, tls_on_status);
    (void)SSL_CTX_set_tlsext_servername_callback(ctx, tls_on_name);
    (void)SSL_CTX_set_tlsext_servername_arg(ctx, (void *)set);
    return ctx;
}

/* ---- The set ------------------------------------------------------------------------------- */

SecureSet *
secure_set_new(SecureTickets *tickets)
{
    SecureSet *set = PyMem_RawCalloc(1, sizeof(*set));
    if (set != NULL) {
        set->refs = 1;
        set->tickets = tickets == NULL ? NULL : secure_tickets_ref(tickets);
    }
    return set;
}

/* The names in the certificate as they are encoded (borrowed from it); NULL for none. */
static const ASN1_OCTET_STRING *
names_encoded(X509 *cert)
{
    int at = X509_get_ext_by_NID(cert, NID_subject_alt_name, -1);
    return at < 0 ? NULL : X509_EXTENSION_get_data(X509_get_ext(cert, at));
}

/* Whether both are for the same names, with keys of different kinds: clients then get the one that they
 * understand. */
static bool
certs_are_one(X509 *a, X509 *b)
{
    const ASN1_OCTET_STRING *x = names_encoded(a), *y = names_encoded(b);
    return x != NULL && y != NULL && ASN1_OCTET_STRING_cmp(x, y) == 0
           && EVP_PKEY_get_base_id(X509_get0_pubkey(a))
                  != EVP_PKEY_get_base_id(X509_get0_pubkey(b));
}

/* The context that is for the same names as `added`, with keys of other kinds; NULL for none. */
static SSL_CTX *
tls_find_sibling(const SecureSet *set, X509 *added)
{
    for (unsigned i = 0; i < set->ncontexts; i++) {
        bool more = SSL_CTX_set_current_cert(set->contexts[i], SSL_CERT_SET_FIRST) == 1;
        bool one = more;
        while (one && more) {
            one = certs_are_one(SSL_CTX_get0_certificate(set->contexts[i]), added);
            more = SSL_CTX_set_current_cert(set->contexts[i], SSL_CERT_SET_NEXT) == 1;
        }
        if (one) {
            return set->contexts[i];
        }
    }
    return NULL;
}

/* Adds `ctx` (stolen) as the one for its certificate's names. 0, or -1 with an exception set. */
static int
tls_append(SecureSet *set, SSL_CTX *ctx)
{
    SSL_CTX **grown =
        PyMem_RawRealloc(set->contexts, (set->ncontexts + 1) * sizeof(SSL_CTX *));
    if (grown == NULL) {
        SSL_CTX_free(ctx);
        PyErr_NoMemory();
        return -1;
    }
    set->contexts = grown;
    set->contexts[set->ncontexts++] = ctx;
    X509 *cert = SSL_CTX_get0_certificate(ctx); /* borrowed */
    if (secure_names_add(&set->names, cert, set->ncontexts - 1) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int
tls_add_staple(SecureSet *set, const SecureFile *file, X509 *cert)
{
    SecureStaple *grown =
        PyMem_RawRealloc(set->staples, (set->nstaples + 1) * sizeof(SecureStaple));
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    set->staples = grown;
    if (secure_staple_read(&grown[set->nstaples], file, cert) < 0) {
        return -1;
    }
    set->nstaples++;
    return 0;
}

int
secure_set_add(SecureSet *set, const SecureRules *rules, const SecurePair *pair)
{
    SSL_CTX *ctx = tls_make_context(set, rules);
    if (ctx == NULL
        || secure_load_pair(ctx, &pair->cert, &pair->key, rules->password) < 0) {
        SSL_CTX_free(ctx);
        return -1;
    }
    SSL_CTX *sibling = tls_find_sibling(set, SSL_CTX_get0_certificate(ctx));
    if (sibling == NULL) {
        if (tls_append(set, ctx) < 0) {
            return -1;
        }
    } else {
        SSL_CTX_free(ctx);
        ctx = sibling;
        if (secure_load_pair(ctx, &pair->cert, &pair->key, rules->password) < 0) {
            return -1;
        }
    }
    return pair->ocsp.name == NULL
               ? 0
               : tls_add_staple(set, &pair->ocsp, SSL_CTX_get0_certificate(ctx));
}

void
secure_set_seal(SecureSet *set)
{
    secure_names_sort(&set->names);
}

SecureSet *
secure_set_ref(SecureSet *set)
{
    set->refs++;
    return set;
}

void
secure_set_unref(SecureSet *set)
{
    if (set == NULL || --set->refs != 0) {
        return;
    }
    for (unsigned i = 0; i < set->ncontexts; i++) {
        SSL_CTX_free(set->contexts[i]);
    }
    PyMem_RawFree(set->contexts);
    for (unsigned i = 0; i < set->nstaples; i++) {
        secure_staple_free(&set->staples[i]);
    }
    PyMem_RawFree(set->staples);
    secure_names_free(&set->names);
    secure_tickets_unref(set->tickets);
    PyMem_RawFree(set);
}

SSL *
secure_set_connection(const SecureSet *set)
{
    SSL *ssl = SSL_new(set->contexts[0]);
    if (ssl != NULL && SSL_set_app_data(ssl, (void *)set) != 1) {
        SSL_free(ssl); /* what it asks for later would find no set */
        return NULL;
    }
    return ssl;
}
