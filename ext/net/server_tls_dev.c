/* make_certificate(names, days) -> bytes: a new P-256 key, and a certificate of its own for it, in PEM form (see
 * server_tls_dev.h). `names` is OpenSSL's text of a subjectAltName.
 */
#include "base/py.h"

#include "net/server_tls_dev.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

enum { HOUR = 3600, DAY = 24 * HOUR };

static bool
dev_add_extension(X509 *cert, int nid, const char *text)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, text);
    bool added = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

/* Fills the certificate in and signs it. */
static bool
dev_fill(X509 *cert, EVP_PKEY *key, const char *names, int days)
{
    uint64_t number;
    X509_NAME *name = X509_get_subject_name(cert); /* borrowed */
    const unsigned char *text = (const unsigned char *)"Fluvial, for development";
    return RAND_bytes((unsigned char *)&number, sizeof number) == 1
           && ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), number >> 1) == 1
           && X509_set_version(cert, X509_VERSION_3) == 1
           && X509_gmtime_adj(X509_getm_notBefore(cert), -HOUR) != NULL
           && X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * DAY) != NULL
           && X509_set_pubkey(cert, key) == 1
           && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1
           && X509_set_issuer_name(cert, name) == 1
           && dev_add_extension(cert, NID_basic_constraints, "critical,CA:FALSE")
           && dev_add_extension(cert, NID_ext_key_usage, "serverAuth")
           && dev_add_extension(cert, NID_subject_alt_name, names)
           && X509_sign(cert, key, EVP_sha256()) > 0;
}

static PyObject *
dev_make_certificate(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *names;
    int days;
    if (!PyArg_ParseTuple(args, "si:make_certificate", &names, &days)) {
        return NULL;
    }
    ERR_clear_error();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    PyObject *pem = NULL;
    if (key != NULL && cert != NULL && bio != NULL && dev_fill(cert, key, names, days)
        && PEM_write_bio_X509(bio, cert) == 1
        && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        char *text;
        long len = BIO_get_mem_data(bio, &text);
        pem = PyBytes_FromStringAndSize(text, len);
    } else {
        PyErr_Format(PyExc_ValueError, "no certificate can be made for %s", names);
    }
    BIO_free(bio);
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return pem;
}

static PyMethodDef dev_def[] = {
    {"make_certificate", dev_make_certificate, METH_VARARGS,
     "A certificate that signs itself, and its key."},
    {NULL, NULL, 0, NULL},
};

int
secure_dev_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, dev_def);
}
