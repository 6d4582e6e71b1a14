/* Converts OpenSSL's data about a connection to ASGI's (see server_tls_facts.h). Certificates are
 * converted to text once per connection. Each caller gets its own dict and list, which it may change.
 */
#include "base/py.h"

#include "net/server_tls_facts.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#define CHAIN "client_cert_chain"

/* The text in `bio` (stolen, may be NULL) as str. `written`: whether writing it succeeded. NULL with an
 * exception set. */
static PyObject *
facts_text_of(BIO *bio, bool written)
{
    char *text;
    PyObject *str = NULL;
    if (written) {
        long len = BIO_get_mem_data(bio, &text);
        str = PyUnicode_DecodeUTF8(text, len, "replace");
    } else {
        PyErr_NoMemory();
    }
    BIO_free(bio);
    ERR_clear_error();
    return str;
}

static PyObject *
pem_of(X509 *cert)
{
    ERR_clear_error();
    BIO *bio = BIO_new(BIO_s_mem());
    return facts_text_of(bio, bio != NULL && PEM_write_bio_X509(bio, cert) == 1);
}

/* The subject in the form of RFC 4514: the most specific part first. */
static PyObject *
facts_name_of(X509 *cert)
{
    const unsigned long flags = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
    ERR_clear_error();
    BIO *bio = BIO_new(BIO_s_mem());
    X509_NAME *name = X509_get_subject_name(cert);
    return facts_text_of(bio,
                         bio != NULL && X509_NAME_print_ex(bio, name, 0, flags) >= 0);
}

static int
facts_append(PyObject *list, X509 *cert)
{
    PyObject *pem = pem_of(cert);
    int err = pem == NULL ? -1 : PyList_Append(list, pem);
    Py_XDECREF(pem);
    return err;
}

/* The client's own certificate, followed by the others that it sent. A resumed session has only the
 * first. */
static PyObject *
chain_of(const SSL *ssl, X509 *own)
{
    STACK_OF(X509) *others = SSL_get_peer_cert_chain(ssl); /* borrowed; may be NULL */
    PyObject *list = PyList_New(0);
    int err = list == NULL ? -1 : own == NULL ? 0 : facts_append(list, own);
    for (int i = 0; err == 0 && own != NULL && i < sk_X509_num(others); i++) {
        err = facts_append(list, sk_X509_value(others, i));
    }
    if (err < 0) {
        Py_CLEAR(list);
    }
    return list;
}

static PyObject *
facts_new(const SSL *ssl)
{
    X509 *server = SSL_get_certificate(ssl);       /* borrowed */
    X509 *client = SSL_get1_peer_certificate(ssl); /* owned; NULL: none */
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    PyObject *cert = server == NULL ? Py_NewRef(Py_None) : pem_of(server);
    PyObject *chain = chain_of(ssl, client);
    long verified = client == NULL ? X509_V_OK : SSL_get_verify_result(ssl);
    bool named = client != NULL && verified == X509_V_OK;
    PyObject *name = named ? facts_name_of(client) : Py_NewRef(Py_None);
    X509_free(client);
    if (cert == NULL || chain == NULL || name == NULL) {
        Py_XDECREF(cert);
        Py_XDECREF(chain);
        Py_XDECREF(name);
        return NULL;
    }
    /* A certificate that wasn't verified may contain any name, so none is reported. */
    const char *error =
        verified == X509_V_OK ? NULL : X509_verify_cert_error_string(verified);
    return Py_BuildValue("{sN sN sN sz si si}", "server_cert", cert, CHAIN, chain,
                         "client_cert_name", name, "client_cert_error", error,
                         "tls_version", SSL_version(ssl), "cipher_suite",
                         cipher == NULL ? 0 : SSL_CIPHER_get_protocol_id(cipher));
}

PyObject *
secure_facts(SecureLink *link)
{
    if (link->facts == NULL && (link->facts = facts_new(link->ssl)) == NULL) {
        return NULL;
    }
    PyObject *kept = PyDict_GetItemString(link->facts, CHAIN); /* borrowed */
    PyObject *facts = PyDict_Copy(link->facts);
    PyObject *chain = kept == NULL ? NULL : PySequence_List(kept);
    if (facts != NULL
        && (chain == NULL || PyDict_SetItemString(facts, CHAIN, chain) < 0)) {
        Py_CLEAR(facts);
    }
    Py_XDECREF(chain);
    return facts;
}
