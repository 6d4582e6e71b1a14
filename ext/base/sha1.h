/* SHA-1 of short texts (FIPS 180-4), for what protocols still ask it for: the WebSocket handshake
 * (RFC 6455 section 4.2.2) proves with it that the server understood. Not for security. No state.
 * Thread: any.
 */
#ifndef FLUVIAL_BASE_SHA1_H
#define FLUVIAL_BASE_SHA1_H

#include "base/slice.h"

enum { SHA1_BYTES = 20, SHA1_TEXT_MAX = 119 };

/* `text` has at most SHA1_TEXT_MAX bytes. */
void sha1(Slice text, uint8_t out[SHA1_BYTES]);

#endif
