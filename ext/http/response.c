/* Responses (see response.h): what a caller may do at which stage of a response, and who writes it:
 * response_plain.c as it is, coded.c compressed, h2_out.c on a stream of HTTP/2. The loop's thread.
 */
#include "base/py.h"

#include "http/response.h"

#include "http/coded.h"
#include "http/conn.h"
#include "http/h2.h"
#include "http/out.h"
#include "http/response_head.h"
#include "http/response_plain.h"

#include <uv.h>

static int
response_check_head(const HttpRequest *req, const HttpHead *head)
{
    if (req->response != HTTP_RESPONSE_NONE) {
        return UV_ECANCELED;
    }
    if (head->status < 200 || head->status > 599
        || (!head->checked && !http_value_is_clean(head->content_type))
        || !http_value_is_clean(head->reason)) {
        return UV_EINVAL;
    }
    return 0;
}

/* ---- In one call ------------------------------------------------------------------------- */

int
http_respond(HttpRequest *req, const HttpHead *head, Slice body, PyObject *owner)
{
    int err = response_check_head(req, head);
    if (err != 0) {
        return err;
    }
    return likely(req->server->compressor == NULL)
               ? response_whole(req, head, body, owner)
               : coded_respond(req, head, body, owner);
}

int
http_respond_error(HttpRequest *req, int status)
{
    char room[DETAIL_BODY_MAX];
    Slice body = response_detail(room, http_reason(status));
    const HttpHead head = {
        .status = status, .content_type = SLICE("application/json"), .checked = true};
    return http_respond(req, &head, body, NULL);
}

/* ---- In pieces --------------------------------------------------------------------------- */

int
http_stream_begin(HttpRequest *req, const HttpHead *head, int64_t length)
{
    int err = response_check_head(req, head);
    if (err != 0) {
        return err;
    }
    return likely(req->server->compressor == NULL) ? response_begin(req, head, length)
                                                   : coded_begin(req, head, length);
}

int
http_stream_write(HttpRequest *req, Slice piece, PyObject *owner)
{
    HttpConn *c = req->conn;
    if (unlikely(c == NULL)) {
        return h2_stream_write(req, piece, owner);
    }
    /* A broken connection is closed when the loop runs again. Refuse the write here: a handler that
     * writes without ever waiting would keep the loop from running. */
    if (c->broken || req->response != HTTP_RESPONSE_STREAMING) {
        return UV_ECANCELED;
    }
    if (unlikely(c->lent)) {
        return UV_EBUSY;
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
    int err = likely(c->coded == NULL) ? response_piece(c, piece, owner)
                                       : coded_write(c->coded, piece);
    if (err == 0) {
        out_offer(c);
        exchange_responded(c);
    }
    return err;
}

void
http_offer(HttpConn *c)
{
    if (h2_is_spoken(c)) {
        h2_offer_conn(c);
    } else {
        out_offer(c);
    }
}

/* Whether bytes that were promised are missing. */
static bool
response_falls_short(const HttpConn *c)
{
    return c->req->length_left > 0 || coded_missing(c->coded) > 0;
}

int
http_stream_end(HttpRequest *req)
{
    return http_stream_end_with(req, NULL);
}

int
http_stream_end_with(HttpRequest *req, const HttpFields *trailers)
{
    HttpConn *c = req->conn;
    if (unlikely(c == NULL)) {
        return h2_stream_end(req, trailers);
    }
    if (req->response != HTTP_RESPONSE_STREAMING) {
        return UV_ECANCELED;
    }
    if (response_falls_short(c) || unlikely(c->lent)) {
        bool gone =
            c->broken; /* then http_stream_write has refused the missing bytes */
        http_abort(req);
        return gone ? UV_ECANCELED : UV_EPROTO;
    }
    Slice last = trailers != NULL ? buf_slice(&trailers->raw) : slice_of("", 0);
    int err =
        likely(c->coded == NULL) ? response_last(c, last) : coded_end(c->coded, last);
    if (err == 0) {
        response_done(c);
    }
    return err;
}

int
http_inform(HttpRequest *req, int status, const HttpFields *fields)
{
    assert(status >= 100 && status < 200);
    HttpConn *c = req->conn;
    if (unlikely(c == NULL)) {
        return h2_inform(req, status, fields);
    }
    if (c->broken || req->response != HTTP_RESPONSE_NONE) {
        return UV_ECANCELED;
    }
    if (req->minor == 0) {
        return 0;
    }
    size_t mark = out_begin(c);
    int err = response_put_interim(req->server, status, fields);
    if (err != 0) {
        conn_break(c);
        return err;
    }
    out_end(c, mark);
    exchange_responded(c);
    return 0;
}

bool
http_stream_full(const HttpRequest *req)
{
    const HttpConn *c = req->conn;
    if (unlikely(c == NULL)) {
        return h2_stream_full(req);
    }
    return req->response != HTTP_RESPONSE_DONE
           && (c->stream.over_high || coded_is_busy(c->coded));
}

void
http_abort(HttpRequest *req)
{
    HttpConn *c = req->conn;
    if (c != NULL) {
        conn_cut(c);
        req->response = HTTP_RESPONSE_DONE; /* so that on_gone isn't called */
        exchange_over(c);
        conn_close(c, true);
    } else {
        h2_abort(req, false);
    }
}

void
http_abort_told(HttpRequest *req)
{
    HttpConn *c = req->conn;
    if (c != NULL) {
        conn_close(c, true);
    } else {
        h2_abort(req, true);
    }
}
