/* Bytes out. While a connection's input is parsed, everything to be written to it is gathered in
 * HttpServer.out and leaves in one system call at the end. Responses to input of the current
 * iteration are parked there for a moment, so that those of all connections leave together.
 *
 * Use: `mark = out_begin(c)`, append to c->server->out, `out_end(c, mark)`.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_OUT_H
#define FLUVIAL_HTTP_OUT_H

#include "http/conn.h"

/* After watch_take_back: accounts for what the thread has written of the parked parts, and writes the
 * rest of them. */
void out_settle_sent(HttpServer *server);

/* Takes the buffer back from the thread of watch.h. Must come first in every function that touches
 * the buffer. */
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
/* As out_end, with `body` and then `tail` after the appended bytes. The body isn't copied: `owner`
 * (borrowed) keeps it alive. `tail` is static memory. */
void out_end_with(HttpConn *c, size_t mark, Slice body, Slice tail, PyObject *owner);

/* Starts gathering what is written to this connection. */
void out_gather(HttpConn *c);
/* Stops gathering, and writes or parks the gathered bytes. */
void out_release(HttpConn *c);
/* The application may go on for long after what it has just written: what the connection has gathered
 * or parked leaves in WATCH_NS at the latest, whatever runs until then. */
void out_offer(HttpConn *c);
/* Writes what the connection has gathered or parked so far. */
void out_flush(HttpConn *c);
/* Drops what the connection has gathered or parked so far. */
void out_discard(HttpConn *c);

/* Writes all parked bytes. No connection may be gathering or appending when it is called. */
void out_write_parked(HttpServer *server);

#endif
