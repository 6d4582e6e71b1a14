/* Responses of HTTP/2: a head for nghttp2, and a body that waits in pieces until both the stream's window and the
 * connection have room for it. How a response is framed (HEAD, 204, 304, Content-Length) is decided by
 * response_stated_length, as for HTTP/1.1. The loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

#include "base/probe.h"
#include "http/coded.h"
#include "http/out.h"
#include "http/response_head.h"

enum {
    H2_COPY_MAX = 16 * 1024, /* bytes: a longer piece isn't copied if it has an owner */
    H2_DATA_HEAD = 9,
};

/* ---- The body -------------------------------------------------------------------------------- */

static void
h2_piece_free(H2Conn *h2, H2Piece *piece)
{
    Py_XDECREF(piece->owner);
    h2_mem_put(h2->mem, piece);
}

void
h2_out_release(H2Conn *h2)
{
    while (h2->done != NULL) {
        H2Piece *piece = h2->done;
        h2->done = piece->next;
        h2_piece_free(h2, piece);
    }
}

/* The pieces are freed by h2_out_release: an owner's end may run Python code, which nghttp2's caller
 * isn't prepared for. */
void
h2_out_free(H2Stream *s)
{
    *s->last = s->h2->done;
    s->h2->done = s->first;
    s->first = NULL;
    s->last = &s->first;
    s->queued = 0;
}

int
h2_out_add(H2Stream *s, Slice bytes, PyObject *owner)
{
    bool copy = bytes.len <= H2_COPY_MAX || owner == NULL;
    H2Piece *piece = h2_mem_get(s->h2->mem, sizeof(*piece) + (copy ? bytes.len : 0));
    if (piece == NULL) {
        return UV_ENOMEM;
    }
    *piece = (H2Piece){.owner = copy ? NULL : Py_NewRef(owner), .left = bytes};
    if (copy) {
        memcpy(piece->bytes, bytes.ptr, bytes.len);
        piece->left.ptr = piece->bytes;
    }
    *s->last = piece;
    s->last = &piece->next;
    s->queued += bytes.len;
    s->over_high = s->over_high || s->queued > H2_HIGH;
    return 0;
}

void
h2_out_resume(H2Stream *s)
{
    if (s->deferred) {
        s->deferred = false;
        int err = nghttp2_session_resume_data(s->h2->session, s->id);
        if (nghttp2_is_fatal(err)) { /* no memory */
            h2_refuse(s->h2, NGHTTP2_INTERNAL_ERROR, NULL, NULL);
        }
    }
    h2_wake(s->h2);
}

/* nghttp2's callback: how much the next DATA frame has. */
static ssize_t
h2_out_read(nghttp2_session *session, int32_t id, uint8_t *Py_UNUSED(buf), size_t len,
            uint32_t *flags, nghttp2_data_source *source, void *Py_UNUSED(user))
{
    H2Stream *s = source->ptr;
    H2Conn *h2 = s->h2;
    size_t n = len < s->queued ? len : s->queued;
    if (n == 0 && !s->ended_out) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!s->ended_out || n != s->queued) {
        return (ssize_t)n;
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    Slice trailers = buf_slice(&s->trailers);
    if (trailers.len != 0 && h2_nv_begin(h2, trailers) == 0) {
        h2_nv_add_raw(h2, trailers);
        if (nghttp2_submit_trailer(session, id, h2_nv(h2), h2_nv_count(h2)) == 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        }
    }
    return (ssize_t)n;
}

/* Moves `len` bytes of the pieces to `out`, which has room. */
static void
h2_out_take(H2Stream *s, Buf *out, size_t len)
{
    s->queued -= len;
    s->taken += len;
    s->h2->taken += len;
    while (len != 0) {
        H2Piece *piece = s->first;
        size_t n = len < piece->left.len ? len : piece->left.len;
        (void)buf_append(out, piece->left.ptr, n);
        piece->left = slice_of(piece->left.ptr + n, piece->left.len - n);
        len -= n;
        if (piece->left.len == 0) {
            s->first = piece->next;
            s->last = s->first == NULL ? &s->first : s->last;
            piece->next = s->h2->done;
            s->h2->done = piece;
        }
    }
    if (s->over_high && s->queued <= H2_LOW) {
        s->over_high = false;
        if (s->req != NULL && !ring_is_linked(&s->writable)) {
            ring_append(&s->h2->writable, &s->writable);
        }
    }
}

