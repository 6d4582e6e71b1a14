/* How a connection of HTTP/2 begins, and the ways in which it ends (see h2_conn.h): its nghttp2 session and
 * our SETTINGS, and who frees it. It is freed while nobody uses it, which `busy` counts. The loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

#include "http/out.h"
#include "net/server_tls_link.h"

#include <openssl/ssl.h>

/* ---- The beginning ----------------------------------------------------------------------- */

const char *
h2_version(void)
{
    return nghttp2_version(0)->version_str;
}

bool
h2_is_chosen(const HttpConn *c)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    if (c->server->limits.h2 == 0) {
        return false;
    }
    SSL_get0_alpn_selected(c->stream.secure->ssl, &name, &len);
    return slice_eq(slice_of((const char *)name, len), SLICE("h2"));
}

static int
h2_session_new(H2Conn *h2)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int err = h2_in_callbacks(&callbacks);
    if (err == 0) {
        err = h2_in_options(&option);
    }
    if (err == 0) {
        nghttp2_mem mem = h2_mem_for_session(h2->mem);
        err = nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &mem);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return err;
}

static uint32_t
h2_or_most(uint32_t limit, uint32_t most)
{
    return limit == 0 || limit > most ? most : limit;
}

/* Submits our SETTINGS: nghttp2 reads priorities by RFC 9218 once we say so. */
static int
h2_submit_settings(H2Conn *h2, const HttpLimits *limits)
{
    uint32_t window = h2_or_most(limits->h2_window, INT32_MAX);
    uint64_t whole = (uint64_t)window * H2_CONN_WINDOWS;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
         h2_or_most(limits->h2_streams, INT32_MAX)},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
         h2_or_most(limits->header_block, UINT32_MAX)},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
    };
    int err = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
                                      sizeof settings / sizeof *settings);
    if (err == 0) {
        err = nghttp2_session_set_local_window_size(
            h2->session, NGHTTP2_FLAG_NONE, 0,
            (int32_t)(whole > INT32_MAX ? INT32_MAX : whole));
    }
    return err;
}

H2Conn *
h2_new(HttpServer *server)
{
    if (server->h2_mem == NULL && (server->h2_mem = h2_mem_new()) == NULL) {
        return NULL;
    }
    H2Conn *h2 = PyMem_RawCalloc(1, sizeof(*h2));
    if (h2 == NULL) {
        return NULL;
    }
    ring_init(&h2->streams);
    ring_init(&h2->writable);
    h2->mem = h2_mem_ref(server->h2_mem);
    if (h2_session_new(h2) != 0 || h2_submit_settings(h2, &server->limits) != 0) {
        nghttp2_session_del(h2->session);
        h2_mem_unref(h2->mem);
        PyMem_RawFree(h2);
        return NULL;
    }
    return h2;
}

/* ---- The end ----------------------------------------------------------------------------- */

void
h2_bury(H2Conn *h2)
{
    while (h2->dead != NULL) {
        H2Stream *s = h2->dead;
        h2->dead = s->dead;
        ring_remove(&s->all);
        h2_mem_put(h2->mem, s->text); /* nghttp2 sends nothing of it any more */
        h2_mem_put(h2->mem, s);
    }
}

void
h2_free(H2Conn *h2)
{
    assert(h2->conn == NULL && h2->busy == 0);
    h2->busy++;
    for (Ring *link = h2->streams.next; link != &h2->streams; link = link->next) {
        h2_stream_over(container_of(link, H2Stream, all));
    }
    h2_streams_leave(h2);
    h2_bury(h2);
    nghttp2_session_del(h2->session);
    h2_out_release(h2);
    buf_free(&h2->nv);
    buf_free(&h2->text);
    h2_mem_unref(h2->mem);
    PyMem_RawFree(h2);
}

void
h2_release(H2Conn *h2)
{
    if (--h2->busy != 0) {
        return;
    }
    h2_bury(h2);
    if (h2->conn == NULL) {
        h2_free(h2);
    } else if (h2->again) {
        h2_wake(h2);
    }
}

void
h2_drop(HttpConn *c)
{
    H2Conn *h2 = c->upgraded;
    c->upgraded = NULL;
    h2->busy++;
    for (Ring *link = h2->streams.next; link != &h2->streams; link = link->next) {
        h2_exchange_drop(container_of(link, H2Stream, all));
    }
    h2->conn = NULL;
    if (--h2->busy == 0) {
        h2_free(h2);
    }
}

void
h2_finish(H2Conn *h2)
{
    HttpConn *c = h2->conn;
    h2_drop(c);
    if (c->state == CONN_UPGRADED) {
        conn_finish(c);
    }
}

/* Writes GOAWAY by hand: after an error nghttp2 can't be asked to. */
static void
h2_write_goaway(H2Conn *h2)
{
    HttpConn *c = h2->conn;
    uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(h2->session);
    unsigned char frame[17] = {0, 0, 8, NGHTTP2_GOAWAY};
    for (int i = 0; i < 4; i++) {
        frame[9 + i] = (unsigned char)(last >> (24 - 8 * i));
        frame[13 + i] = (unsigned char)(h2->error >> (24 - 8 * i));
    }
    size_t mark = out_begin(c);
    (void)buf_append(&c->server->out, (const char *)frame, sizeof frame);
    out_end(c, mark);
}

void
h2_fail(H2Conn *h2)
{
    HttpConn *c = h2->conn;
    HttpServer *server = c->server;
    NetAddr peer = c->peer;
    const HttpRefusal refusal = {
        .status = HTTP_REFUSED_H2, .reason = h2->detail, .limit = h2->limit};
    h2_write_goaway(h2);
    h2_finish(h2);
    if (refusal.reason != NULL) {
        server_refused(server, &peer, refusal); /* last, because it runs Python code */
    }
}
