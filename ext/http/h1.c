/* llhttp's callbacks. They build an HttpRequest from the bytes, and check every limit on a part of the
 * request before they keep the part. llhttp runs without any of its lenient flags but one, see h1_init
 * (ADR 7); request_head.c checks what llhttp doesn't check about a head. A callback that refuses sets
 * HttpConn.fault and stops the parser. The loop's thread.
 */
#include "base/py.h"

#include "http/conn.h"
#include "http/forwarded.h"
#include "http/h1_fault.h"
#include "http/h2.h"

enum {
    HEAD_FIRST = 1024,  /* bytes reserved for the first head of a request object */
    FIELD_OVERHEAD = 4, /* ": " and CRLF, which count towards the header block */
};

static HttpConn *
conn_of_parser(llhttp_t *parser)
{
    return container_of(parser, HttpConn, parser);
}

static int
h1_refuse(HttpConn *c, int status, const char *detail)
{
    c->fault = fault_make(status, detail);
    return HPE_USER;
}

static int
h1_refuse_excess(HttpConn *c, int status, const char *detail, const char *limit)
{
    c->fault = (Fault){status, detail, limit};
    return HPE_USER;
}

static int
h1_refuse_memory(HttpConn *c)
{
    return h1_refuse(c, 503, "The server is out of memory");
}

/* ---- The request line -------------------------------------------------------------------- */

static int
h1_on_message_begin(llhttp_t *parser)
{
    HttpConn *c = conn_of_parser(parser);
    if (exchange_begin(c) != 0 || buf_reserve(&c->req->head, HEAD_FIRST) != 0) {
        return h1_refuse_memory(c);
    }
    return 0;
}

static int
h1_on_url(llhttp_t *parser, const char *at, size_t len)
{
    HttpConn *c = conn_of_parser(parser);
    HttpRequest *req = c->req;
    if (unlikely(h1_is_of_rtsp(c))) {
        return h1_refuse(c, 501, H1_OTHER_METHOD);
    }
    if (unlikely(h1_has_two_spaces(c, at))) {
        return h1_refuse(c, 400, H1_TWO_SPACES);
    }
    if (limit_exceeded(c->server->limits.request_line, req->target_len + len)) {
        return h1_refuse_excess(c, 414, "The request target is too long",
                                "request_line");
    }
    if (buf_append(&req->head, at, len) != 0) {
        return h1_refuse_memory(c);
    }
    req->target_len += (uint32_t)len;
    return 0;
}

/* llhttp also accepts RTSP and ICE. Their names have letters that "HTTP" has not, so that each piece of
 * a name can be checked on its own. */
static int
h1_on_protocol(llhttp_t *parser, const char *at, size_t len)
{
    HttpConn *c = conn_of_parser(parser);
    if (unlikely(h1_has_two_spaces(c, at))) {
        return h1_refuse(c, 400, H1_TWO_SPACES);
    }
    if (likely(len == 4 && memcmp(at, "HTTP", 4) == 0)) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        if (at[i] != 'H' && at[i] != 'T' && at[i] != 'P') {
            return h1_refuse(c, 400, H1_OTHER_PROTOCOL);
        }
    }
    return 0;
}

/* Whether this is the preface of HTTP/2 (RFC 9113 section 3.4), "PRI * HTTP/2.0" …, at the beginning of a
 * connection without TLS. llhttp checks the rest of it, and stops after it. */
static bool
h2_may_begin(const HttpConn *c)
{
    const HttpServer *server = c->server;
    bool first = c->sent == 0 && c->parked == 0 && server->gather == c
                 && server->out.len == server->gather_from;
    return c->parser.method == HTTP_PRI && c->parser.http_major == 2
           && server->limits.h2 != 0 && c->stream.secure == NULL && first;
}

/* RFC 9110 section 2.5: a later minor version is treated as the latest one known. */
static int
h1_on_version_complete(llhttp_t *parser)
{
    if (unlikely(parser->http_major != 1)) {
        if (h2_may_begin(conn_of_parser(parser))) {
            return 0;
        }
        return h1_refuse(conn_of_parser(parser), 505,
                         "The version of HTTP is not supported");
    }
    if (unlikely(parser->http_minor > 1)) {
        parser->http_minor = 1;
    }
    return 0;
}

/* ---- Fields ------------------------------------------------------------------------------ */

/* Trailer fields are counted and dropped. The start of each name is kept, to recognise the forbidden
 * ones. */
static int
trailer_count(HttpConn *c, size_t len)
{
    c->trailer_bytes += (uint32_t)len;
    if (limit_exceeded(c->server->limits.trailer_block, c->trailer_bytes)) {
        return h1_refuse_excess(c, 400, "The trailer section is too large",
                                "trailer_block");
    }
    return 0;
}

static int
trailer_name_add(HttpConn *c, const char *at, size_t len)
{
    for (size_t i = 0; i < len && c->trailer_name_len < TRAILER_NAME_MAX; i++) {
        c->trailer_name[c->trailer_name_len++] = ascii_lower(at[i]);
    }
    return trailer_count(c, len);
}

