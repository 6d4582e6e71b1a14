/* The limits on what clients may do and how long things may take, and the settings that are given like them.
 * Thread: any; a server has a copy of its own.
 */
#ifndef FLUVIAL_HTTP_LIMITS_H
#define FLUVIAL_HTTP_LIMITS_H

#include "base/py.h"

/* Every limit, with its default (http_limits_default). 0 switches a limit off. */
typedef struct HttpLimits {
    uint32_t request_line;  /* 8 KiB of target; more: 414 */
    uint32_t header_block;  /* 64 KiB; more: 431 */
    uint32_t header_fields; /* 100; more: 431 */
    uint64_t body;          /* 16 MiB; more: 413 */
    uint64_t
        form_size; /* 2 GiB of a multipart form that is read as it arrives; more: 413 */
    uint32_t trailer_block;    /* 8 KiB; more: 400 */
    uint32_t chunk_extensions; /* 4 KiB in one body; more: 400 */
    uint32_t
        header_timeout;  /* 10,000 ms from the first byte to the end of the head: 408 */
    uint32_t body_rate;  /* 240 bytes/s averaged, after body_grace: 408 */
    uint32_t body_grace; /* 5,000 ms */
    uint32_t keep_alive; /* 75,000 ms between requests, and before the first */
    uint32_t write_timeout; /* 60,000 ms without the peer taking a byte: closed */
    uint32_t half_closed; /* 5,000 ms of silence after the client's FIN: it has left */
    /* Lingering: after the last response, what the client still sends is read and dropped. Closing at
     * once would send a reset, and the client might lose the response. */
    uint32_t linger_time;    /* 30,000 ms in all */
    uint32_t linger_timeout; /* 5,000 ms without a byte */
    uint64_t linger_bytes;   /* 48 MiB */
    uint32_t connections;    /* 65,536 at once; more wait in the kernel's backlog */
    uint32_t in_flight; /* 16,384 unanswered requests at once; more: 503, Retry-After */
    uint32_t request_timeout; /* 0 (off) ms for the upper layer's response; more: 504 */
    uint32_t
        cancel_on_disconnect; /* 1: a handler whose client leaves is cancelled; 0 */
    uint32_t pipelined;       /* 64 KiB read ahead of an unanswered request */

    /* HTTP/2. */
    uint32_t h2;         /* 1: spoken where the client asks for it; 0: HTTP/1.1 only */
    uint32_t h2_streams; /* 128 at once on a connection; more are refused */
    uint32_t
        h2_window; /* 256 KiB of a stream's body that may wait for the upper layer */
    uint32_t
        h2_resets; /* 200 streams of a connection reset in a second; more: it is closed */
    uint32_t
        h2_controls; /* 1,000 frames in a second that ask for nothing; more: closed */
    uint32_t h2_continuations; /* 16 CONTINUATION frames in one head; more: closed */
    uint32_t
        h2_stall; /* 30,000 ms in which a response is read slower than body_rate: reset */

    /* WebSockets. */
    uint64_t ws_message;           /* 16 MiB, decompressed; more: closed with 1009 */
    uint64_t ws_frame;             /* 16 MiB of payload; more: 1009 */
    uint32_t ws_queue;             /* 32 messages that the upper layer keeps unread */
    uint32_t ws_ping_interval;     /* 20,000 ms of silence before a ping; 0: no pings */
    uint32_t ws_ping_timeout;      /* 20,000 ms of silence after it: connection lost */
    uint32_t ws_close_timeout;     /* 10,000 ms for the reply to a close frame */
    uint32_t ws_deflate;           /* 1: permessage-deflate where offered; 0: never */
    uint32_t ws_deflate_threshold; /* 64 bytes; shorter messages aren't compressed */
    uint32_t decode_ratio; /* 100: bytes that one of a compressed body may stand for */
    uint32_t log_buffer;   /* 1 MiB of log lines not yet written; more are dropped */
} HttpLimits;
void http_limits_default(HttpLimits *limits);

#endif
