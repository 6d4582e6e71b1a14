/* The head of an HTTP/2 request becomes that of an HttpRequest: :path is its target, :authority its Host
 * field, and cookies are one field. nghttp2 has refused what RFC 9113 section 8.2 and 8.3 call malformed:
 * pseudo-header fields that are missing, repeated or late, upper-case names, fields of the connection. Host, target
 * and limits are checked as for HTTP/1.1 (request_head.c). While a head arrives no other can, so that HttpConn's
 * place for the current request serves each in turn. The loop's thread.
 */
#include "base/py.h"

#include "http/forwarded.h"
#include "http/h2_conn.h"

enum { H2_FIELD_OVERHEAD = 4 }; /* what a field counts beside its name and value */

static Slice
rcbuf_slice(nghttp2_rcbuf *buf)
{
    if (buf == NULL) {
        return slice_of("", 0);
    }
    nghttp2_vec vec = nghttp2_rcbuf_get_buf(buf);
    return slice_of((const char *)vec.base, vec.len);
}

/* The first fault counts. */
static void
h2_fault(H2Stream *s, int status, const char *detail, const char *limit)
{
    if (s->fault.status == 0) {
        s->fault = (Fault){status, detail, limit};
    }
}

static void
rcbuf_keep(nghttp2_rcbuf **place, nghttp2_rcbuf *buf)
{
    if (*place == NULL) {
        nghttp2_rcbuf_incref(buf);
        *place = buf;
    }
}

static inline void
rcbuf_drop(nghttp2_rcbuf **place)
{
    if (*place != NULL) {
        nghttp2_rcbuf_decref(*place);
        *place = NULL;
    }
}

void
h2_head_clear(H2Stream *s)
{
    rcbuf_drop(&s->path);
    rcbuf_drop(&s->authority);
    rcbuf_drop(&s->method);
    rcbuf_drop(&s->protocol);
    if (s->cookie.cap != 0) {
        buf_free(&s->cookie);
    }
}

/* ---- Fields ---------------------------------------------------------------------------------- */

/* Adds a field, and notes what the layer above or a trusted proxy needs. */
static void
h2_add_field(H2Stream *s, Slice name, Slice value)
{
    HttpRequest *req = s->req;
    HttpConn *c = s->h2->conn;
    bool again = (req->host >= 0 && slice_eq(name, SLICE("host")))
                 || (req->content_type >= 0 && slice_eq(name, SLICE("content-type")));
    if (again) {
        h2_fault(s, 400,
                 name.len == 4 ? "There is more than one Host field"
                               : "There is more than one Content-Type field",
                 NULL);
        return;
    }
    if (http_request_add_field(req, name, value) != 0) {
        h2_fault(s, 503, "The server is out of memory", NULL);
        return;
    }
    if (slice_eq(name, SLICE("expect"))) {
        c->rare |= RARE_EXPECT;
    } else if (name.ptr[0] == 'f' || name.ptr[0] == 'x') {
        c->req = req;
        forwarded_note(c);
        c->req = NULL;
    }
}

/* Begins HttpRequest.head, once the pseudo-header fields are there. */
static void
h2_head_begin(H2Stream *s)
{
    HttpRequest *req = s->req;
    Slice path = rcbuf_slice(s->path);
    Slice authority = rcbuf_slice(s->authority);
    s->begun = true;
    if (limit_exceeded(req->server->limits.request_line, path.len)) {
        h2_fault(s, 414, "The request target is too long", "request_line");
        return;
    }
    if (path.len != 0 && path.ptr[0] != '/' && !slice_eq(path, SLICE("*"))) {
        /* An absolute one would name another host than :authority. */
        h2_fault(s, 400, "The request target is malformed", NULL);
        return;
    }
    if (buf_append_slice(&req->head, path) != 0) {
        h2_fault(s, 503, "The server is out of memory", NULL);
        return;
    }
    req->target_len = (uint32_t)path.len;
    if (authority.len != 0) {
        h2_add_field(s, SLICE("host"), authority);
    }
}

/* Whether the field fits within the limits. */
static bool
h2_field_fits(H2Stream *s, size_t len)
{
    const HttpLimits *limits = h2_limits(s);
    s->decoded += len + H2_FIELD_OVERHEAD;
    if (limit_exceeded(limits->header_block, s->decoded)
        || s->decoded > UINT32_MAX / 2) {
        h2_fault(s, 431, "The header section is too large", "header_block");
    } else if (s->begun
               && limit_exceeded(limits->header_fields,
                                 (uint64_t)s->req->nfields + 1)) {
        h2_fault(s, 431, "There are too many header fields", "header_fields");
    }
    return s->fault.status == 0;
}

static void
h2_pseudo_field(H2Stream *s, Slice name, nghttp2_rcbuf *value)
{
    if (slice_eq(name, SLICE(":path"))) {
        rcbuf_keep(&s->path, value);
    } else if (slice_eq(name, SLICE(":authority"))) {
        rcbuf_keep(&s->authority, value);
    } else if (slice_eq(name, SLICE(":method"))) {
        rcbuf_keep(&s->method, value);
    } else if (slice_eq(name, SLICE(":protocol"))) {
        rcbuf_keep(&s->protocol, value);
    }
}