/* RFC 9110 section 6.5.1: a trailer must not change framing, routing or the connection. */
static int
trailer_end(HttpConn *c)
{
    Slice name = slice_of(c->trailer_name, c->trailer_name_len);
    c->trailer_name_len = 0;
    if (slice_eq(name, SLICE("content-length")) || slice_eq(name, SLICE("host"))
        || slice_eq(name, SLICE("transfer-encoding"))
        || slice_eq(name, SLICE("connection")) || slice_eq(name, SLICE("upgrade"))
        || slice_eq(name, SLICE("proxy-connection"))) {
        return h1_refuse(c, 400, "A field is not allowed in the trailer section");
    }
    return trailer_count(c, FIELD_OVERHEAD);
}

static int
h1_field_begin(HttpConn *c)
{
    HttpRequest *req = c->req;
    c->in_field = true;
    if (limit_exceeded(c->server->limits.header_fields, (uint64_t)req->nfields + 1)) {
        return h1_refuse_excess(c, 431, "There are too many header fields",
                                "header_fields");
    }
    if (req->nfields == req->cap_fields && request_fields_grow(req) != 0) {
        return h1_refuse_memory(c);
    }
    req->fields[req->nfields] = (HttpField){.name = (uint32_t)req->head.len};
    return 0;
}

/* Checks that `more` bytes fit into the header block, and makes room for them. */
static int
head_reserve(HttpConn *c, size_t more)
{
    const HttpRequest *req = c->req;
    uint64_t block = req->head.len - req->target_len + more
                     + (uint64_t)FIELD_OVERHEAD * (req->nfields + 1);
    if (limit_exceeded(c->server->limits.header_block, block)
        || req->head.len + more > UINT32_MAX) {
        return h1_refuse_excess(c, 431, "The header section is too large",
                                "header_block");
    }
    return buf_reserve(&c->req->head, more) == 0 ? 0 : h1_refuse_memory(c);
}

static int
h1_on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    HttpConn *c = conn_of_parser(parser);
    if (unlikely(h1_in_trailers(c))) {
        return trailer_name_add(c, at, len);
    }
    if ((!c->in_field && h1_field_begin(c) != 0) || head_reserve(c, len) != 0) {
        return HPE_USER;
    }
    HttpRequest *req = c->req;
    HttpField *field = &req->fields[req->nfields];
    char *to = req->head.ptr + req->head.len;
    for (size_t i = 0; i < len; i++) {
        to[i] = ascii_lower(at[i]);
    }
    req->head.len += len;
    field->name_len += (uint32_t)len;
    field->value = (uint32_t)req->head.len;
    return 0;
}

static int
h1_on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    HttpConn *c = conn_of_parser(parser);
    if (unlikely(h1_in_trailers(c))) {
        return trailer_count(c, len);
    }
    if (head_reserve(c, len) != 0) {
        return HPE_USER;
    }
    HttpRequest *req = c->req;
    memcpy(req->head.ptr + req->head.len, at, len);
    req->head.len += len;
    req->fields[req->nfields].value_len += (uint32_t)len;
    return 0;
}

/* Notes the index of fields that this layer or the next one needs; `i` is the last field's. Host and Content-Type may occur only
 * once. */
static int
h1_field_note(HttpConn *c, HttpRequest *req, int32_t i)
{
    Slice name = http_field_name(req, (uint32_t)i);
    switch (name.len) {
    case 4:
        if (slice_eq(name, SLICE("host"))) {
            if (req->host >= 0) {
                return h1_refuse(c, 400, "There is more than one Host field");
            }
            req->host = i;
        }
        return 0;
    case 6:
        if (slice_eq(name, SLICE("cookie")) && req->cookie < 0) {
            req->cookie = i;
        } else if (slice_eq(name, SLICE("expect"))) {
            c->rare |= RARE_EXPECT;
        }
        return 0;
    case 7:
        if (slice_eq(name, SLICE("upgrade")) && req->upgrade < 0) {
            req->upgrade = i;
        }
        return 0;
    case 12:
        if (slice_eq(name, SLICE("content-type"))) {
            if (req->content_type >= 0) {
                return h1_refuse(c, 400, "There is more than one Content-Type field");
            }
            req->content_type = i;
        }
        return 0;
    case 9: /* Forwarded, and X-Forwarded-For to X-Forwarded-Prefix */
    case 15:
    case 16:
    case 17:
    case 18:
        if (unlikely(name.ptr[0] == 'f' || name.ptr[0] == 'x')) {
            forwarded_note(c);
        }
        return 0;
    default:
        return 0;
    }
}

