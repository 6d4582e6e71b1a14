/* Which certificate is for which server name: the DNS names in certificates' subjectAltName (RFC 9525; a
 * name in the subject counts for nothing). "*" stands for one label, the leftmost.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_NET_SERVER_TLS_NAMES_H
#define FLUVIAL_NET_SERVER_TLS_NAMES_H

#include "base/py.h"
#include "base/slice.h"

#include <openssl/types.h>

typedef struct SecureName {
    char *text; /* owned, in lower case; NUL-terminated */
    size_t len;
    unsigned index; /* which certificate has the name */
} SecureName;

/* All zero is empty. */
typedef struct SecureNames {
    SecureName *entries; /* owned; in order once secure_names_sort was called */
    size_t n;
} SecureNames;

/* Adds the names of a certificate, whose number is `index`. 0; -1 when out of memory. */
int secure_names_add(SecureNames *names, X509 *cert, unsigned index);
void secure_names_sort(SecureNames *names);
void secure_names_free(SecureNames *names);

/* The number of the certificate for a host, or -1. A certificate that has the very name comes before one with
 * a wildcard, otherwise the one with the smaller number. Case doesn't matter, nor does a dot at the end. */
int secure_names_find(const SecureNames *names, const char *host);

#endif
