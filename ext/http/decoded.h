/* Bodies of requests in a content coding (RFC 9110 section 8.4), which a server decodes if it is told to. What the
 * layer above sees is the body as it was before, without Content-Encoding and Content-Length.
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

typedef struct Decoded Decoded; /* HttpConn.decoded owns it */

/* The head is complete: sees whether the body has a coding. 0, or HPE_USER with HttpConn.fault set. */
int decoded_begin(HttpConn *c);
/* Decodes a piece; `*out` is valid until the next call. 0, or HPE_USER with HttpConn.fault set. */
int decoded_piece(HttpConn *c, Slice piece, Slice *out);
/* Whether the body has ended in the middle of its coding. */
bool decoded_is_cut(const HttpConn *c);
/* The exchange is over. */
void decoded_drop(HttpConn *c);

#endif
