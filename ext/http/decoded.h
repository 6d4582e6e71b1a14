/* Bodies of requests in a content coding (RFC 9110 section 8.4), which a server decodes if http_server_decode asks
 * for it. The layer above sees the body as it was before the coding, without Content-Encoding and Content-Length.
 *
 * Limits: HttpLimits.body and its like count decoded bytes. HttpLimits.decode_ratio is how many of them a byte
 * may stand for.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_DECODED_H
#define FLUVIAL_HTTP_DECODED_H

#include "base/py.h"
#include "base/slice.h"
#include "http/request.h"
#include "http/server_private.h"

typedef struct Decoded Decoded; /* HttpConn.decoded or H2Stream.decoded owns it */

/* The head is complete: sees whether the body has a coding, and sets `*out` if so. */
Fault decoded_begin(HttpRequest *req, Decoded **out);
/* Decodes a piece; `*out` is valid until the next call. */
Fault decoded_piece(Decoded *self, HttpRequest *req, Slice piece, Slice *out);
/* Whether the body has ended in the middle of its coding; an empty one has none. `self` may be NULL here and below. */
bool decoded_is_cut(const Decoded *self);
/* The exchange is over. */
void decoded_free(Decoded *self);

#endif
