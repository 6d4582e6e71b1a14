/* Reads certificates, keys and lists for the server's own TLS. What comes in are the contents of files that
 * Python has read, so that a file that changes meanwhile is never half of one thing and half of another.
 * Each function fails with a ValueError that names the file, the line where there is one, and the reason.
 * OpenSSL's error queue is emptied before each step and left empty after it, because Python's ssl module
 * shares it.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_NET_SERVER_TLS_FILES_H
#define FLUVIAL_NET_SERVER_TLS_FILES_H

#include "base/py.h"
#include "base/slice.h"

#include <openssl/types.h>

typedef struct SecureFile {
    const char
        *name; /* borrowed, UTF-8: what messages call it. NULL: there is no such file */
    Slice text; /* borrowed */
} SecureFile;

/* Raises ValueError("<file>: <why>"). Returns -1. */
int secure_file_raise(const SecureFile *file, const char *why);

/* The certificate at the beginning of the file, followed by its intermediates, and the key: `ctx` presents
 * them to clients. It may have certificates for keys of other kinds already. `password` may be NULL. 0 or
 * -1. */
int secure_load_pair(SSL_CTX *ctx, const SecureFile *cert, const SecureFile *key,
                     const char *password);

/* Clients' certificates must be signed by one of these authorities. Their names are sent to clients. 0 or -1. */
int secure_load_authorities(SSL_CTX *ctx, const SecureFile *file);

/* Clients' certificates are refused that these lists name; there must be a list of each authority that has
 * signed one. 0 or -1. */
int secure_load_revoked(SSL_CTX *ctx, const SecureFile *file);

#endif
