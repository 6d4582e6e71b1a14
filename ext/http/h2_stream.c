/* Streams of HTTP/2: how one begins and ends, and what drain.c asks of those that a connection has. Each has its
 * exchange, see h2_exchange.c. The stream's memory stays until nghttp2 closes it, or the connection's H2Conn is
 * freed. The loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

#include "http/coded.h"
#include "http/decoded.h"
#include "http/server.h"

/* ---- Beginning and end ------------------------------------------------------------------------ */

H2Stream *
h2_stream_adopt(H2Conn *h2, int32_t id, HttpRequest *req)
{
    H2Stream *s = h2_mem_get(h2->mem, sizeof(*s));
    if (s == NULL) {
        http_request_unref(req);
        return NULL;
    }
    memset(s, 0, sizeof(*s));
    s->h2 = h2;
    s->id = id;
    s->req = req;
    s->last = &s->first;
    uint64_t linger = h2->conn->server->limits.linger_bytes;
    s->unread_left = linger != 0 ? linger : UINT64_MAX;
    s->conn_taken_checked = h2->taken;
    s->checked_at = s->taken_at = h2_now(h2);
    req->h2 = s;
    req->minor = HTTP_2;
    ring_append(&h2->streams, &s->all);
    h2->nstreams++;
    return s;
}

H2Stream *
h2_stream_new(H2Conn *h2, int32_t id)
{
    HttpConn *c = h2->conn;
    HttpRequest *req = http_request_new(c->server);
    if (req == NULL) {
        return NULL;
    }
    req->began = h2_now(h2);
    req->peer = c->peer;
    req->secure = c->stream.secure != NULL;
    req->https = c->https;
    if (http_server_is_timed(c->server)) {
        req->began_ns = loop_now_ns();
    }
    c->used = true;
    c->rare = c->server->rare;
    return h2_stream_adopt(h2, id, req);
}

void
h2_stream_over(H2Stream *s)
{
    H2Conn *h2 = s->h2;
    if (s->over) {
        return;
    }
    s->over = s->reset = s->ended_in = true;
    s->dead = h2->leaving;
    h2->leaving = s;
    ring_remove(&s->writable);
    h2->nstreams--;
    if (h2->at == s) {
        h2->at = NULL;
    }
    if (s->held.len != 0) {
        (void)nghttp2_session_consume_connection(h2->session, s->held.len);
        buf_free(&s->held);
    }
    h2_wake(h2);
}

/* Ends the exchange of a stream that nghttp2 has closed. */
static void
h2_stream_leave(H2Stream *s)
{
    H2Conn *h2 = s->h2;
    s->dead = h2->dead;
    h2->dead = s;
    h2_exchange_drop(s);
    h2_head_clear(s);
    h2_out_free(s);
    coded_drop(s->coded);
    decoded_free(s->decoder);
    s->coded = NULL;
    s->decoder = NULL;
    buf_free(&s->trailers);
}

void
h2_streams_leave(H2Conn *h2)
{
    while (h2->leaving != NULL) {
        H2Stream *s = h2->leaving;
        h2->leaving = s->dead;
        h2_stream_leave(s);
    }
}

void
h2_stream_reset(H2Stream *s, uint32_t error)
{
    if (!s->reset) {
        s->reset = true;
        int err =
            nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, error);
        if (err != 0) { /* no memory: else the stream would stay for ever */
            h2_refuse(s->h2, NGHTTP2_INTERNAL_ERROR, NULL, NULL);
        }
        h2_wake(s->h2);
    }
}

/* ---- What drain.c asks ------------------------------------------------------------------------ */

static bool
h2_exchange_is_pending(const HttpRequest *req)
{
    return req != NULL && req->told && req->response != HTTP_RESPONSE_DONE;
}

static bool
h2_exchange_streams(const HttpRequest *req)
{
    return req != NULL && req->response == HTTP_RESPONSE_STREAMING
           && req->length_left < 0;
}

HttpConn *
h2_conn_of(const HttpRequest *req)
{
    return req->h2 == NULL ? NULL : req->h2->h2->conn;
}

bool
h2_request_is_pending(const HttpRequest *req)
{
    return req->h2 != NULL && (h2_exchange_is_pending(req) || req->h2->tunnel != NULL);
}

void
h2_each_pending(const HttpConn *c, uint64_t now,
                void (*found)(void *arg, HttpPending pending), void *arg)
{
    const H2Conn *h2 = c->upgraded;
    for (Ring *link = h2->streams.next; link != &h2->streams; link = link->next) {
        const H2Stream *s = container_of(link, H2Stream, all);
        const HttpRequest *req = s->req;
        if (s->tunnel != NULL || h2_exchange_is_pending(req)) {
            found(arg, (HttpPending){.request = req,
                                     .websocket = s->tunnel != NULL,
                                     .stream = h2_exchange_streams(req),
                                     .age = now - req->began});
        }
    }
}

void
h2_end_streams(HttpConn *c)
{
    H2Conn *h2 = c->upgraded;
    h2->busy++; /* so that it stays while Python code runs */
    for (Ring *link = h2->streams.next; link != &h2->streams; link = link->next) {
        H2Stream *s = container_of(link, H2Stream, all);
        if (h2_exchange_streams(s->req)) {
            h2_stream_reset(s, NGHTTP2_CANCEL);
            h2_exchange_drop(s);
        }
    }
    h2_release(h2);
}
