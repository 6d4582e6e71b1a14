/* Two ways to write a response with fewer system calls (see response.h): several pieces are gathered
 * into one write, or the socket is lent to a thread in which the kernel copies a file to it. The
 * loop's thread.
 */
#include "base/py.h"

#include "http/response.h"

#include "http/conn.h"
#include "http/out.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <uv.h>

HttpBatch
http_batch_begin(HttpRequest *req)
{
    HttpConn *c = req->conn;
    if (c == NULL || c->server->gather != NULL || c->state == CONN_CLOSING) {
        return (HttpBatch){NULL};
    }
    out_gather(c);
    c->server->batching = true;
    return (HttpBatch){c};
}

/* The connection may have been closed since http_batch_begin, but it isn't freed before the next
 * iteration of the loop. */
void
http_batch_end(HttpBatch batch)
{
    HttpConn *c = batch.conn;
    if (c != NULL) {
        c->server->batching = false;
        out_release(c);
        exchange_advance(c);
        conn_settle(c);
    }
}

bool
http_can_lend(const HttpRequest *req)
{
    const HttpConn *c = req->conn;
    return c != NULL && !req->secure && !req->chunked && !req->bodyless
           && c->coded == NULL;
}

/* Whether the kernel is to keep what doesn't fill a segment: so a response's head leaves with the beginning of
 * the file. Fails on a Unix socket, which has no segments. */
static void
socket_cork(const HttpConn *c, int on)
{
#ifdef TCP_CORK
    uv_os_fd_t fd;
    if (uv_fileno(&c->stream.uv.handle, &fd) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
    }
#else
    (void)c, (void)on;
#endif
}

/* Lends the socket, which nothing is to be written to before. 0 or a negative UV_E*. */
static int
conn_lend(HttpConn *c, HttpLoan *loan)
{
    uv_os_fd_t fd;
    int err = uv_fileno(&c->stream.uv.handle, &fd);
    if (err != 0) {
        return err;
    }
    loan->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    loan->timeout = c->server->limits.write_timeout;
    c->lent = loan->fd >= 0;
    return c->lent ? 0 : uv_translate_sys_error(errno);
}

int
http_stream_lend(HttpRequest *req, HttpLoan *loan)
{
    HttpConn *c = req->conn;
    if (req->response != HTTP_RESPONSE_STREAMING || !http_request_is_open(req)) {
        return UV_ECANCELED;
    }
    if (c == NULL) { /* HTTP/2 */
        return UV_ENOTSUP;
    }
    if (!http_can_lend(req)) {
        out_flush(c);
        return c->broken ? UV_ECANCELED : UV_ENOTSUP;
    }
    if (c->lent) {
        return UV_EBUSY;
    }
    socket_cork(c, 1);
    out_flush(c);
    int err = c->broken               ? UV_ECANCELED
              : c->stream.queued != 0 ? UV_EAGAIN
                                      : conn_lend(c, loan);
    if (err != 0) {
        socket_cork(c, 0);
    }
    if (err == UV_EAGAIN) {
        stream_drain(&c->stream);
    }
    return err;
}

/* The connection whose socket is lent for `req`; NULL when it is closed. */
static HttpConn *
lent_conn(const HttpRequest *req)
{
    HttpConn *c = req->conn;
    return c != NULL && c->lent && req->response == HTTP_RESPONSE_STREAMING ? c : NULL;
}

static void
lent_count(HttpRequest *req, uint64_t bytes)
{
    if (req->length_left >= 0) {
        assert(bytes <= (uint64_t)req->length_left);
        req->length_left -= (int64_t)bytes;
    }
    req->body_out += bytes;
    conn_note_sent(req->conn, bytes);
}

void
http_stream_lent_part(HttpRequest *req, uint64_t bytes)
{
    HttpConn *c = lent_conn(req);
    if (c != NULL) {
        lent_count(req, bytes);
        c->lent_waits = true;
        conn_settle(c);
    }
}

void
http_stream_lent(HttpRequest *req, uint64_t bytes)
{
    HttpConn *c = lent_conn(req);
    if (c != NULL) {
        lent_count(req, bytes);
        socket_cork(c, 0);
        c->lent = false;
        c->lent_waits = false;
        if (c->server->gather != c) {
            conn_settle(c);
        }
    }
}

void
http_stream_lost(HttpRequest *req)
{
    HttpConn *c = lent_conn(req);
    if (c != NULL) {
        conn_break(c);
    }
}