int
h2_out_send_data(nghttp2_session *Py_UNUSED(session), nghttp2_frame *Py_UNUSED(frame),
                 const uint8_t *head, size_t len, nghttp2_data_source *source,
                 void *user)
{
    H2Conn *h2 = user;
    HttpConn *c = h2->conn;
    if (c == NULL || h2->refused || c->broken) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (c->stream.over_high) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    Buf *out = &c->server->out; /* h2_pump has begun */
    if (buf_reserve(out, H2_DATA_HEAD + len) != 0) {
        conn_break(c);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    (void)buf_append(out, (const char *)head, H2_DATA_HEAD); /* no frame is padded */
    h2_out_take(source->ptr, out, len);
    h2->at = source->ptr;
    h2_guard_useful(h2);
    return 0;
}

/* ---- Responses ------------------------------------------------------------------------------- */

/* A response that isn't a tunnel's beginning can't say that extended CONNECT has succeeded. */
static int
h2_connect_refused(H2Stream *s)
{
    h2_exchange_reject(s, fault_make(404, "No WebSocket is served here"));
    return UV_ECANCELED;
}

int
h2_submit(H2Stream *s, const HttpHead *head, int64_t length, bool whole)
{
    HttpRequest *req = s->req;
    const HttpFields *fields = head->fields;
    bool typed = fields != NULL && fields->has_content_type;
    req->bodyless = req->is_head || http_status_is_bodyless(head->status);
    const ResponseHead wire = {
        .status = head->status,
        .content_type = typed ? slice_of("", 0) : head->content_type,
        .fields = fields,
        .length = response_stated_length(req, head, length),
        .id = http_request_id(req),
    };
    req->length_left = req->bodyless ? -1 : wire.length;
    req->chunked = true; /* framed: its socket can't be lent */
    PROBE(response_head, s->h2->conn, req, head->status, wire.length);
    int err = h2_nv_head(s, &wire);
    if (err == 0) {
        /* With END_STREAM the exchange is over, which one in pieces isn't yet. */
        bool empty = whole && (req->bodyless || length == 0);
        const nghttp2_data_provider body = {.source = {.ptr = s},
                                            .read_callback = h2_out_read};
        int code = nghttp2_submit_response(s->h2->session, s->id, h2_nv(s->h2),
                                           h2_nv_count(s->h2), empty ? NULL : &body);
        err = code == 0 ? 0 : code == NGHTTP2_ERR_NOMEM ? UV_ENOMEM : UV_ECANCELED;
    }
    if (err == 0) {
        s->submitted = true;
        h2_log_head(s, head->status);
    }
    return err;
}

/* The stream of a request that can get a response: NULL when it can't any more. */
static H2Stream *
h2_stream_for(const HttpRequest *req, HttpResponseStage stage)
{
    H2Stream *s = req->h2;
    return s != NULL && s->h2->conn != NULL && !s->reset && req->response == stage
               ? s
               : NULL;
}

int
h2_respond(HttpRequest *req, const HttpHead *head, Slice body, PyObject *owner)
{
    H2Stream *s = h2_stream_for(req, HTTP_RESPONSE_NONE);
    if (s == NULL) {
        return UV_ECANCELED;
    }
    if (unlikely(s->connect && head->status < 300)) {
        return h2_connect_refused(s);
    }
    int err = h2_submit(s, head, (int64_t)body.len, true);
    if (err == 0 && !req->bodyless && body.len != 0) {
        err = h2_out_add(s, body, owner);
    }
    if (err != 0) {
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR); /* on_gone follows */
        return err;
    }
    s->ended_out = true;
    req->response = HTTP_RESPONSE_DONE;
    req->body_out = req->bodyless ? 0 : body.len;
    h2_wake(s->h2);
    h2_exchange_over(s);
    return 0;
}

int
h2_stream_begin(HttpRequest *req, const HttpHead *head, int64_t length)
{
    H2Stream *s = h2_stream_for(req, HTTP_RESPONSE_NONE);
    if (s == NULL) {
        return UV_ECANCELED;
    }
    if (unlikely(s->connect && head->status < 300)) {
        return h2_connect_refused(s);
    }
    int err = h2_submit(s, head, length, false);
    if (err != 0) {
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
        return err;
    }
    req->response = HTTP_RESPONSE_STREAMING;
    h2_wake(s->h2);
    return 0;
}

int
h2_stream_write(HttpRequest *req, Slice piece, PyObject *owner)
{
    H2Stream *s = h2_stream_for(req, HTTP_RESPONSE_STREAMING);
    if (s == NULL || s->h2->conn->broken) {
        return UV_ECANCELED;
    }
    if (req->bodyless || piece.len == 0) {
        return 0;
    }
    if (req->length_left >= 0) {
        if (piece.len > (uint64_t)req->length_left) {
            return UV_EMSGSIZE;
        }
        req->length_left -= (int64_t)piece.len;
    }
    H2Conn *h2 = s->h2;
    h2->busy++; /* so that the stream stays */
    int err = likely(s->coded == NULL) ? h2_coded_piece(s, piece, owner)
                                       : coded_write(s->coded, piece);
    h2_offer(h2);
    h2_release(h2);
    return err;
}

