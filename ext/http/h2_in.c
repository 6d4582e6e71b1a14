/* nghttp2's callbacks: which frame has arrived or left, and what that means for a stream or the connection.
 * nghttp2 has checked each frame by RFC 9113 before, some versions not what HTTP says of it (h2_check.c). Callbacks run within nghttp2_session_mem_recv and
 * _mem_send. What may call a handler waits until these have returned (h2_hand_over, h2_streams_leave); only pieces of
 * a request's body are passed on at once. Once the connection is detached or refused the callbacks make nghttp2
 * stop. The loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

enum { H2_HEAD_MOST = 1024 * 1024 }; /* bytes of a response's head, compressed */

/* Not in each version of the library. */
__attribute__((weak)) void nghttp2_option_set_max_continuations(nghttp2_option *option,
                                                                size_t most);
__attribute__((weak)) void
nghttp2_option_set_stream_reset_rate_limit(nghttp2_option *option, uint64_t burst,
                                           uint64_t rate);
__attribute__((weak)) void nghttp2_option_set_glitch_rate_limit(nghttp2_option *option,
                                                                uint64_t burst,
                                                                uint64_t rate);

static bool
h2_is_over(const H2Conn *h2)
{
    return h2->conn == NULL || h2->refused;
}

static H2Stream *
h2_stream_of(H2Conn *h2, int32_t id)
{
    if (h2->at == NULL || h2->at->id != id) {
        h2->at = nghttp2_session_get_stream_user_data(h2->session, id);
    }
    return h2->at;
}