static void
h2_cookie(H2Stream *s, Slice value)
{
    if ((s->cookie.len != 0 && buf_append(&s->cookie, "; ", 2) != 0)
        || buf_append_slice(&s->cookie, value) != 0) {
        h2_fault(s, 503, "The server is out of memory", NULL);
    }
}

/* A Host field beside :authority must say the same (RFC 9113 section 8.3.1). */
static void
h2_host(H2Stream *s, Slice value)
{
    Slice authority = rcbuf_slice(s->authority);
    if (authority.len == 0) {
        h2_add_field(s, SLICE("host"), value);
        return;
    }
    bool same = value.len == authority.len;
    for (size_t i = 0; same && i < value.len; i++) {
        same = ascii_lower(value.ptr[i]) == ascii_lower(authority.ptr[i]);
    }
    if (!same) {
        h2_fault(s, 400, "The Host field and :authority differ", NULL);
    }
}

void
h2_head_field(H2Stream *s, nghttp2_rcbuf *name_buf, nghttp2_rcbuf *value_buf)
{
    Slice name = rcbuf_slice(name_buf), value = rcbuf_slice(value_buf);
    bool pseudo = name.len != 0 && name.ptr[0] == ':';
    if (s->req == NULL) {
        return;
    }
    if (!pseudo && !s->begun) {
        h2_head_begin(s);
    }
    if (pseudo) { /* even if it is too much: the log names it */
        h2_pseudo_field(s, name, value_buf);
    }
    if (!h2_field_fits(s, name.len + value.len) || pseudo) {
        return;
    }
    if (slice_eq(name, SLICE("cookie"))) {
        h2_cookie(s, value);
    } else if (slice_eq(name, SLICE("host"))) {
        h2_host(s, value);
    } else {
        h2_add_field(s, name, value);
    }
}

/* ---- The end of the head --------------------------------------------------------------------- */

/* llhttp's number for the method; false when it is unknown or isn't one that HTTP/1.1 gets either. */
static bool
h2_method(Slice name, uint8_t *out)
{
    static const struct {
        Slice name;
        uint8_t number;
    } methods[] = {
#define H2_METHOD(number, name, string) {{#string, sizeof(#string) - 1}, number},
        HTTP_METHOD_MAP(H2_METHOD)
#undef H2_METHOD
    };
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (slice_eq(methods[i].name, name)) {
            *out = methods[i].number;
            return *out != HTTP_CONNECT && (*out <= HTTP_SOURCE || *out == HTTP_QUERY);
        }
    }
    *out = METHOD_UNKNOWN;
    return false;
}

/* The value of Content-Length, which nghttp2 has found to be one number; -1: there is none. */
static int64_t
h2_content_length(const HttpRequest *req)
{
    int32_t i = http_field_find(req, SLICE("content-length"), 0);
    if (i < 0) {
        return -1;
    }
    Slice value = http_field_value(req, (uint32_t)i);
    uint64_t length;
    return slice_decimal(value, INT64_MAX, &length) ? (int64_t)length : INT64_MAX;
}

/* What request_head.c finds. */
static Fault
h2_head_check(HttpConn *c, HttpRequest *req)
{
    c->req = req;
    Fault fault = head_check(req);
    if (fault.status == 0 && c->rare != 0) {
        fault = head_check_rare(c);
    }
    c->req = NULL;
    return fault;
}

/* Extended CONNECT (RFC 8441), which nghttp2 has checked. The layers above see the GET that it is by HTTP/1.1. */
static void
h2_head_connect(H2Stream *s)
{
    HttpRequest *req = s->req;
    req->method = HTTP_GET;
    req->has_body = false;
    req->body_complete = true;
    if (!slice_eq_nocase(rcbuf_slice(s->protocol), SLICE("websocket"))) {
        h2_fault(s, 501, "The protocol is not supported", NULL);
        return;
    }
    req->upgrade = 0; /* see ws_is_offered */
    s->connect = true;
}

void
h2_head_end(H2Stream *s, bool end_stream)
{
    HttpRequest *req = s->req;
    if (req == NULL) {
        return;
    }
    if (!s->begun) {
        h2_head_begin(s);
    }
    if (s->cookie.len != 0 && s->fault.status == 0) {
        h2_add_field(s, SLICE("cookie"), buf_slice(&s->cookie));
    }
    req->keep_alive = true;
    req->content_length = h2_content_length(req);
    req->has_body = !end_stream && req->content_length != 0;
    if (s->protocol != NULL) {
        h2_head_connect(s);
    } else if (!h2_method(rcbuf_slice(s->method), &req->method)) {
        h2_fault(s, 501, "The method is not supported", NULL);
    }
    req->is_head = req->method == HTTP_HEAD;
    if (s->fault.status == 0) {
        s->fault = h2_head_check(s->h2->conn, req);
    }
    h2_head_clear(s);
    s->trailing = true;
    s->decoded = 0;
}
