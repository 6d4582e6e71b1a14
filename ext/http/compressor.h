/* Which responses a server compresses, and how their heads change: by the rules of http_server_compress, the
 * client's Accept-Encoding (RFC 9110 section 12.5.3) and what the response says of itself. coded.c does the
 * work (ADR 28). Encoders that are free are kept here, since opening one costs more than a small body.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_COMPRESSOR_H
#define FLUVIAL_HTTP_COMPRESSOR_H

#include "base/py.h"
#include "coding/encoder.h"
#include "http/request.h"
#include "http/response_fields.h"

typedef struct Compressor
    Compressor; /* what all compressed responses of a server share */

/* Which responses are compressed, and how (coded.h). */
typedef struct HttpCompression {
    Coding codings[CODINGS - 1]; /* the best one first */
    int levels[CODINGS - 1];
    unsigned n;     /* how many; 0 (the default): nothing is compressed */
    uint64_t least; /* bytes: a shorter body stays as it is */
    /* Content types, in lower case and separated by spaces: whole ones, a star for the subtype, or a star
     * followed by "+json" or the like. */
    Slice types;
} HttpCompression;
/* Before http_server_listen. 0 or UV_ENOMEM. */
int http_server_compress(HttpServer *server, const HttpCompression *rules);

/* http_server_free: no response is being written any more. May be NULL. */
void compressor_free(Compressor *self);

/* The one of `n` codings that the client prefers; among equals the first. CODING_NONE: none. */
Coding http_accepted_coding(const HttpRequest *req, const Coding *codings, unsigned n);

/* Decides what becomes of a response. `length`: bytes of its body; -1: not known. If it depends on
 * Accept-Encoding, `*head` gets other fields, valid until the next call. When there is no memory it stays
 * as it is. */
Coding compressor_change_head(HttpRequest *req, HttpHead *head, int64_t length);

/* An encoder for a body of `size` bytes (-1: not known), which the caller owns until it gives it back or closes
 * it. NULL when there is no memory. */
Encoder *compressor_take(Compressor *self, Coding coding, int64_t size);
void compressor_give(Compressor *self, Encoder *encoder);

/* Borrowed: for encoded bytes on their way out. Each user leaves it empty. */
Buf *compressor_scratch(Compressor *self);

#endif
