/* A connection to a listener with the PROXY protocol, from its first byte to the end of the header (see
 * conn.h). After that the connection is served as if the client had connected directly. The connection owns the struct, which is
 * gone by then. The loop's thread.
 */
#include "base/py.h"

#include "http/conn.h"

#include "http/proxy_header.h"

/* What has arrived of the header. */
struct Greeting {
    Buf bytes; /* owned */
};

Greeting *
greeting_new(void)
{
    return PyMem_RawCalloc(1, sizeof(Greeting));
}

void
greeting_free(Greeting *greeting)
{
    if (greeting != NULL) {
        buf_free(&greeting->bytes);
        PyMem_RawFree(greeting);
    }
}

/* Takes over what the header says. The proxy has passed on the client's bytes as they are, header fields
 * included, so these are believed only if the client itself is a trusted proxy. */
static void
greeting_apply(HttpConn *c, const ProxyHeader *header)
{
    if (header->local) {
        return;
    }
    c->trusted = false;
    c->believed = 0;
    c->https = c->https || header->https;
    if (header->known) {
        const Trust *trust = &c->server->trust;
        c->peer = header->from;
        c->local = header->to;
        c->trusted = trust_has(trust, &c->peer);
        c->believed = c->trusted ? trust->fields : 0;
    }
}

static void
greeting_fail(HttpConn *c, const char *reason)
{
    NetAddr peer = c->peer;
    HttpServer *server = c->server;
    conn_close(c, false);
    server_refused(server, &peer, (HttpRefusal){.status = -1, .reason = reason});
}

bool
greeting_data(HttpConn *c, Slice data, Buf *rest)
{
    Greeting *greeting = c->greeting;
    ProxyHeader header;
    if (buf_append_slice(&greeting->bytes, data) != 0) {
        greeting_fail(c, "the server is out of memory");
        return false;
    }
    switch (proxy_header_read(buf_slice(&greeting->bytes), &header)) {
    case PROXY_MORE:
        return false;
    case PROXY_MALFORMED:
        greeting_fail(c, "its header of the PROXY protocol is missing or malformed");
        return false;
    case PROXY_DONE:
        break;
    }
    greeting_apply(c, &header);
    *rest = greeting->bytes;
    greeting->bytes = (Buf){NULL, 0, 0};
    buf_consume(rest, header.len);
    c->greeting = NULL;
    greeting_free(greeting);
    return true;
}
