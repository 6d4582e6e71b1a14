/* See server_tls_staple.h. Clients verify the response. The only check here is that it is about this certificate,
 * since another one's is an operator's mistake.
 */
#include "base/py.h"

#include "net/server_tls_staple.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>

/* What `basic` says of the certificate with this number; borrowed, NULL for nothing. */
static OCSP_SINGLERESP *
staple_find(OCSP_BASICRESP *basic, const ASN1_INTEGER *number)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *each = OCSP_resp_get0(basic, i);
        ASN1_INTEGER *serial = NULL;
        OCSP_CERTID *id = (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(each);
        if (OCSP_id_get0_info(NULL, NULL, NULL, &serial, id) == 1
            && ASN1_INTEGER_cmp(serial, number) == 0) {
            return each;
        }
    }
    return NULL;
}

/* When it is out of date; 0 for never. */
static time_t
staple_end(OCSP_SINGLERESP *single)
{
    ASN1_GENERALIZEDTIME *end = NULL;
    struct tm tm;
    (void)OCSP_single_get0_status(single, NULL, NULL, NULL, &end);
    return end != NULL && ASN1_TIME_to_tm(end, &tm) == 1 ? timegm(&tm) : 0;
}

/* Checks the response. 0, or -1 with ValueError set. */
static int
staple_check(SecureStaple *staple, const SecureFile *file, OCSP_RESPONSE *response)
{
    if (response == NULL) {
        return secure_file_raise(file, "there is no OCSP response in DER form");
    }
    int status = OCSP_response_status(response);
    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        return secure_file_raise(file, OCSP_response_status_str(status));
    }
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    OCSP_SINGLERESP *single =
        basic == NULL ? NULL : staple_find(basic, X509_get0_serialNumber(staple->cert));
    if (single != NULL) {
        staple->until = staple_end(single);
    }
    OCSP_BASICRESP_free(basic);
    ERR_clear_error();
    return single != NULL
               ? 0
               : secure_file_raise(file, "the response is about another certificate");
}

int
secure_staple_read(SecureStaple *staple, const SecureFile *file, X509 *cert)
{
    const unsigned char *at = (const unsigned char *)file->text.ptr;
    ERR_clear_error();
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)file->text.len);
    *staple = (SecureStaple){.cert = cert, .len = file->text.len};
    (void)X509_up_ref(cert);
    int err = staple_check(staple, file, response);
    OCSP_RESPONSE_free(response);
    if (err == 0 && (staple->text = PyMem_RawMalloc(staple->len)) == NULL) {
        PyErr_NoMemory();
        err = -1;
    }
    if (err < 0) {
        secure_staple_free(staple);
        return -1;
    }
    memcpy(staple->text, file->text.ptr, staple->len);
    return 0;
}

void
secure_staple_free(SecureStaple *staple)
{
    X509_free(staple->cert);
    PyMem_RawFree(staple->text);
    *staple = (SecureStaple){0};
}

int
secure_staple_give(const SecureStaple *staple, SSL *ssl)
{
    if (staple->until != 0 && time(NULL) >= staple->until) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    unsigned char *copy = OPENSSL_memdup(staple->text, staple->len);
    if (copy == NULL
        || SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple->len) != 1) {
        OPENSSL_free(copy);
        return SSL_TLSEXT_ERR_NOACK;
    }
    return SSL_TLSEXT_ERR_OK; /* `copy` is the connection's now */
}
