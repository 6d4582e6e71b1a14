/* A sorted list (see server_tls_names.h). A host is looked up twice at most: as it is, and with "*" for its
 * first label, since wildcards are kept as they are written.
 */
#include "base/py.h"

#include "net/server_tls_names.h"

#include <openssl/x509v3.h>
#include <stdlib.h>

enum { NAME_MAX_LEN = 255 }; /* bytes of a host's name, RFC 1035 section 2.3.4 */

static int
name_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int
name_sorts(const void *a, const void *b)
{
    const SecureName *x = a, *y = b;
    int order = name_compare(x->text, x->len, y->text, y->len);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

/* Whether it may be in a certificate: without a wildcard, or with one that is the whole first label and is
 * followed by two others at least, so that "*.com" stands for nothing. */
static bool
name_is_good(const char *text, size_t len)
{
    const char *star = memchr(text, '*', len);
    if (len == 0 || len > NAME_MAX_LEN || memchr(text, '\0', len) != NULL) {
        return false;
    }
    if (star == NULL) {
        return true;
    }
    return star == text && len > 2 && text[1] == '.'
           && memchr(text + 1, '*', len - 1) == NULL
           && memchr(text + 2, '.', len - 2) != NULL;
}

static int
names_append(SecureNames *names, const char *text, size_t len, unsigned index)
{
    SecureName *grown =
        PyMem_RawRealloc(names->entries, (names->n + 1) * sizeof(*grown));
    if (grown == NULL) {
        return -1;
    }
    names->entries = grown;
    char *copy = PyMem_RawMalloc(len + 1);
    if (copy == NULL) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        copy[i] = ascii_lower(text[i]);
    }
    copy[len] = '\0';
    names->entries[names->n++] = (SecureName){copy, len, index};
    return 0;
}

int
secure_names_add(SecureNames *names, X509 *cert, unsigned index)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int err = 0;
    for (int i = 0; err == 0 && i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *each = sk_GENERAL_NAME_value(all, i);
        if (each->type != GEN_DNS) {
            continue;
        }
        const char *text = (const char *)ASN1_STRING_get0_data(each->d.dNSName);
        size_t len = (size_t)ASN1_STRING_length(each->d.dNSName);
        if (name_is_good(text, len)) {
            err = names_append(names, text, len, index);
        }
    }
    GENERAL_NAMES_free(all); /* may be NULL */
    return err;
}

void
secure_names_sort(SecureNames *names)
{
    if (names->n > 1) {
        qsort(names->entries, names->n, sizeof(*names->entries), name_sorts);
    }
}

void
secure_names_free(SecureNames *names)
{
    for (size_t i = 0; i < names->n; i++) {
        PyMem_RawFree(names->entries[i].text);
    }
    PyMem_RawFree(names->entries);
    *names = (SecureNames){0};
}

/* The first entry with this text, or -1 for none. */
static int
names_look_up(const SecureNames *names, const char *text, size_t len)
{
    size_t from = 0, to = names->n;
    while (from < to) {
        size_t at = from + (to - from) / 2;
        const SecureName *each = &names->entries[at];
        if (name_compare(each->text, each->len, text, len) < 0) {
            from = at + 1;
        } else {
            to = at;
        }
    }
    bool found =
        from < names->n
        && name_compare(names->entries[from].text, names->entries[from].len, text, len)
               == 0;
    return found ? (int)names->entries[from].index : -1;
}

int
secure_names_find(const SecureNames *names, const char *host)
{
    char text[NAME_MAX_LEN + 1];
    size_t len = strlen(host);
    len -= len != 0 && host[len - 1] == '.';
    if (len == 0 || len > NAME_MAX_LEN) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        text[i] = ascii_lower(host[i]);
    }
    int found = names_look_up(names, text, len);
    const char *dot = memchr(text, '.', len);
    if (found >= 0 || dot == NULL || dot == text) {
        return found;
    }
    char *wild = text + (dot - text) - 1; /* one byte before the dot, for the star */
    *wild = '*';
    return names_look_up(names, wild, len - (size_t)(wild - text));
}
