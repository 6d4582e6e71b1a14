/* Creates an SSL_CTX from files (see server_tls.h). Each step fails with a ValueError that names the
 * file and the reason. OpenSSL's error queue is emptied before each step and left empty after it,
 * because Python's ssl module shares it.
 */
#include "base/py.h"

#include "net/server_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

typedef struct SecureContext {
    PyObject_HEAD
    SSL_CTX *ctx; /* owned: a reference */
} SecureContext;

/* The default ciphers of TLS 1.2: those with forward secrecy and authenticated encryption. All cipher
 * suites of TLS 1.3 have both. */
static const char default_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

/* The constructor's arguments; all borrowed. */
typedef struct SecureArgs {
    const char *cert, *key; /* file names */
    const char *cas;        /* file name; NULL: none */
    const char *crl;        /* the same, of revoked certificates */
    const char *password;   /* NULL: none */
    const char *ciphers;    /* NULL: the default */
    int verify;             /* SecureVerify */
    int least;              /* TLS1_2_VERSION or TLS1_3_VERSION */
} SecureArgs;

/* ---- Errors ------------------------------------------------------------------------------- */

/* Raises ValueError("<file>: <why>"). Returns -1. */
static int
context_raise_for(const char *file, const char *why)
{
    PyObject *name = PyUnicode_DecodeFSDefault(file);
    if (name != NULL) {
        PyErr_Format(PyExc_ValueError, "%U: %s", name, why);
        Py_DECREF(name);
    }
    ERR_clear_error();
    return -1;
}

/* The same with the reason that OpenSSL gives. */
static int
context_raise_reason(const char *file)
{
    unsigned long code = ERR_peek_error(); /* the first is the cause of the others */
    const char *reason = ERR_reason_error_string(code);
    bool no_pem =
        ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
    return context_raise_for(file, no_pem ? "there is no certificate in PEM form"
                                   : reason == NULL ? "can't be used"
                                                    : reason);
}

/* The file, opened; NULL with ValueError set. The caller frees it. */
static BIO *
file_open(const char *file)
{
    ERR_clear_error();
    errno = 0;
    BIO *bio = BIO_new_file(file, "r");
    if (bio == NULL) {
        (void)context_raise_for(file, errno != 0 ? strerror(errno) : "can't be opened");
    }
    return bio;
}

static int
file_check_readable(const char *file)
{
    BIO *bio = file_open(file);
    if (bio == NULL) {
        return -1;
    }
    BIO_free(bio);
    return 0;
}

/* ---- Certificate and key ------------------------------------------------------------------ */

static int
context_load_certificate(SSL_CTX *ctx, const char *file)
{
    if (file_check_readable(file) < 0) {
        return -1;
    }
    ERR_clear_error();
    return SSL_CTX_use_certificate_chain_file(ctx, file) == 1
               ? 0
               : context_raise_reason(file);
}

typedef struct Password {
    const char *text; /* borrowed; NULL: none was given */
    bool asked;
} Password;

/* OpenSSL's callback for the password. Without it OpenSSL would ask on the terminal. */
static int
context_on_password(char *buf, int size, int Py_UNUSED(writing), void *data)
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

/* The key; NULL with ValueError set. The caller frees it. */
static EVP_PKEY *
key_read(const SecureArgs *args)
{
    BIO *bio = file_open(args->key);
    if (bio == NULL) {
        return NULL;
    }
    Password password = {.text = args->password};
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, context_on_password, &password);
    BIO_free(bio);
    if (key == NULL) {
        (void)context_raise_for(
            args->key, !password.asked ? "there is no private key in PEM form"
                       : args->password == NULL
                           ? "the private key is encrypted and no password was given"
                           : "the password for the private key is wrong");
    }
    ERR_clear_error();
    return key;
}

static int
context_load_key(SSL_CTX *ctx, const SecureArgs *args)
{
    EVP_PKEY *key = key_read(args);
    if (key == NULL) {
        return -1;
    }
    bool fits =
        SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    return fits ? 0
                : context_raise_for(args->key,
                                    "the private key does not match the certificate");
}

/* ---- Clients ------------------------------------------------------------------------------ */

/* Certificates are refused that the lists in the file name; a list of each authority that has signed one
 * must be there. */
static int
context_load_revoked(SSL_CTX *ctx, const char *file)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx); /* borrowed */
    if (file_check_readable(file) < 0) {
        return -1;
    }
    ERR_clear_error();
    X509_LOOKUP *lookup =
        X509_STORE_add_lookup(store, X509_LOOKUP_file()); /* borrowed */
    if (lookup == NULL || X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) < 1) {
        return context_raise_for(
            file, "there is no list of revoked certificates in PEM form");
    }
    unsigned long flags = X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    (void)X509_STORE_set_flags(store, flags);
    return 0;
}

/* Where certificates are optional, a bad one doesn't end the handshake: the app is told what is wrong with
 * it, see server_tls_facts.c. */
static int
context_on_verify(int Py_UNUSED(good), X509_STORE_CTX *Py_UNUSED(store))
{
    return 1;
}

static int
context_load_authorities(SSL_CTX *ctx, const SecureArgs *args)
{
    if (args->cas != NULL) {
        if (file_check_readable(args->cas) < 0) {
            return -1;
        }
        ERR_clear_error();
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(args->cas);
        if (names == NULL || SSL_CTX_load_verify_file(ctx, args->cas) != 1) {
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            return context_raise_reason(args->cas);
        }
        SSL_CTX_set_client_CA_list(ctx, names); /* takes it */
    }
    if (args->crl != NULL && context_load_revoked(ctx, args->crl) < 0) {
        return -1;
    }
    switch ((SecureVerify)args->verify) {
    case SECURE_VERIFY_NONE:
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        break;
    case SECURE_VERIFY_OPTIONAL:
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, context_on_verify);
        break;
    case SECURE_VERIFY_REQUIRED:
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           NULL);
        break;
    }
    return 0;
}

