/* The life of a connection (see conn.h): its states, what it waits for after each event, and the ways to
 * close. Runs on the loop's thread with the GIL. The stream owns the memory until on_closed.
 */
#include "base/py.h"

#include "http/conn.h"

#include "base/probe.h"
#include "http/h2.h"
#include "http/out.h"
#include "net/server_tls_link.h"

#include <sys/socket.h>
#include <unistd.h>

static HttpConn *
conn_of_stream(Stream *stream)
{
    return container_of(stream, HttpConn, stream);
}

/* ---- States ------------------------------------------------------------------------------ */

static unsigned
states_after(ConnState state)
{
    enum { END = 1 << CONN_LINGER | 1 << CONN_CLOSING };
    switch (state) {
    case CONN_IDLE:
        return 1 << CONN_HEAD | 1 << CONN_UPGRADED | END; /* HTTP/2 by ALPN */
    case CONN_HEAD: /* to IDLE when there is no body and on_head has responded */
        return 1 << CONN_BODY | 1 << CONN_RESPONSE | 1 << CONN_IDLE | 1 << CONN_UPGRADED
               | END; /* HTTP/2 by its preface */
    case CONN_BODY:
        return 1 << CONN_RESPONSE | 1 << CONN_IDLE | END;
    case CONN_RESPONSE:
        return 1 << CONN_UPGRADED | 1 << CONN_IDLE | END;
    case CONN_UPGRADED:
        return END;
    case CONN_LINGER:
        return 1 << CONN_CLOSING;
    case CONN_CLOSING:
        return 0;
    }
    Py_UNREACHABLE();
}

/* Asserts that the combination of state and flags is legal. This holds between two events and whenever
 * a state has been entered; for CONN_CLOSING once conn_close has tidied up. Does nothing without
 * assertions. A flag may be set only as follows:
 *
 *   req           in HEAD, BODY, RESPONSE, and UPGRADED to WebSockets
 *   upgraded      in UPGRADED
 *   held          in BODY (paused) and UPGRADED (a violation that is dealt with later)
 *   yielded       in UPGRADED
 *   lent          while a streamed response is incomplete; lent_waits only together with it
 *   broken        while the connection waits in HttpServer.ready to be closed
 *   left          only when the client has sent FIN
 *   message_done  never: h1_parse clears it at once
 *
 * paused, in_field and rare belong to the exchange. exchange_begin sets them; outside of an exchange
 * they mean nothing. */
static void
conn_check(const HttpConn *c)
{
#ifndef NDEBUG
    bool body = c->state == CONN_BODY;
    bool upgraded = c->state == CONN_UPGRADED;
    bool over = c->state == CONN_LINGER || c->state == CONN_CLOSING;
    assert((c->req != NULL) == (c->state != CONN_IDLE && !over && !h2_is_spoken(c)));
    assert((c->upgraded != NULL) == upgraded);
    assert(!c->held || body || upgraded);
    assert(!c->yielded || upgraded);
    assert(!c->lent || body || c->state == CONN_RESPONSE);
    assert(!c->lent || c->req->response == HTTP_RESPONSE_STREAMING);
    assert(!c->lent_waits || c->lent);
    assert(!c->broken || c->state == CONN_CLOSING || ring_is_linked(&c->ready));
    assert(!c->left || c->eof);
    assert(!c->message_done || over);
    assert(c->state != CONN_RESPONSE || c->req->body_complete);
    assert(!over || c->kept.ptr == NULL);
#else
    (void)c;
#endif
}

void
conn_set_state(HttpConn *c, ConnState state)
{
    assert(states_after(c->state) & (1U << state));
    (void)states_after;
    PROBE(connection_state, c, c->state, state);
    c->state = state;
    if (state != CONN_CLOSING) { /* conn_close tidies up afterwards */
        conn_check(c);
    }
}

/* ---- Events of the stream ---------------------------------------------------------------- */

static void
conn_on_data(Stream *stream, Slice data)
{
    conn_read(conn_of_stream(stream), data);
}

static void
conn_on_eof(Stream *stream)
{
    HttpConn *c = conn_of_stream(stream);
    c->eof = true;
    if (c->state == CONN_LINGER) {
        conn_close(c, true);
    }
    half_closed(c);
    conn_settle(c);
}

static void
conn_on_reset(Stream *stream)
{
    half_reset(conn_of_stream(stream));
    conn_settle(conn_of_stream(stream));
}

static void
conn_on_error(Stream *stream, int err)
{
    HttpConn *c = conn_of_stream(stream);
    if (stream_is_handshaking(stream)) {
        const char *reason = stream_secure_reason(stream);
        server_refused(
            c->server, &c->peer,
            (HttpRefusal){.reason = reason != NULL ? reason : uv_strerror(err)});
    }
    conn_close(c, false);
}

static void
conn_on_secure(Stream *stream)
{
    HttpConn *c = conn_of_stream(stream);
    c->server->stats.tls_done++;
    if (h2_is_chosen(c)) {
        h2_begin(c, false);
    }
    conn_settle(c);
}

