/* OpenSSL on memory instead of a socket (see server_tls_link.h). A BIO of our own reads the bytes that
 * have just arrived where they lie, and appends records to the host's buffer. OpenSSL's error queue
 * belongs to the thread, so it is emptied before each call and after a call that has failed.
 */
#include "base/py.h"

#include "net/server_tls_link.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <uv.h>

/* ---- The BIO ------------------------------------------------------------------------------ */

static int
on_bio_read(BIO *bio, char *to, size_t size, size_t *got)
{
    SecureLink *link = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (link->in.len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    size_t n = size < link->in.len ? size : link->in.len;
    memcpy(to, link->in.ptr, n);
    link->in = slice_of(link->in.ptr + n, link->in.len - n);
    *got = n;
    return 1;
}

static int
on_bio_write(BIO *bio, const char *from, size_t size, size_t *done)
{
    SecureLink *link = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (buf_append(&link->host->out, from, size) != 0) {
        return 0;
    }
    link->sealed += size;
    *done = size;
    return 1;
}

static long
on_bio_ctrl(BIO *Py_UNUSED(bio), int command, long Py_UNUSED(number),
            void *Py_UNUSED(data))
{
    return command
           == BIO_CTRL_FLUSH; /* succeeds with nothing to do; others aren't supported */
}

/* ---- The host ----------------------------------------------------------------------------- */

SecureHost *
secure_host_new(SecureSet *set)
{
    SecureHost *host = PyMem_RawCalloc(1, sizeof(*host));
    if (host == NULL) {
        return NULL;
    }
    host->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "fluvial");
    if (host->method == NULL) {
        PyMem_RawFree(host);
        return NULL;
    }
    (void)BIO_meth_set_read_ex(host->method, on_bio_read);
    (void)BIO_meth_set_write_ex(host->method, on_bio_write);
    (void)BIO_meth_set_ctrl(host->method, on_bio_ctrl);
    host->set = secure_set_ref(set);
    return host;
}

void
secure_host_renew(SecureHost *host, SecureSet *set)
{
    SecureSet *old = host->set;
    host->set = secure_set_ref(set);
    secure_set_unref(old);
}

void
secure_host_free(SecureHost *host)
{
    if (host != NULL) {
        secure_set_unref(host->set);
        BIO_meth_free(host->method);
        buf_free(&host->out);
        PyMem_RawFree(host);
    }
}

/* ---- The link ----------------------------------------------------------------------------- */

SecureLink *
secure_link_new(SecureHost *host)
{
    ERR_clear_error();
    SecureLink *link = PyMem_RawCalloc(1, sizeof(*link));
    SSL *ssl = link == NULL ? NULL : secure_set_connection(host->set);
    BIO *bio = ssl == NULL ? NULL : BIO_new(host->method);
    if (bio == NULL) {
        SSL_free(ssl);
        PyMem_RawFree(link);
        ERR_clear_error();
        return NULL;
    }
    link->ssl = ssl;
    link->set = secure_set_ref(host->set);
    link->host = host;
    BIO_set_data(bio, link);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio); /* steals one reference for both */
    SSL_set_accept_state(ssl);
    return link;
}

void
secure_link_free(SecureLink *link)
{
    if (link != NULL) {
        SSL_free(link->ssl);
        secure_set_unref(link->set);
        Py_CLEAR(link->facts);
        PyMem_RawFree(link);
    }
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* Notes why the last call failed. */
static SecureStep
link_failed(SecureLink *link)
{
    long verified = SSL_get_verify_result(link->ssl);
    bool refused = !link->ready && verified != X509_V_OK;
    const char *reason = refused ? X509_verify_cert_error_string(verified)
                                 : ERR_reason_error_string(ERR_peek_error());
    link->reason = reason == NULL ? "protocol error" : reason;
    ERR_clear_error();
    return SECURE_FAILED;
}

/* The result of a read that gave no bytes. */
static SecureStep
link_judge(SecureLink *link)
{
    switch (SSL_get_error(link->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return SECURE_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return SECURE_ENDED;
    default:
        /* After our own close_notify an error matters no more than an end. */
        return link->shut ? SECURE_ENDED : link_failed(link);
    }
}

SecureStep
secure_link_read(SecureLink *link, Slice records, char *plain, size_t *got)
{
    size_t room = SECURE_RECORD + records.len;
    size_t n;
    *got = 0;
    link->in = records;
    while (true) {
        ERR_clear_error();
        int ok = SSL_read_ex(link->ssl, plain + *got, room - *got, &n);
        link->ready = link->ready || SSL_is_init_finished(link->ssl);
        if (ok != 1) {
            break;
        }
        *got += n;
    }
    SecureStep step = link_judge(link);
    ERR_clear_error();
    assert(step != SECURE_MORE || link->in.len == 0);
    link->in = slice_of("", 0);
    return step;
}

/* ---- Writing ------------------------------------------------------------------------------ */

int
secure_link_write(SecureLink *link, Slice plain)
{
    size_t done = 0;
    if (plain.len == 0) {
        return 0;
    }
    size_t sealed = plain.len + (plain.len / SECURE_RECORD + 1) * 64;
    if (buf_reserve(&link->host->out, sealed) != 0) {
        return UV_ENOMEM;
    }
    ERR_clear_error();
    if (SSL_write_ex(link->ssl, plain.ptr, plain.len, &done) != 1) {
        ERR_clear_error();
        return UV_EPROTO;
    }
    assert(done == plain.len);
    link->plain += plain.len;
    return 0;
}

void
secure_link_shut(SecureLink *link)
{
    if (link->ready && !link->shut) {
        link->shut = true;
        ERR_clear_error();
        (void)SSL_shutdown(link->ssl);
        ERR_clear_error();
    }
}