int
h2_stream_end(HttpRequest *req, const HttpFields *trailers)
{
    H2Stream *s = h2_stream_for(req, HTTP_RESPONSE_STREAMING);
    if (s == NULL) {
        return UV_ECANCELED;
    }
    if (req->length_left > 0 || coded_missing(s->coded) > 0) {
        h2_abort(req, false);
        return UV_EPROTO;
    }
    bool some = trailers != NULL && !req->bodyless;
    Slice last = some ? buf_slice(&trailers->raw) : slice_of("", 0);
    H2Conn *h2 = s->h2;
    h2->busy++; /* so that the stream stays */
    int err =
        likely(s->coded == NULL) ? h2_coded_last(s, last) : coded_end(s->coded, last);
    if (err == 0) {
        req->response = HTTP_RESPONSE_DONE;
        if (s->coded == NULL) { /* else h2_coded_last continues */
            h2_exchange_over(s);
        }
    }
    h2_offer(h2);
    h2_release(h2);
    return err;
}

/* ---- Compressed ones ------------------------------------------------------------------------- */

Coded **
h2_coded(H2Stream *s)
{
    return &s->coded;
}

int
h2_coded_piece(H2Stream *s, Slice piece, PyObject *owner)
{
    int err = s->reset ? UV_ECANCELED : h2_out_add(s, piece, owner);
    if (err != 0) {
        h2_coded_fail(s);
        return err;
    }
    if (s->req != NULL) {
        s->req->body_out += piece.len;
    }
    h2_out_resume(s);
    return 0;
}

int
h2_coded_last(H2Stream *s, Slice trailers)
{
    int err = buf_append_slice(&s->trailers, trailers);
    if (err != 0) {
        h2_coded_fail(s);
        return err;
    }
    s->ended_out = true;
    h2_out_resume(s);
    if (s->req != NULL && s->req->response == HTTP_RESPONSE_DONE) {
        h2_exchange_over(s);
    }
    return 0;
}

void
h2_coded_fail(H2Stream *s)
{
    h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR); /* on_gone follows */
}

void
h2_coded_writable(H2Stream *s)
{
    if (!s->over_high && s->req != NULL && !ring_is_linked(&s->writable)) {
        ring_append(&s->h2->writable, &s->writable);
        h2_wake(s->h2);
    }
}

/* ---- Others ---------------------------------------------------------------------------------- */

int
h2_inform(HttpRequest *req, int status, const HttpFields *fields)
{
    H2Stream *s = h2_stream_for(req, HTTP_RESPONSE_NONE);
    if (s == NULL) {
        return UV_ECANCELED;
    }
    H2Conn *h2 = s->h2;
    int err = h2_nv_begin(h2, buf_slice(&fields->raw));
    if (err != 0) {
        return err;
    }
    h2_nv_add_status(h2, status);
    h2_nv_add_raw(h2, buf_slice(&fields->raw));
    err = nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, h2_nv(h2),
                                 h2_nv_count(h2), NULL);
    h2_wake(h2);
    return err == 0 ? 0 : UV_ENOMEM;
}

bool
h2_stream_full(const HttpRequest *req)
{
    const H2Stream *s = req->h2;
    return s != NULL && req->response != HTTP_RESPONSE_DONE
           && (s->over_high || coded_is_busy(s->coded));
}

void
h2_abort(HttpRequest *req, bool told)
{
    H2Stream *s = req->h2;
    if (s == NULL) {
        return;
    }
    h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
    if (!told) {
        req->response = HTTP_RESPONSE_DONE; /* so that on_gone isn't called */
    }
    exchange_landed(req); /* it doesn't count as answered */
    h2_exchange_over(s);
}

size_t
h2_out_refusal(H2Stream *s, Fault fault)
{
    char room[DETAIL_BODY_MAX];
    Slice text = response_detail(room, slice_of(fault.detail, strlen(fault.detail)));
    HttpFields fields = {.has_content_type = false};
    response_offer_codings(s->req->server, fault.status, &fields);
    const HttpHead head = {.status = fault.status,
                           .content_type = SLICE("application/json"),
                           .fields = &fields};
    PROBE(refused, s->h2->conn, s->req, fault.status);
    s->req->refused = true; /* its line is the caller's */
    int err = h2_submit(s, &head, (int64_t)text.len, true);
    http_fields_free(&fields);
    if (err == 0 && !s->req->bodyless) {
        err = h2_out_add(s, text, NULL);
    }
    s->ended_out = true;
    if (err != 0) {
        h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
    }
    h2_wake(s->h2);
    return s->req->bodyless ? 0 : text.len;
}