/* A request came without TLS, perhaps of a browser that was given http:// and this port. */
static void
conn_on_plain(Stream *stream)
{
    HttpConn *c = conn_of_stream(stream);
    exchange_reject(
        c, fault_make(400,
                      "This port speaks HTTPS only: use https:// instead of http://"));
    conn_settle(c);
}

static void
conn_on_drain(Stream *stream)
{
    HttpConn *c = conn_of_stream(stream);
    HttpRequest *req = c->req;
    if (c->state == CONN_UPGRADED) {
        c->upgrade->drained(c);
    } else if (req != NULL && req->response != HTTP_RESPONSE_DONE) {
        exchange_writable(c);
    }
    conn_settle(c);
}

/* ---- Settling ---------------------------------------------------------------------------- */

/* The client has sent FIN and everything it sent is parsed. Only a response that is still to come keeps
 * the connection open. */
static void
conn_settle_eof(HttpConn *c)
{
    if (!c->eof || c->held || conn_kept(c) != 0 || conn_is_blocked(c)) {
        return;
    }
    if (c->state == CONN_IDLE) {
        if (stream_is_handshaking(&c->stream)) {
            server_refused(c->server, &c->peer,
                           (HttpRefusal){.reason = "the client has gone away"});
        }
        conn_close(c, true);
    } else if (c->state == CONN_UPGRADED) {
        c->upgrade->eof(c);
    } else {
        exchange_reject(c, fault_make(400, "The request is cut off"));
    }
}

/* Whether enough bytes are kept that can't be used yet. The rest of a body that has to wait is better
 * left in the kernel; here it would only be copied once more. */
static bool
conn_is_full(const HttpConn *c)
{
    if (c->state == CONN_UPGRADED) {
        return conn_kept(c) != 0;
    }
    if (c->state == CONN_BODY && c->body_received != 0) {
        return true;
    }
    return limit_exceeded(c->server->limits.pipelined, conn_kept(c) + 1);
}

static void
conn_settle_reading(HttpConn *c)
{
    if (c->state == CONN_CLOSING) {
        return;
    }
    bool want =
        !c->eof && (c->state == CONN_LINGER || !conn_is_full(c) || !conn_is_blocked(c));
    if (want && !c->stream.reading) {
        int err = stream_read_start(&c->stream);
        if (err != 0) {
            conn_close(c, false);
        }
    } else if (!want && c->stream.reading) {
        stream_read_stop(&c->stream);
    }
}

/* Kept bytes that wait for no further event are parsed before the loop blocks. */
static void
conn_settle_ready(HttpConn *c)
{
    bool ready = c->state < CONN_LINGER && (conn_kept(c) != 0 || c->held)
                 && (c->yielded || !conn_is_blocked(c));
    if (ready) {
        conn_settle_later(c);
    }
}

void
conn_settle(HttpConn *c)
{
    conn_settle_eof(c);
    conn_settle_reading(c);
    conn_settle_ready(c);
    conn_settle_deadline(c);
    conn_check(c);
}

void
conn_settle_later(HttpConn *c)
{
    if (!ring_is_linked(&c->ready)) {
        ring_append(&c->server->ready, &c->ready);
    }
}

/* ---- Opening and closing ----------------------------------------------------------------- */

/* Nothing more is parsed. Common to closing and lingering. */
static void
conn_stop_parsing(HttpConn *c)
{
    if (!c->broken || c->state == CONN_CLOSING) {
        ring_remove(&c->ready);
    }
    conn_free_kept(c);
    c->held = false;
    c->yielded = false;
}

static void
conn_free(HttpConn *c)
{
    assert(c->parked == 0);
    ring_remove(&c->all);
    deadline_clear(&c->deadline);
    greeting_free(c->greeting);
    PyMem_RawFree(c);
}

static void
conn_on_closed(Stream *stream)
{
    HttpConn *c = conn_of_stream(stream);
    HttpServer *server = c->server;
    if (c->state != CONN_CLOSING) { /* the loop was closed, and with it the handle */
        conn_set_state(c, CONN_CLOSING);
        conn_stop_parsing(c);
        exchange_drop(c);
        out_discard(c);
    }
    conn_check(c);
    conn_free(c);
    server_conn_closed(server);
}

static const StreamOps stream_ops = {
    .on_data = conn_on_data,
    .on_eof = conn_on_eof,
    .on_error = conn_on_error,
    .on_reset = conn_on_reset,
    .on_drain = conn_on_drain,
    .on_closed = conn_on_closed,
    .on_secure = conn_on_secure,
    .on_plain = conn_on_plain,
};

/* A connection on `fd`; NULL when out of memory or when libuv refuses the descriptor. */
static HttpConn *
conn_new(HttpServer *server, int fd, bool is_unix, bool proxied)
{
    HttpConn *c = PyMem_RawCalloc(1, sizeof(*c));
    bool secure =
        server->secure != NULL && !proxied; /* else TLS begins after the header */
    SecureLink *link = secure ? secure_link_new(server->secure) : NULL;
    if (c == NULL || (secure && link == NULL)
        || (proxied && (c->greeting = greeting_new()) == NULL)
        || stream_open_fd(&c->stream, server->loop, &stream_ops, fd, is_unix) != 0) {
        secure_link_free(link);
        if (c != NULL) {
            greeting_free(c->greeting);
        }
        PyMem_RawFree(c);
        return NULL;
    }
    if (link != NULL) {
        stream_secure(&c->stream, link);
    }
    return c;
}

