/* HTTP/2 by Upgrade (RFC 7540 section 3.2, which RFC 9113 has dropped): a request of HTTP/1.1 without TLS offers "h2c",
 * and becomes stream 1 of the connection. What isn't exactly as the RFC wants it stays HTTP/1.1, which a server may
 * always choose; so does a request with a body (ADR 29). The loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

#include "http/list.h"
#include "http/out.h"

#include <openssl/evp.h>

enum {
    H2_SETTING = 6,        /* bytes of one */
    H2_SETTINGS_MOST = 32, /* nghttp2 takes no more */
    H2_SETTINGS_TEXT = H2_SETTINGS_MOST * H2_SETTING * 4 / 3,
};

/* ---- The offer --------------------------------------------------------------------------- */

/* Decodes whole settings: base64 for URLs (RFC 4648 section 5), eight digits for each, so that there is no padding.
 * Returns their bytes; -1: they are malformed. */
static int
h2_settings_decode(Slice text, uint8_t out[H2_SETTINGS_MOST * H2_SETTING])
{
    unsigned char plain[H2_SETTINGS_TEXT];
    if (text.len > H2_SETTINGS_TEXT || text.len % 8 != 0) {
        return -1;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '+' || c == '/' || c == '=') { /* of plain base64 */
            return -1;
        }
        plain[i] = (unsigned char)(c == '-' ? '+' : c == '_' ? '/' : c);
    }
    int n = EVP_DecodeBlock(out, plain, (int)text.len);
    return n == (int)(text.len / 4 * 3) ? n : -1; /* it skips blanks */
}

/* Whether a setting has a value that RFC 9113 section 6.5.2 and RFC 8441 section 3 allow. */
static bool
h2_setting_is_allowed(const uint8_t setting[H2_SETTING])
{
    unsigned id = (unsigned)setting[0] << 8 | setting[1];
    uint32_t value = (uint32_t)setting[2] << 24 | (uint32_t)setting[3] << 16
                     | (uint32_t)setting[4] << 8 | setting[5];
    switch (id) {
    case NGHTTP2_SETTINGS_ENABLE_PUSH:
    case NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL:
        return value <= 1;
    case NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE:
        return value <= INT32_MAX;
    case NGHTTP2_SETTINGS_MAX_FRAME_SIZE:
        return value >= 1 << 14 && value < 1 << 24;
    default:
        return true;
    }
}

/* The bytes of the only HTTP2-Settings field; -1: there is none, or several, or it is malformed. */
static int
h2_settings_find(const HttpRequest *req, uint8_t out[H2_SETTINGS_MOST * H2_SETTING])
{
    const Slice name = SLICE("http2-settings");
    int32_t i = http_field_find(req, name, 0);
    if (i < 0 || http_field_find(req, name, (uint32_t)i + 1) >= 0) {
        return -1;
    }
    int len = h2_settings_decode(http_field_value(req, (uint32_t)i), out);
    for (int at = 0; at < len; at += H2_SETTING) {
        if (!h2_setting_is_allowed(out + at)) {
            return -1;
        }
    }
    return len;
}

bool
h2_is_offered(const HttpConn *c)
{
    const HttpRequest *req = c->req;
    uint8_t settings[H2_SETTINGS_MOST * H2_SETTING];
    return req->upgrade >= 0 && c->server->limits.h2 != 0 && c->stream.secure == NULL
           && !c->eof && req->minor == 1 && !req->has_body && !req->expect_continue
           && req->method != HTTP_CONNECT && req->keep_alive
           && http_field_find(req, SLICE("content-length"), 0) < 0
           && list_has(req, SLICE("upgrade"), SLICE("h2c"))
           && !list_has(req, SLICE("upgrade"), SLICE("websocket"))
           && list_has(req, SLICE("connection"), SLICE("upgrade"))
           && list_has(req, SLICE("connection"), SLICE("http2-settings"))
           && h2_settings_find(req, settings) >= 0;
}

/* ---- The change -------------------------------------------------------------------------- */

static void
h2_field_moved(int32_t *place, int32_t from, int32_t to)
{
    if (*place == from) {
        *place = to;
    }
}

/* Takes out the fields of the connection, which HTTP/2 doesn't have (RFC 9113 section 8.2.2). */
static void
h2_fields_strip(HttpRequest *req)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < (int32_t)req->nfields; i++) {
        Slice name = http_field_name(req, (uint32_t)i);
        if (!http_is_hop_by_hop(name) && !slice_eq(name, SLICE("http2-settings"))) {
            h2_field_moved(&req->host, i, kept);
            h2_field_moved(&req->content_type, i, kept);
            h2_field_moved(&req->cookie, i, kept);
            req->fields[kept++] = req->fields[i];
        }
    }
    req->nfields = (uint32_t)kept;
    req->upgrade = -1;
}

/* The connection's request becomes that of stream 1, whose body has ended. NULL: it can't. */
static H2Stream *
h2_upgrade_stream(H2Conn *h2, HttpRequest *req)
{
    uint8_t settings[H2_SETTINGS_MOST * H2_SETTING];
    int len = h2_settings_find(req, settings);
    h2_fields_strip(req);
    H2Stream *s = h2_stream_adopt(h2, 1, req);
    if (s == NULL) {
        return NULL;
    }
    s->begun = s->trailing = s->ended_in = true;
    h2->newest = 1;
    h2->opened = 1;
    int err = nghttp2_session_upgrade2(h2->session, settings,
                                       (size_t)(len < 0 ? 0 : len), req->is_head, NULL);
    h2->head_at = h2_now(h2); /* the client's preface must come in time */
    if (err == 0) {
        err = nghttp2_session_set_stream_user_data(h2->session, 1, s);
    }
    return err == 0 ? s : NULL;
}

static const char SWITCHING[] = "HTTP/1.1 101 Switching Protocols\r\n"
                                "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

void
h2_upgrade(HttpConn *c)
{
    HttpRequest *req = c->req;
    size_t mark = out_begin(c);
    int err = buf_append(&c->server->out, SWITCHING, sizeof SWITCHING - 1);
    out_end(c, mark);
    if (err != 0) {
        conn_close(c, false);
        return;
    }
    c->req = NULL;
    req->conn = NULL;
    h2_begin(c, false);
    if (c->state != CONN_UPGRADED) {
        http_request_unref(req);
        return;
    }
    H2Conn *h2 = c->upgraded;
    h2->busy++; /* so that it stays while Python code runs */
    H2Stream *s = h2_upgrade_stream(h2, req);
    if (s == NULL) {
        h2_refuse(h2, NGHTTP2_INTERNAL_ERROR, NULL, NULL);
    } else {
        h2_exchange_head(s);
        if (h2->conn != NULL) {
            h2_exchange_end(s);
        }
    }
    h2_release(h2);
}
