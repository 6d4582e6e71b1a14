/* How long a connection may stay in its state (see conn.h): which deadline the state requires, and
 * what happens when it has passed. The loop's thread.
 */
#include "base/py.h"

#include "http/conn.h"

/* The deadline that the state requires. */
static DeadlineKind
deadline_wanted(const HttpConn *c)
{
    bool waits = c->stream.queued != 0 || c->lent_waits;
    DeadlineKind writing = waits ? DEADLINE_WRITE : DEADLINE_NONE;
    switch (c->state) {
    case CONN_IDLE:
        if (stream_is_handshaking(&c->stream) || unlikely(c->greeting != NULL)) {
            return DEADLINE_HEADER;
        }
        return writing != DEADLINE_NONE ? writing : DEADLINE_KEEP_ALIVE;
    case CONN_HEAD:
        return DEADLINE_HEADER;
    case CONN_BODY:
        return c->paused ? writing : DEADLINE_BODY;
    case CONN_UPGRADED:
        return c->upgrade->deadline(c);
    case CONN_RESPONSE:
        return writing == DEADLINE_NONE && c->eof ? DEADLINE_HALF_CLOSED : writing;
    case CONN_CLOSING:
        return writing;
    case CONN_LINGER:
        if (writing != DEADLINE_NONE) {
            return writing;
        }
        return c->server->state == SERVER_RUNNING ? DEADLINE_LINGER
                                                  : DEADLINE_LINGER_LAST;
    }
    Py_UNREACHABLE();
}

uint64_t
conn_bytes_taken(const HttpConn *c)
{
    return c->sent + stream_secure_surplus(&c->stream) - c->stream.queued;
}

static void
deadline_start(HttpConn *c, DeadlineKind kind)
{
    c->progress = conn_bytes_taken(c);
    c->body_checked = c->body_received;
    deadline_set(&c->server->deadlines, &c->deadline, kind);
}

void
conn_settle_deadline(HttpConn *c)
{
    DeadlineKind kind = c->deadline.kind;
    DeadlineKind want = deadline_wanted(c);
    if (kind == want) {
        return;
    }
    if (want != DEADLINE_NONE) {
        if (kind == DEADLINE_WRITE) {
            c->silent = 0;
        }
        deadline_start(c, want);
    } else if (kind != DEADLINE_KEEP_ALIVE) {
        /* DEADLINE_KEEP_ALIVE stays set while a request is handled, because moving it afterwards is
         * cheaper than clearing and setting it. If it expires meanwhile, conn_expired ignores it. */
        deadline_clear(&c->deadline);
    }
}

/* Whether the body has arrived at HttpLimits.body_rate or faster since the deadline was set. */
static bool
body_is_fast_enough(const HttpConn *c)
{
    const HttpLimits *limits = &c->server->limits;
    uint64_t least = (uint64_t)limits->body_rate * limits->body_grace / 1000;
    return c->body_received - c->body_checked >= least;
}

static void
header_expired(HttpConn *c)
{
    if (stream_is_handshaking(&c->stream)) {
        server_refused(
            c->server, &c->peer,
            (HttpRefusal){.reason = "it took too long", .limit = "header_timeout"});
        conn_close(c, false);
    } else if (c->greeting != NULL) {
        server_refused(c->server, &c->peer,
                       (HttpRefusal){.status = -1,
                                     .reason = "its PROXY header took too long",
                                     .limit = "header_timeout"});
        conn_close(c, false);
    } else {
        exchange_reject(c, ((Fault){408, "The head of the request took too long",
                                    "header_timeout"}));
    }
}

static void
write_expired(HttpConn *c)
{
    if (conn_bytes_taken(c) != c->progress) {
        deadline_start(c, DEADLINE_WRITE);
    } else {
        conn_abort(c);
    }
}

/* Closes if the client was silent for too long, or if lingering has lasted long enough. Otherwise the
 * client may still have something to send. */
static void
linger_expired(HttpConn *c)
{
    uint64_t now = uv_now(c->stream.uv.handle.loop);
    bool late = c->linger_end != 0 && now >= c->linger_end;
    bool silent = c->body_received == c->body_checked;
    if (late || (silent && c->server->limits.linger_timeout != 0)) {
        conn_close(c, false);
    }
}

void
conn_expired(HttpConn *c, DeadlineKind kind)
{
    if (kind != deadline_wanted(c)) {
        conn_settle(c);
        return;
    }
    switch (kind) {
    case DEADLINE_KEEP_ALIVE:
        conn_close(c, true);
        break;
    case DEADLINE_HEADER:
        header_expired(c);
        break;
    case DEADLINE_BODY:
        if (!body_is_fast_enough(c)) {
            exchange_reject(c, ((Fault){408, "The body of the request came too slowly",
                                        "body_rate"}));
        }
        break;
    case DEADLINE_WRITE:
        write_expired(c);
        break;
    case DEADLINE_HALF_CLOSED:
        half_expired(c, conn_bytes_taken(c) != c->progress);
        break;
    case DEADLINE_LINGER:
        linger_expired(c);
        break;
    case DEADLINE_LINGER_LAST:
        conn_close(c, false);
        break;
    case DEADLINE_H2_IDLE:
    case DEADLINE_H2_LOOK:
    case DEADLINE_WS_PING:
    case DEADLINE_WS_PONG:
    case DEADLINE_WS_CLOSE:
        c->upgrade->expired(c, kind);
        break;
    case DEADLINE_NONE:
    case DEADLINE_KINDS:
        Py_UNREACHABLE();
    }
    conn_settle(c);
}
