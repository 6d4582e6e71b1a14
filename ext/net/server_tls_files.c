/* From PEM to OpenSSL's objects (see server_tls_files.h). A BIO on the file's contents is read block by
 * block; how far it has been read when a block fails says which line that block begins in.
 */
#include "base/py.h"

#include "net/server_tls_files.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

/* ---- Errors ------------------------------------------------------------------------------- */

int
secure_file_raise(const SecureFile *file, const char *why)
{
    PyErr_Format(PyExc_ValueError, "%s: %s", file->name, why);
    ERR_clear_error();
    return -1;
}

/* The number, from 1, of the first or last line of `text` that has `mark`; 0 when none has. */
static int
text_line(Slice text, Slice mark, bool first)
{
    int line = 1, found = 0;
    for (size_t i = 0; i < text.len && !(first && found != 0); i++) {
        if (text.len - i >= mark.len && memcmp(text.ptr + i, mark.ptr, mark.len) == 0) {
            found = line;
        }
        line += text.ptr[i] == '\n';
    }
    return found;
}

/* Whether the last read failed because nothing more was there. */
static bool
pem_is_over(void)
{
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM
           && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

/* Raises "<file>:<line>: <OpenSSL's reason>" for the block that ended where `bio` has been read to. -1. */
static int
pem_raise(const SecureFile *file, BIO *bio)
{
    unsigned long code = ERR_peek_error(); /* the first is the cause of the others */
    const char *reason = ERR_reason_error_string(code);
    size_t read = file->text.len - (size_t)BIO_pending(bio);
    int line = text_line(slice_of(file->text.ptr, read), SLICE("-----BEGIN "), false);
    PyErr_Format(PyExc_ValueError, "%s:%d: %s", file->name, line,
                 reason == NULL ? "can't be used" : reason);
    ERR_clear_error();
    return -1;
}

/* The contents as a BIO, which the caller frees; NULL with an exception set. */
static BIO *
pem_open(const SecureFile *file)
{
    ERR_clear_error();
    if (file->text.len > INT_MAX) {
        (void)secure_file_raise(file, "is too large");
        return NULL;
    }
    BIO *bio = BIO_new_mem_buf(file->text.ptr, (int)file->text.len);
    if (bio == NULL) {
        PyErr_NoMemory();
    }
    return bio;
}

/* ---- Certificate and key ------------------------------------------------------------------ */

typedef struct Password {
    const char *text; /* borrowed; NULL: none was given */
    bool asked;
} Password;

/* OpenSSL's callback for the password. Without it OpenSSL would ask on the terminal. */
static int
pem_on_password(char *buf, int size, int Py_UNUSED(writing), void *data)
{
    Password *password = data;
    password->asked = true;
    size_t len = password->text == NULL ? 0 : strlen(password->text);
    if (password->text == NULL || len > (size_t)size) {
        return -1;
    }
    memcpy(buf, password->text, len);
    return (int)len;
}

/* Reads the certificates after the first one, for the chain of that. 0 or -1. */
static int
intermediates_read(SSL_CTX *ctx, const SecureFile *file, BIO *bio)
{
    Password none = {NULL, false};
    if (SSL_CTX_clear_chain_certs(ctx) != 1) {
        return pem_raise(file, bio);
    }
    while (true) {
        X509 *next = PEM_read_bio_X509(bio, NULL, pem_on_password, &none);
        if (next == NULL) {
            int err = pem_is_over() ? 0 : pem_raise(file, bio);
            ERR_clear_error();
            return err;
        }
        if (SSL_CTX_add0_chain_cert(ctx, next) != 1) { /* takes it, unless it fails */
            X509_free(next);
            return pem_raise(file, bio);
        }
    }
}

static int
chain_load(SSL_CTX *ctx, const SecureFile *file)
{
    Password none = {NULL, false};
    BIO *bio = pem_open(file);
    if (bio == NULL) {
        return -1;
    }
    int err = -1;
    X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, pem_on_password, &none);
    if (cert == NULL) {
        (void)(pem_is_over()
                   ? secure_file_raise(file, "there is no certificate in PEM form")
                   : pem_raise(file, bio));
    } else if (SSL_CTX_use_certificate(ctx, cert) != 1) {
        (void)pem_raise(file, bio);
    } else {
        err = intermediates_read(ctx, file, bio);
    }
    X509_free(cert);
    BIO_free(bio);
    return err;
}

