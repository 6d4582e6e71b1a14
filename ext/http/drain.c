/* How the connections of a server end when it stops (see server.h): which are closed at once, which may go
 * on, and what is still unanswered. The loop's thread, with the GIL.
 */
#include "base/py.h"

#include "http/conn.h"
#include "http/h2.h"

#include <sys/ioctl.h>

/* Whether the kernel has bytes of the client's that haven't been read. Closing would drop them, and reset
 * the connection. */
static bool
conn_has_unread(const HttpConn *c)
{
    uv_os_fd_t fd;
    int waiting = 0;
    return uv_fileno(&c->stream.uv.handle, &fd) == 0
           && ioctl(fd, FIONREAD, &waiting) == 0 && waiting > 0;
}

/* Whether a request is probably on its way: bytes of it are there, or the client has only just connected,
 * or has only just had a response which said that the connection stays. */
static bool
conn_expects_request(const HttpConn *c)
{
    uint64_t age = uv_now(loop_uv(c->server->loop)) - c->opened;
    return conn_kept(c) != 0 || conn_has_unread(c) || (!c->used && age < FIRST_REQUEST);
}

void
conn_drain(HttpConn *c, bool idle)
{
    if (c->state == CONN_IDLE) {
        if (idle && !conn_expects_request(c)) {
            conn_close(c, true);
        }
    } else if (c->state == CONN_UPGRADED) {
        c->upgrade->drain(c);
    } else if (c->state == CONN_LINGER) {
        conn_settle(c); /* its time is shorter now */
    }
}

bool
conn_streams(const HttpConn *c)
{
    return (c->state == CONN_BODY || c->state == CONN_RESPONSE)
           && c->req->response == HTTP_RESPONSE_STREAMING && c->req->length_left < 0;
}

/* ---- What is unanswered ------------------------------------------------------------------ */

static bool
conn_is_pending(const HttpConn *c)
{
    const HttpRequest *req = c->req;
    return req != NULL && req->told && (conn_owes(c) || c->state == CONN_UPGRADED);
}

bool
http_request_is_pending(const HttpRequest *req)
{
    if (req->conn == NULL) {
        return h2_request_is_pending(req);
    }
    return req->conn->req == req && conn_is_pending(req->conn);
}

void
http_server_pending(HttpServer *server, void (*found)(void *arg, HttpPending pending),
                    void *arg)
{
    uint64_t now = uv_now(loop_uv(server->loop));
    for (Ring *link = server->conns.next; link != &server->conns; link = link->next) {
        const HttpConn *c = container_of(link, HttpConn, all);
        if (h2_is_spoken(c)) {
            h2_each_pending(c, now, found, arg);
        } else if (conn_is_pending(c)) {
            found(arg, (HttpPending){.request = c->req,
                                     .websocket = c->state == CONN_UPGRADED,
                                     .stream = conn_streams(c),
                                     .age = now - c->req->began});
        }
    }
}
