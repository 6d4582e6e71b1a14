/* Bytes out. While a connection's input is parsed, everything that is to be written to it is
 * gathered in HttpServer.out and leaves in one system call at the end. What answers an iteration's
 * input is parked there for a moment, so that the answers to all connections leave together.
 *
 * Use: `mark = out_begin(c)`, append to c->server->out, `out_end(c, mark)`.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_OUT_H
#define FLUVIAL_HTTP_OUT_H

#include "http/conn.h"

/* After watch_take_back: what the thread has written of the parts. */
void out_settle_sent(HttpServer *server);

/* The buffer is the loop's again. First thing in whatever touches it. */
static inline void
out_take_back(HttpServer *server)
{
    if (atomic_load_explicit(&server->watch.state, memory_order_relaxed) != WATCH_OURS
        && unlikely(watch_take_back(server))) {
        out_settle_sent(server);
    }
}

static inline size_t
out_begin(const HttpConn *c)
{
    out_take_back(c->server);
    return c->server->out.len;
}

void out_end(HttpConn *c, size_t mark);
/* As out_end, with `body` behind the appended bytes; not copied, kept alive by `owner`
 * (borrowed). `tail` follows it; static memory. */
void out_end_with(HttpConn *c, size_t mark, Slice body, Slice tail, PyObject *owner);

void out_gather(HttpConn *c);
/* Stops gathering: what was gathered is written or parked. */
void out_release(HttpConn *c);
/* Writes what the connection has gathered or parked so far. */
void out_flush(HttpConn *c);
/* Drops it. */
void out_discard(HttpConn *c);

/* Writes what is parked. Nobody gathers, or appends, when it is called. */
void out_write_parked(HttpServer *server);

#endif