/* OpenSSL reports only that no decoder accepts the key. Finds the real reason and raises it. */
static void
key_raise(const SecureFile *file, const char *password, bool asked)
{
    int line = text_line(file->text, SLICE("PRIVATE KEY-----"), true);
    if (asked) {
        (void)secure_file_raise(
            file, password == NULL
                      ? "the private key is encrypted and no password was given"
                      : "the password for the private key is wrong");
    } else if (line == 0) {
        (void)secure_file_raise(file, "there is no private key in PEM form");
    } else {
        PyErr_Format(PyExc_ValueError,
                     "%s:%d: the private key is damaged or of an unknown kind",
                     file->name, line);
    }
}

/* The key; NULL with ValueError set. The caller frees it. */
static EVP_PKEY *
key_read(const SecureFile *file, const char *text)
{
    Password password = {text, false};
    BIO *bio = pem_open(file);
    if (bio == NULL) {
        return NULL;
    }
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, pem_on_password, &password);
    if (key == NULL) {
        key_raise(file, text, password.asked);
    }
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

int
secure_load_pair(SSL_CTX *ctx, const SecureFile *cert, const SecureFile *key,
                 const char *password)
{
    if (chain_load(ctx, cert) < 0) {
        return -1;
    }
    EVP_PKEY *read = key_read(key, password);
    if (read == NULL) {
        return -1;
    }
    /* Compared first: OpenSSL would drop the certificate for a key that doesn't fit. */
    bool fits = X509_check_private_key(SSL_CTX_get0_certificate(ctx), read) == 1
                && SSL_CTX_use_PrivateKey(ctx, read) == 1;
    EVP_PKEY_free(read);
    ERR_clear_error();
    return fits ? 0
                : secure_file_raise(key,
                                    "the private key does not match the certificate");
}

/* ---- Clients ------------------------------------------------------------------------------ */

/* All blocks of the file; NULL with ValueError set. The caller frees them. */
static STACK_OF(X509_INFO) * infos_read(const SecureFile *file)
{
    Password none = {NULL, false};
    BIO *bio = pem_open(file);
    if (bio == NULL) {
        return NULL;
    }
    STACK_OF(X509_INFO) *infos =
        PEM_X509_INFO_read_bio(bio, NULL, pem_on_password, &none);
    if (infos == NULL) {
        (void)pem_raise(file, bio);
    }
    BIO_free(bio);
    return infos;
}

int
secure_load_authorities(SSL_CTX *ctx, const SecureFile *file)
{
    STACK_OF(X509_INFO) *infos = infos_read(file);
    if (infos == NULL) {
        return -1;
    }
    X509_STORE *store = SSL_CTX_get_cert_store(ctx); /* borrowed */
    int found = 0;
    bool good = true;
    for (int i = 0; good && i < sk_X509_INFO_num(infos); i++) {
        X509 *cert = sk_X509_INFO_value(infos, i)->x509; /* borrowed */
        good = cert == NULL
               || (X509_STORE_add_cert(store, cert) == 1
                   && SSL_CTX_add_client_CA(ctx, cert) == 1);
        found += cert != NULL;
    }
    sk_X509_INFO_pop_free(infos, X509_INFO_free);
    ERR_clear_error();
    return !good        ? secure_file_raise(file, "can't be used")
           : found == 0 ? secure_file_raise(file, "there is no certificate in PEM form")
                        : 0;
}

int
secure_load_revoked(SSL_CTX *ctx, const SecureFile *file)
{
    STACK_OF(X509_INFO) *infos = infos_read(file);
    if (infos == NULL) {
        return -1;
    }
    X509_STORE *store = SSL_CTX_get_cert_store(ctx); /* borrowed */
    int found = 0;
    for (int i = 0; i < sk_X509_INFO_num(infos); i++) {
        X509_CRL *crl = sk_X509_INFO_value(infos, i)->crl; /* borrowed */
        found += crl != NULL && X509_STORE_add_crl(store, crl) == 1;
    }
    sk_X509_INFO_pop_free(infos, X509_INFO_free);
    ERR_clear_error();
    if (found == 0) {
        return secure_file_raise(
            file, "there is no list of revoked certificates in PEM form");
    }
    unsigned long flags = X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    (void)X509_STORE_set_flags(store, flags);
    return 0;
}