/* Whether the peer may send a header of the PROXY protocol; if not, that is reported. */
static bool
conn_may_greet(HttpServer *server, const NetAddr *addr, bool trusted)
{
    if (server->has_greeters ? trust_has(&server->greeters, addr) : trusted) {
        return true;
    }
    const char *reason = server->has_greeters ? "it isn't one of --proxy-allow-ips"
                                              : "it isn't one of --forwarded-allow-ips";
    server_refused(server, addr, (HttpRefusal){.status = -1, .reason = reason});
    return false;
}

void
conn_open(HttpServer *server, int fd, bool is_unix, const NetAddr *peer, bool proxied)
{
    NetAddr addr = *peer;
    net_addr_unmap(&addr);
    bool trusted = trust_has(&server->trust, &addr);
    if (proxied && !conn_may_greet(server, &addr, trusted)) {
        (void)close(fd);
        return;
    }
    HttpConn *c = conn_new(server, fd, is_unix, proxied);
    if (c == NULL) {
        (void)close(fd);
        return;
    }
    c->server = server;
    c->peer = addr;
    c->opened = uv_now(loop_uv(server->loop));
    c->trusted = trusted;
    c->believed = trusted ? server->trust.fields : 0;
    c->https = server->secure != NULL;
    PROBE(accept, c, fd);
    ring_append(&server->conns, &c->all);
    server->stats.accepted++;
    server->stats.open++;
    h1_init(c);
    conn_settle(c);
}

void
conn_finish(HttpConn *c)
{
    if (c->state == CONN_LINGER || c->state == CONN_CLOSING) {
        return;
    }
    out_flush(c);
    if (c->eof) {
        conn_close(c, true);
    }
    if (c->state == CONN_CLOSING) {
        return;
    }
    conn_stop_parsing(c);
    exchange_drop(c);
    conn_set_state(c, CONN_LINGER);
    uint32_t time = c->server->limits.linger_time;
    c->linger_end = time == 0 ? 0 : uv_now(c->stream.uv.handle.loop) + time;
    c->body_received = 0;
    stream_shutdown(&c->stream);
}

/* Ends a loan of the socket (http_stream_lend). Shutting the socket down wakes a borrower that waits
 * for room to write. */
static void
conn_recall_loan(HttpConn *c)
{
    uv_os_fd_t fd;
    if (c->lent && uv_fileno(&c->stream.uv.handle, &fd) == 0) {
        /* While the borrower has its duplicate, close() doesn't send the RST. Connecting to AF_UNSPEC
         * does. */
        const struct sockaddr none = {.sa_family = AF_UNSPEC};
        if (c->stream.reset) {
            (void)connect(fd, &none, sizeof none);
        }
        (void)shutdown(fd, SHUT_RDWR);
    }
    c->lent = false;
    c->lent_waits = false;
}

void
conn_cut(HttpConn *c)
{
    const HttpRequest *req = c->req;
    bool streams =
        req != NULL && (req->response == HTTP_RESPONSE_STREAMING || c->coded != NULL);
    if (!streams || req->bodyless || req->length_left == 0) {
        return;
    }
    /* Chunked framing and Content-Length show by themselves that something is missing. There is one
     * exception: some clients, among them Python's http.client, take a probe (half.c) followed by the
     * end of the connection for the last chunk. */
    bool framed = req->chunked ? c->probes == 0 : req->length_left >= 0;
    stream_cut(&c->stream, !framed);
}

/* Queued bytes are about to be dropped: makes sure that the client can tell. With TLS this needs no
 * RST, because the close_notify is dropped with them. */
static void
conn_cut_queued(HttpConn *c)
{
    if (c->stream.queued != 0) {
        stream_cut(&c->stream, c->stream.secure == NULL);
    }
}

void
conn_abort(HttpConn *c)
{
    if (c->state == CONN_CLOSING) {
        conn_cut_queued(c); /* it may be flushing */
        stream_close(&c->stream, false);
    }
    conn_close(c, false);
}

void
conn_close(HttpConn *c, bool flush)
{
    if (c->state == CONN_CLOSING) {
        return;
    }
    conn_cut(c);
    if (!flush) {
        conn_cut_queued(c);
    }
    if (flush) {
        out_flush(c);
    } else {
        out_discard(c);
    }
    if (c->state == CONN_CLOSING) { /* the flush failed */
        return;
    }
    conn_set_state(c, CONN_CLOSING);
    conn_stop_parsing(c);
    conn_recall_loan(c);
    exchange_drop(c);
    stream_close(&c->stream, flush);
    conn_settle_deadline(c);
    conn_check(c);
}

void
conn_break(HttpConn *c)
{
    if (c->state != CONN_CLOSING && !c->broken) {
        c->broken = true;
        conn_settle_later(c);
    }
}
