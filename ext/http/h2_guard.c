/* Bounds on what costs us more than the client: streams that are reset as soon as they are opened, whichever side
 * resets them, frames that ask for nothing, bodies that come too slowly, responses that aren't read. Each is counted
 * or timed here alone, and a client that exceeds one loses its stream or its connection. RFC 9113 section
 * 10.5. The loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

#include <uv.h>

enum {
    H2_SECOND = 1000,
    H2_FRAME_HEAD = 9,
    H2_OPENED = 64, /* bits of H2Conn.opened */
    H2_FEW = 16
        * 1024,        /* bytes of the connection's window: a frame of the usual size */
    H2_REPLIES = 4096, /* frames that wait for the client, which sends more */
    H2_USEFUL = 2,     /* frames that ask for nothing, for each useful one */
};

/* Counts one event; false when it is one too many in this second. */
static bool
h2_count(H2Count *count, uint64_t now, uint32_t limit)
{
    if (limit == 0) {
        return true;
    }
    if (count->since == 0 || now - count->since >= H2_SECOND) {
        count->since = now != 0 ? now : 1;
        count->left = limit;
    }
    return count->left-- > 0;
}

void
h2_guard_reset(H2Conn *h2)
{
    const HttpLimits *limits = &h2->conn->server->limits;
    if (!h2_count(&h2->resets, h2_now(h2), limits->h2_resets)) {
        h2_refuse(h2, NGHTTP2_ENHANCE_YOUR_CALM,
                  "too many streams are reset in a second", "h2_resets");
    }
}

void
h2_guard_control(H2Conn *h2)
{
    const HttpLimits *limits = &h2->conn->server->limits;
    if (!h2_count(&h2->controls, h2_now(h2), limits->h2_controls)) {
        h2_refuse(h2, NGHTTP2_ENHANCE_YOUR_CALM,
                  "it sends too many frames in a second that ask for nothing",
                  "h2_controls");
    }
}

void
h2_guard_useful(H2Conn *h2)
{
    h2->controls.left += H2_USEFUL;
}

/* ---- Streams that are over --------------------------------------------------------------------- */

/* nghttp2 ignores what comes for a stream that is over, since it may have been on its way when we reset it. But
 * what comes after the client's own END_STREAM or RST_STREAM is an error, and so is an identifier that the
 * client has left out (RFC 9113 section 5.1). Only what is known for certain counts. */

/* The client has sent HEADERS for a stream, which needn't be new. nghttp2 may refuse it. */
static void
h2_guard_opened(H2Conn *h2, int32_t id)
{
    if (id % 2 == 0 || id <= h2->newest) {
        return;
    }
    int32_t steps = (id - h2->newest) / 2;
    h2->opened = steps < H2_OPENED ? h2->opened << steps | 1 : 1;
    h2->newest = id;
}

void
h2_guard_closed(H2Conn *h2, int32_t id)
{
    h2->closed[h2->nclosed++ % H2_CLOSED] = id;
}

static bool
h2_is_closed(const H2Conn *h2, int32_t id)
{
    for (unsigned i = 0; i < H2_CLOSED; i++) {
        if (h2->closed[i] == id) {
            return true;
        }
    }
    return false;
}

/* Whether the client has opened a later stream, and this one never. */
static bool
h2_is_left_out(const H2Conn *h2, int32_t id)
{
    int32_t steps = (h2->newest - id) / 2;
    return id % 2 == 1 && id < h2->newest && steps < H2_OPENED
           && (h2->opened >> steps & 1) == 0;
}

/* ---- Frames -------------------------------------------------------------------------------- */