/* Selects HTTP/1.1. A client that offers only other protocols is refused (RFC 7301 section 3.2). For a
 * client that offers none this isn't called. */
static int
context_on_alpn(SSL *Py_UNUSED(ssl), const unsigned char **out, unsigned char *out_len,
                const unsigned char *offer, unsigned int offer_len,
                void *Py_UNUSED(data))
{
    static const unsigned char ours[] = "\x08http/1.1\x08http/1.0";
    int found = SSL_select_next_proto((unsigned char **)out, out_len, ours,
                                      sizeof ours - 1, offer, offer_len);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK
                                           : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- The context -------------------------------------------------------------------------- */

/* Sets protocol versions, options and ciphers. Sessions are kept in tickets by the client; the server
 * stores none. */
static int
context_set_protocol(SSL_CTX *ctx, const SecureArgs *args)
{
    static const unsigned char id[] = "fluvial";
    const char *ciphers = args->ciphers == NULL ? default_ciphers : args->ciphers;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* An idle connection then keeps no buffers, which saves 34 KiB. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, context_on_alpn, NULL);
    ERR_clear_error();
    if (SSL_CTX_set_min_proto_version(ctx, args->least) != 1
        || SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1) != 1) {
        return context_raise_for("TLS", "the context can't be set up");
    }
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
        PyErr_Format(PyExc_ValueError, "'%s' names no cipher of TLS 1.2", ciphers);
        ERR_clear_error();
        return -1;
    }
    return 0;
}

static SSL_CTX *
context_make(const SecureArgs *args)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        (void)context_raise_for("TLS", "OpenSSL can't be set up");
        return NULL;
    }
    if (context_set_protocol(ctx, args) < 0
        || context_load_certificate(ctx, args->cert) < 0
        || context_load_key(ctx, args) < 0 || context_load_authorities(ctx, args) < 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* ---- The type ----------------------------------------------------------------------------- */

static PyObject *
context_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"certfile", "keyfile",         "password",
                                        "ca_certs", "verify",          "ciphers",
                                        "crl",      "minimum_version", NULL};
    PyObject *cert = NULL, *key = NULL, *cas = NULL, *crl = NULL; /* owned: bytes */
    PyObject *cas_name = Py_None, *crl_name = Py_None;            /* borrowed */
    SecureArgs a = {.verify = SECURE_VERIFY_NONE, .least = TLS1_2_VERSION};
    SecureContext *self = NULL;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O&O&|$zOizOi:SecureContext", (char **)names,
            PyUnicode_FSConverter, &cert, PyUnicode_FSConverter, &key, &a.password,
            &cas_name, &a.verify, &a.ciphers, &crl_name, &a.least)
        || (cas_name != Py_None && !PyUnicode_FSConverter(cas_name, &cas))
        || (crl_name != Py_None && !PyUnicode_FSConverter(crl_name, &crl))) {
        goto done;
    }
    if (a.verify < SECURE_VERIFY_NONE || a.verify > SECURE_VERIFY_REQUIRED) {
        PyErr_Format(PyExc_ValueError, "verify must be 0, 1 or 2, not %d", a.verify);
        goto done;
    }
    if (a.least != TLS1_2_VERSION && a.least != TLS1_3_VERSION) {
        PyErr_Format(PyExc_ValueError, "minimum_version must be 0x303 or 0x304, not %d",
                     a.least);
        goto done;
    }
    a.cert = PyBytes_AS_STRING(cert);
    a.key = PyBytes_AS_STRING(key);
    a.cas = cas == NULL ? NULL : PyBytes_AS_STRING(cas);
    a.crl = crl == NULL ? NULL : PyBytes_AS_STRING(crl);
    self = (SecureContext *)type->tp_alloc(type, 0);
    if (self != NULL && (self->ctx = context_make(&a)) == NULL) {
        Py_CLEAR(self);
    }
done:
    Py_XDECREF(cert);
    Py_XDECREF(key);
    Py_XDECREF(cas);
    Py_XDECREF(crl);
    return (PyObject *)self;
}

static int
context_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    return 0;
}

static void
context_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    SSL_CTX_free(((SecureContext *)op)->ctx);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot context_slots[] = {
    {Py_tp_doc, "Certificate, key and rules of a server's TLS."},
    {Py_tp_new, context_new},
    {Py_tp_traverse, context_traverse},
    {Py_tp_dealloc, context_dealloc},
    {0, NULL},
};

static PyType_Spec context_spec = {
    .name = "fluvial._core.SecureContext",
    .basicsize = sizeof(SecureContext),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = context_slots,
};

SSL_CTX *
secure_context_of(const NetState *st, PyObject *obj)
{
    if (!Py_IS_TYPE(obj, st->secure_type)) {
        PyErr_Format(PyExc_TypeError, "secure must be a SecureContext, not %R", obj);
        return NULL;
    }
    return ((SecureContext *)obj)->ctx;
}

int
secure_setup(PyObject *module, NetState *st)
{
    st->secure_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &context_spec, NULL);
    return st->secure_type == NULL ? -1 : PyModule_AddType(module, st->secure_type);
}
