/* Bytes out. While a connection's input is parsed, everything that is to be written to it is
 * gathered in HttpServer.out and leaves in one system call at the end. Other connections' bytes
 * pass through the same buffer, behind those, and are written at once.
 *
 * Use: `mark = out_begin(c)`, append to c->server->out, `out_end(c, mark)`.
 */
#ifndef FLUVIAL_HTTP_OUT_H
#define FLUVIAL_HTTP_OUT_H

#include "http/conn.h"

static inline size_t
out_begin(const HttpConn *c)
{
    return c->server->out.len;
}

void out_end(HttpConn *c, size_t mark);
/* As out_end, with `body` behind the appended bytes; not copied, kept alive by `owner`
 * (borrowed). `tail` follows it; static memory. */
void out_end_with(HttpConn *c, size_t mark, Slice body, Slice tail, PyObject *owner);

void out_gather(HttpConn *c);
/* Writes what was gathered and stops gathering. */
void out_release(HttpConn *c);
/* Writes what was gathered so far. */
void out_flush(HttpConn *c);
/* Drops what was gathered. */
void out_discard(HttpConn *c);

#endif