static int
h2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    H2Conn *h2 = user;
    if (h2_is_over(h2)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    H2Stream *s = h2_stream_new(h2, frame->hd.stream_id);
    if (s == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    h2->at = s;
    return nghttp2_session_set_stream_user_data(session, s->id, s);
}

/* ---- Fields -------------------------------------------------------------------------------- */

/* Trailer fields are counted and dropped. */
static int
h2_trailer(H2Stream *s, size_t len)
{
    s->decoded += len;
    if (limit_exceeded(s->h2->conn->server->limits.trailer_block, s->decoded)) {
        h2_stream_reset(s, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return 0;
}

/* Whether so much was decoded that refusing the request isn't enough: a few bytes of HPACK can stand for many. */
static bool
h2_is_bomb(const H2Stream *s)
{
    uint64_t limit = s->h2->conn->server->limits.header_block;
    return limit_exceeded(limit * H2_DECODED_TIMES, s->decoded);
}

/* Resets the stream of a malformed request (RFC 9113 section 8.1.1). nghttp2 calls back no more for it. */
static void
h2_malformed(H2Stream *s)
{
    s->malformed = true;
    h2_stream_reset(s, NGHTTP2_PROTOCOL_ERROR);
}

static Slice
h2_slice(nghttp2_rcbuf *buf)
{
    nghttp2_vec vec = nghttp2_rcbuf_get_buf(buf);
    return slice_of((const char *)vec.base, vec.len);
}

static int
h2_on_header(nghttp2_session *Py_UNUSED(session), const nghttp2_frame *frame,
             nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t Py_UNUSED(flags),
             void *user)
{
    H2Conn *h2 = user;
    if (h2_is_over(h2)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    H2Stream *s = h2_stream_of(h2, frame->hd.stream_id);
    if (s == NULL || s->malformed) {
        return 0;
    }
    if (h2_checks() && !h2_check_field(s, h2_slice(name), h2_slice(value))) {
        h2_malformed(s);
        return 0;
    }
    if (s->trailing) {
        return h2_trailer(s, h2_slice(name).len + h2_slice(value).len);
    }
    h2_head_field(s, name, value);
    if (h2_is_bomb(s)) {
        h2_refuse(h2, NGHTTP2_ENHANCE_YOUR_CALM, "a header section is far too large",
                  "header_block");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

/* A field that RFC 9113 section 8.2.1 forbids: the whole request is malformed. */
static int
h2_on_invalid_header(nghttp2_session *Py_UNUSED(session),
                     const nghttp2_frame *Py_UNUSED(frame),
                     nghttp2_rcbuf *Py_UNUSED(name), nghttp2_rcbuf *Py_UNUSED(value),
                     uint8_t Py_UNUSED(flags), void *Py_UNUSED(user))
{
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* ---- Whole frames -------------------------------------------------------------------------- */

/* Notes what the frame completes, for h2_hand_over. */
static void
h2_came(H2Stream *s, bool head, bool end)
{
    H2Conn *h2 = s->h2;
    if (head || end) {
        h2->came = s;
        h2->came_head = head;
        h2->came_end = end;
    }
    s->ended_in = s->ended_in || end;
}

/* Whether a header section, or else a trailer section, may stand there. */
static bool
h2_check_headers(const H2Stream *s, bool head, bool end)
{
    return (head ? h2_check_head(s) : end) && (!end || h2_check_body(s, 0, true));
}

static void
h2_headers_received(H2Conn *h2, const nghttp2_frame *frame)
{
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    H2Stream *s = h2_stream_of(h2, frame->hd.stream_id);
    h2->head_at = 0;
    if (s == NULL) {
        return;
    }
    bool head = frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    if (h2_checks() && !h2_check_headers(s, head, end)) {
        h2_malformed(s);
        return;
    }
    if (head) {
        h2_head_end(s, end);
        h2_guard_useful(h2);
    }
    h2_came(s, head, end);
}

static void
h2_data_received(H2Conn *h2, const nghttp2_frame *frame)
{
    H2Stream *s = h2_stream_of(h2, frame->hd.stream_id);
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (s != NULL && end && h2_checks() && !h2_check_body(s, 0, true)) {
        h2_malformed(s);
    } else if (s != NULL) {
        h2_came(s, false, end);
    }
}

static void
h2_ping_received(H2Conn *h2, const nghttp2_frame *frame)
{
    if ((frame->hd.flags & NGHTTP2_FLAG_ACK) && h2->draining) {
        h2_last_goaway(h2);
    }
}

/* on_stream_close follows. */
static void
h2_reset_received(H2Conn *h2, int32_t id)
{
    H2Stream *s = h2_stream_of(h2, id);
    if (s != NULL) {
        s->ended_in = true;
    }
    h2_guard_reset(h2);
}

static int
h2_on_frame_recv(nghttp2_session *Py_UNUSED(session), const nghttp2_frame *frame,
                 void *user)
{
    H2Conn *h2 = user;
    if (h2_is_over(h2)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        h2_headers_received(h2, frame);
        break;
    case NGHTTP2_DATA:
        h2_data_received(h2, frame);
        break;
    case NGHTTP2_RST_STREAM:
        h2_reset_received(h2, frame->hd.stream_id);
        break;
    case NGHTTP2_PING:
        h2_ping_received(h2, frame);
        break;
    case NGHTTP2_SETTINGS:
        h2->head_at = 0;
        break;
    default: /* h2_guard_frame has seen it */
        break;
    }
    return h2_is_over(h2) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int
h2_on_data_chunk(nghttp2_session *session, uint8_t Py_UNUSED(flags), int32_t id,
                 const uint8_t *data, size_t len, void *user)
{
    H2Conn *h2 = user;
    if (h2_is_over(h2)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    H2Stream *s = h2_stream_of(h2, id);
    bool excess = s != NULL && h2_checks() && !h2_check_body(s, len, false);
    if (excess) {
        h2_malformed(s);
    }
    if (s == NULL || excess) {
        (void)nghttp2_session_consume_connection(session, len);
    } else {
        h2_exchange_body(s, slice_of((const char *)data, len));
    }
    return h2_is_over(h2) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* ---- Frames that left, streams that ended -------------------------------------------------- */

static int
h2_on_frame_send(nghttp2_session *Py_UNUSED(session), const nghttp2_frame *frame,
                 void *user)
{
    H2Conn *h2 = user;
    bool end = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)
               && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (h2_is_over(h2)) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM
        && frame->rst_stream.error_code != NGHTTP2_NO_ERROR) {
        h2_guard_reset(h2);
    }
    H2Stream *s = end ? h2_stream_of(h2, frame->hd.stream_id) : NULL;
    if (s != NULL) {
        s->sent_end = true;
        s->sent_end_at = h2_now(h2);
        if (!s->ended_in && s->unread_left == 0) {
            h2_stream_reset(s, NGHTTP2_NO_ERROR);
        }
    }
    return 0;
}

/* A response's head couldn't be sent, being too large, for one. */
static int
h2_on_frame_not_send(nghttp2_session *Py_UNUSED(session), const nghttp2_frame *frame,
                     int Py_UNUSED(err), void *user)
{
    H2Conn *h2 = user;
    H2Stream *s = h2_is_over(h2) || frame->hd.type != NGHTTP2_HEADERS
                      ? NULL
                      : h2_stream_of(h2, frame->hd.stream_id);
    if (s != NULL) {
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
    }
    return 0;
}

static int
h2_on_stream_close(nghttp2_session *Py_UNUSED(session), int32_t id,
                   uint32_t Py_UNUSED(error), void *user)
{
    H2Conn *h2 = user;
    H2Stream *s = h2_stream_of(h2, id);
    if (s != NULL) {
        if (s->ended_in) {
            h2_guard_closed(h2, id);
        }
        h2_stream_over(s);
    }
    return 0;
}

int
h2_in_callbacks(nghttp2_session_callbacks **out)
{
    nghttp2_session_callbacks *to;
    int err = nghttp2_session_callbacks_new(&to);
    if (err != 0) {
        return err;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(to, h2_on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(to, h2_on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(to, h2_on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(to, h2_on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(to, h2_on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_send_callback(to, h2_on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(to, h2_on_frame_not_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(to, h2_on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(to, h2_out_send_data);
    *out = to;
    return 0;
}

/* Switches the library's own limits off, which differ between versions: h2_guard.c has ours. */
static void
h2_options_unlimit(nghttp2_option *option)
{
    if (nghttp2_option_set_max_continuations != NULL) {
        nghttp2_option_set_max_continuations(option, SIZE_MAX);
    }
    if (nghttp2_option_set_stream_reset_rate_limit != NULL) {
        nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX, UINT64_MAX);
    }
    if (nghttp2_option_set_glitch_rate_limit != NULL) {
        nghttp2_option_set_glitch_rate_limit(option, UINT64_MAX, UINT64_MAX);
    }
}

int
h2_in_options(nghttp2_option **out)
{
    int err = nghttp2_option_new(out);
    if (err == 0) {
        h2_options_unlimit(*out);
        nghttp2_option_set_no_auto_window_update(*out, 1);
        nghttp2_option_set_no_http_messaging(*out, h2_checks());
        nghttp2_option_set_max_send_header_block_length(*out, H2_HEAD_MOST);
        nghttp2_option_set_builtin_recv_extension_type(*out, NGHTTP2_PRIORITY_UPDATE);
    }
    return err;
}