static uint32_t
h2_number(const unsigned char *bytes, int n)
{
    uint32_t number = 0;
    for (int i = 0; i < n; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

/* How many bytes of the frame's beginning are wanted, as far as it has come. */
static size_t
h2_frame_need(const H2Frame *frame)
{
    bool more = frame->have >= H2_FRAME_HEAD && frame->head[3] == NGHTTP2_PRIORITY
                && h2_number(frame->head, 3) >= 4;
    return more ? sizeof frame->head : H2_FRAME_HEAD;
}

size_t
h2_frame_read(H2Frame *frame, Slice bytes, bool *whole)
{
    if (frame->skip != 0) {
        size_t n = bytes.len < frame->skip ? bytes.len : frame->skip;
        frame->skip -= (uint32_t)n;
        return n;
    }
    size_t need, used = 0;
    if (likely(frame->have == 0 && bytes.len >= H2_FRAME_HEAD)) {
        memcpy(frame->head, bytes.ptr, H2_FRAME_HEAD);
        frame->have = used = H2_FRAME_HEAD;
    }
    while (frame->have < (need = h2_frame_need(frame)) && used < bytes.len) {
        frame->head[frame->have++] = (unsigned char)bytes.ptr[used++];
    }
    if (frame->have < need) {
        return used;
    }
    frame->length = h2_number(frame->head, 3);
    frame->type = frame->head[3];
    frame->flags = frame->head[4];
    frame->id = (int32_t)(h2_number(frame->head + 5, 4) & INT32_MAX);
    frame->depends = (int32_t)(h2_number(frame->head + 9, 4) & INT32_MAX);
    frame->skip = frame->length - (uint32_t)(need - H2_FRAME_HEAD);
    frame->have = 0;
    *whole = true;
    return used;
}

bool
h2_frame_ends_head(const H2Frame *frame)
{
    bool head = frame->type == NGHTTP2_HEADERS || frame->type == NGHTTP2_CONTINUATION;
    return head && frame->skip == 0 && (frame->flags & NGHTTP2_FLAG_END_HEADERS);
}

/* A frame of a header section. */
static void
h2_guard_head(H2Conn *h2, const H2Frame *frame)
{
    if (frame->type == NGHTTP2_HEADERS) {
        h2->head_at = h2_now(h2);
        h2->continued = 0;
    } else if (limit_exceeded(h2->conn->server->limits.h2_continuations,
                              ++h2->continued)) {
        h2_refuse(h2, NGHTTP2_ENHANCE_YOUR_CALM,
                  "a header section has too many CONTINUATION frames",
                  "h2_continuations");
    }
}

/* A frame for the stream `id`, which may be over. */
static void
h2_guard_id(H2Conn *h2, int32_t id)
{
    if (id > h2->newest) {
        return; /* a new one */
    }
    if (id != 0 && h2_is_closed(h2, id)) {
        h2_refuse(h2, NGHTTP2_STREAM_CLOSED,
                  "a frame is for a stream that it has ended", NULL);
    } else if (h2_is_left_out(h2, id)) {
        h2_refuse(h2, NGHTTP2_PROTOCOL_ERROR, "the streams' numbers don't rise", NULL);
    }
}

/* Whether more replies wait for the client to read than those that open streams account for. */
static bool
h2_is_unread(const H2Conn *h2)
{
    return nghttp2_session_get_outbound_queue_size(h2->session)
           > (size_t)H2_REPLIES + h2->nstreams;
}

bool
h2_guard_frame(H2Conn *h2, const H2Frame *frame)
{
    if (frame->type != NGHTTP2_CONTINUATION) {
        h2->head_at = 0;
    }
    if (h2_is_unread(h2)) {
        h2_refuse(h2, NGHTTP2_ENHANCE_YOUR_CALM, H2_UNREAD, NULL);
    }
    switch (frame->type) {
    case NGHTTP2_DATA:
        h2_guard_id(h2, frame->id);
        if (frame->length == 0 && !(frame->flags & NGHTTP2_FLAG_END_STREAM)) {
            h2_guard_control(h2);
        }
        break;
    case NGHTTP2_HEADERS:
        h2_guard_id(h2, frame->id);
        h2_guard_opened(h2, frame->id);
        h2_guard_head(h2, frame);
        break;
    case NGHTTP2_CONTINUATION:
        h2_guard_head(h2, frame);
        break;
    case NGHTTP2_PRIORITY:
        if (frame->id == 0 || (frame->length == 5 && frame->id == frame->depends)) {
            h2_refuse(h2, NGHTTP2_PROTOCOL_ERROR,
                      "a PRIORITY frame names no stream, or one twice", NULL);
        }
        h2_guard_control(h2);
        break;
    case NGHTTP2_RST_STREAM: /* counted by h2_guard_reset */
        break;
    default:
        h2_guard_control(h2);
        break;
    }
    return !h2->refused;
}

/* ---- Once a second --------------------------------------------------------------------------- */

static bool
h2_is_slow(uint64_t bytes, uint64_t ms, uint64_t rate)
{
    return bytes * H2_SECOND < ms * rate;
}

/* Whether other bodies, which the handlers don't read, leave the client little that it may send. */
static bool
h2_is_shut(const H2Conn *h2)
{
    int32_t whole = nghttp2_session_get_effective_local_window_size(h2->session);
    int32_t few = whole / 4 < H2_FEW ? whole / 4 : H2_FEW;
    return nghttp2_session_get_local_window_size(h2->session) <= few;
}

/* Whether the client has had the whole response for as long as the rest of its body is read. */
static bool
h2_lingers_too_long(const H2Stream *s, uint64_t now, const HttpLimits *limits)
{
    bool late = limits->linger_time != 0 && now - s->sent_end_at >= limits->linger_time;
    return s->sent_end && !s->ended_in && !s->reset && (late || s->h2->draining);
}

/* The body of a request that should be arriving, or be given up by the client. */
static void
h2_look_in(H2Stream *s, uint64_t now, const HttpLimits *limits)
{
    if (h2_lingers_too_long(s, now, limits)) {
        h2_stream_reset(s, NGHTTP2_NO_ERROR);
        return;
    }
    uint64_t ms = now - s->checked_at;
    if (s->ended_in || s->paused || s->connect || s->held.len != 0 || s->reset
        || h2_is_shut(s->h2)) {
        s->checked_at = now;
        s->checked = s->received;
    } else if (limits->body_rate != 0 && ms >= limits->body_grace) {
        bool slow = h2_is_slow(s->received - s->checked, ms, limits->body_rate);
        s->checked_at = now;
        s->checked = s->received;
        if (slow && s->req != NULL) {
            h2_exchange_reject(
                s,
                (Fault){408, "The body of the request came too slowly", "body_rate"});
        } else if (slow && s->sent_end) {
            h2_stream_reset(s, NGHTTP2_NO_ERROR);
        }
    }
}

/* The response, which the client's windows may hold up. One that waits for its turn, or for TCP, isn't held up: streams
 * are served one after another. While the connection's window is used up, it is enough that the client reads any of
 * them. */
static void
h2_look_out(H2Stream *s, uint64_t now, const HttpLimits *limits)
{
    H2Conn *h2 = s->h2;
    uint64_t ms = now - s->taken_at;
    bool own = nghttp2_session_get_stream_remote_window_size(h2->session, s->id) <= 0;
    bool held_up = own || nghttp2_session_get_remote_window_size(h2->session) <= 0;
    bool waits = s->queued != 0 && !s->reset && held_up;
    if (waits && (limits->h2_stall == 0 || ms < limits->h2_stall)) {
        return;
    }
    uint64_t bytes =
        own ? s->taken - s->taken_checked : h2->taken - s->conn_taken_checked;
    s->taken_at = now;
    s->taken_checked = s->taken;
    s->conn_taken_checked = h2->taken;
    if (waits && (bytes == 0 || h2_is_slow(bytes, ms, limits->body_rate))) {
        h2_stream_reset(s, NGHTTP2_CANCEL);
        h2_exchange_drop(s); /* now: RST_STREAM may have to wait for TCP */
    }
}

/* Whether the client has taken nothing for too long of what TCP has to deliver. */
static bool
h2_look_socket(H2Conn *h2, uint64_t now, const HttpLimits *limits)
{
    HttpConn *c = h2->conn;
    uint64_t wrote = conn_bytes_taken(c);
    if (c->stream.queued == 0 || wrote != h2->wrote) {
        h2->wrote = wrote;
        h2->wrote_at = now;
        return false;
    }
    return limits->write_timeout != 0 && now - h2->wrote_at >= limits->write_timeout;
}

void
h2_guard_look(H2Conn *h2)
{
    HttpConn *c = h2->conn;
    const HttpLimits *limits = &c->server->limits;
    uint64_t now = h2_now(h2);
    if (h2_look_socket(h2, now, limits)) {
        conn_abort(c);
        return;
    }
    if (h2->head_at != 0 && limits->header_timeout != 0
        && now - h2->head_at >= limits->header_timeout) {
        h2_refuse(h2, NGHTTP2_ENHANCE_YOUR_CALM, "a header section took too long",
                  "header_timeout");
        return;
    }
    if (h2->draining && now - h2->drain_at >= H2_LOOK) {
        h2_last_goaway(h2);
    }
    h2->busy++; /* so that it stays while Python code runs */
    Ring *link = h2->streams.next;
    for (; h2->conn != NULL && link != &h2->streams; link = link->next) {
        H2Stream *s = container_of(link, H2Stream, all);
        h2_look_in(s, now, limits);
        if (h2->conn != NULL) {
            h2_look_out(s, now, limits);
        }
        if (h2->conn != NULL && s->tunnel != NULL) {
            s->tunnel_ops->look(s->tunnel, now);
        }
    }
    h2_release(h2);
}