static int
h1_on_header_value_complete(llhttp_t *parser)
{
    HttpConn *c = conn_of_parser(parser);
    if (unlikely(h1_in_trailers(c))) {
        return trailer_end(c);
    }
    HttpRequest *req = c->req;
    HttpField *field = &req->fields[req->nfields];
    const char *value = req->head.ptr + field->value;
    while (field->value_len != 0
           && (value[field->value_len - 1] == ' '
               || value[field->value_len - 1] == '\t')) {
        field->value_len--;
    }
    c->in_field = false;
    return h1_field_note(c, req, (int32_t)req->nfields++);
}

static int
h1_on_headers_complete(llhttp_t *parser)
{
    HttpConn *c = conn_of_parser(parser);
    Fault fault = head_check(c->req);
    if (unlikely(c->rare != 0) && fault.status == 0) {
        fault = head_check_rare(c);
    }
    if (fault.status != 0) {
        return h1_refuse(c, fault.status, fault.detail);
    }
    /* The body is parsed as usual. An offer to upgrade is considered when the request is complete
     * (ws_is_offered), and may be ignored (RFC 9110 section 7.8). */
    parser->upgrade = 0;
    if (unlikely(c->req->upgrade >= 0) && h2_is_offered(c)) {
        c->becomes_h2 = true; /* at the end of the message, which has no body */
        return 0;
    }
    return exchange_head(c);
}

/* ---- The body ---------------------------------------------------------------------------- */

static int
h1_on_body(llhttp_t *parser, const char *at, size_t len)
{
    return exchange_body(conn_of_parser(parser), slice_of(at, len));
}

static int
h1_on_chunk_header(llhttp_t *parser)
{
    HttpConn *c = conn_of_parser(parser);
    uint64_t limit = c->req->body_limit;
    if (c->req->response != HTTP_RESPONSE_DONE && limit != 0
        && (parser->content_length > limit
            || c->body_received > limit - parser->content_length)) {
        c->fault = exchange_excess(c->req);
        return HPE_USER;
    }
    return 0;
}

static int
h1_on_chunk_extension(llhttp_t *parser, const char *Py_UNUSED(at), size_t len)
{
    HttpConn *c = conn_of_parser(parser);
    c->extension_bytes += (uint32_t)len;
    if (limit_exceeded(c->server->limits.chunk_extensions, c->extension_bytes)) {
        return h1_refuse_excess(c, 400, "The chunk extensions are too large",
                                "chunk_extensions");
    }
    return 0;
}

static int
h1_on_message_complete(llhttp_t *parser)
{
    conn_of_parser(parser)->message_done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {
    .on_message_begin = h1_on_message_begin,
    .on_url = h1_on_url,
    .on_protocol = h1_on_protocol,
    .on_version_complete = h1_on_version_complete,
    .on_header_field = h1_on_header_field,
    .on_header_value = h1_on_header_value,
    .on_header_value_complete = h1_on_header_value_complete,
    .on_headers_complete = h1_on_headers_complete,
    .on_body = h1_on_body,
    .on_chunk_header = h1_on_chunk_header,
    .on_chunk_extension_name = h1_on_chunk_extension,
    .on_chunk_extension_value = h1_on_chunk_extension,
    .on_message_complete = h1_on_message_complete,
};

/* ---- The parser as a whole --------------------------------------------------------------- */

void
h1_init(HttpConn *c)
{
    llhttp_init(&c->parser, HTTP_REQUEST, &callbacks);
    llhttp_set_lenient_version(&c->parser,
                               1); /* request_head.c judges, where it is well-formed */
}

/* Keeps the last two bytes for h1_byte_before(). */
static void
h1_keep_before(HttpConn *c, const char *ptr, size_t len)
{
    for (size_t i = len < 2 ? 0 : len - 2; i < len; i++) {
        c->before[0] = c->before[1];
        c->before[1] = ptr[i];
    }
}

size_t
h1_parse(HttpConn *c, const char *ptr, size_t len)
{
    c->piece = ptr;
    llhttp_errno_t code = llhttp_execute(&c->parser, ptr, len);
    if (code == HPE_OK) {
        if (c->state == CONN_HEAD) {
            h1_keep_before(c, ptr, len);
        }
        return len;
    }
    if (unlikely(code == HPE_PAUSED_H2_UPGRADE) && h2_may_begin(c)) {
        size_t preface = (size_t)(llhttp_get_error_pos(&c->parser) - ptr);
        h2_begin(c, true);
        return preface;
    }
    if (code != HPE_PAUSED) {
        Fault fault = c->fault.status != 0 || code == HPE_USER
                          ? c->fault
                          : h1_fault(c, code, ptr + len);
        exchange_reject(c, fault);
        return len;
    }
    size_t used = (size_t)(llhttp_get_error_pos(&c->parser) - ptr);
    llhttp_resume(&c->parser);
    if (c->message_done) {
        bool becomes_h2 = c->becomes_h2;
        c->message_done = c->becomes_h2 = false;
        if (unlikely(becomes_h2)) {
            h2_upgrade(c);
        } else {
            exchange_message(c);
        }
    }
    return used;
}
