/* Writes response heads (see response_head.h). Every response passes here. So room for an upper bound is
 * reserved once, and then the bytes are stored without further checks. The loop's thread.
 */
#include "base/py.h"

#include "http/response_head.h"

#include "base/fmt.h"

enum { HEAD_FIXED = 320 }; /* most bytes without content type and further fields */

static char *
head_put(char *out, Slice text)
{
    memcpy(out, text.ptr, text.len);
    return out + text.len;
}

/* The same for literals, whose length the compiler knows. */
#define PUT(out, literal)                                                              \
    ((char *)memcpy((out), literal, sizeof(literal) - 1) + sizeof(literal) - 1)

static char *
head_put_status(char *out, int status, Slice reason)
{
    if (likely(status == 200 && reason.len == 0)) {
        return PUT(out, "HTTP/1.1 200 OK\r\n");
    }
    out = PUT(out, "HTTP/1.1 ");
    out += fmt_decimal(out, (uint64_t)status);
    *out++ = ' ';
    out = head_put(out, reason.len != 0 ? reason : http_reason(status));
    return PUT(out, "\r\n");
}

static char *
head_put_framing(char *out, const ResponseHead *head)
{
    if (head->length >= 0) {
        out = PUT(out, "content-length: ");
        out += fmt_decimal(out, (uint64_t)head->length);
        out = PUT(out, "\r\n");
    } else if (head->chunked) {
        out = PUT(out, "transfer-encoding: chunked\r\n");
    }
    if (head->close) {
        out = PUT(out, "connection: close\r\n");
    } else if (head->keep_alive) {
        out = PUT(out, "connection: keep-alive\r\n");
    }
    return out;
}

static char *
head_put_server_fields(char *out, HttpServer *server, const HttpFields *fields)
{
    if (likely(!server->no_server) && (fields == NULL || !fields->has_server)) {
        out = PUT(out, "server: fluvial\r\n");
    }
    if (likely(!server->no_date) && (fields == NULL || !fields->has_date)) {
        uint64_t now = uv_now(loop_uv(server->loop));
        out = (char *)memcpy(out, date_line(&server->date, now), DATE_LINE) + DATE_LINE;
    }
    return out;
}

/* The request's id, in the field that it may come in. */
static char *
head_put_id(char *out, const HttpServer *server, Slice id)
{
    out = head_put(out, buf_slice(&server->ids.line));
    if (likely(id.len
               == REQUEST_ID_MADE)) { /* a copy whose length the compiler knows */
        out = (char *)memcpy(out, id.ptr, REQUEST_ID_MADE) + REQUEST_ID_MADE;
    } else {
        out = head_put(out, id);
    }
    return PUT(out, "\r\n");
}

/* Takes the next line off `lines`, with its end; false when there is none. */
static bool
head_next_line(Slice *lines, Slice *line)
{
    const char *end = lines->len == 0 ? NULL : memchr(lines->ptr, '\n', lines->len);
    if (end == NULL) {
        return false;
    }
    *line = slice_of(lines->ptr, (size_t)(end + 1 - lines->ptr));
    *lines = slice_of(end + 1, lines->len - line->len);
    return true;
}

/* The name in a line "name: value". */
static Slice
head_name_of(Slice line)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    return slice_of(line.ptr, colon == NULL ? line.len : (size_t)(colon - line.ptr));
}

/* Whether the response has a field of this name, which is in lower case. */
static bool
head_has(const ResponseHead *head, Slice name)
{
    Slice raw = head->fields == NULL ? slice_of("", 0) : buf_slice(&head->fields->raw);
    return http_lines_have(raw, name)
           || (head->content_type.len != 0 && slice_eq(name, SLICE("content-type")));
}

/* The application's fields win, but what a response varies with adds up. */
bool
response_next_added(const ResponseHead *head, Slice *lines, Slice *line)
{
    while (head_next_line(lines, line)) {
        Slice name = head_name_of(*line);
        if (!head_has(head, name) || slice_eq_nocase(name, SLICE("vary"))) {
            return true;
        }
    }
    return false;
}

static char *
head_put_added(char *out, HttpServer *server, const ResponseHead *head)
{
    Slice lines = buf_slice(&server->added), line;
    while (response_next_added(head, &lines, &line)) {
        out = head_put(out, line);
    }
    return out;
}

int
response_put_head(HttpServer *server, const ResponseHead *head, size_t more)
{
    const HttpFields *fields = head->fields;
    Slice raw = fields != NULL ? buf_slice(&fields->raw) : slice_of("", 0);
    size_t most = HEAD_FIXED + server->added.len + head->reason.len
                  + head->content_type.len + raw.len + more;
    bool has_id =
        head->id.len != 0 && (raw.len == 0 || !request_ids_has(&server->ids, raw));
    if (unlikely(has_id)) {
        most += server->ids.name.len + head->id.len + 4;
    }
    int err = buf_reserve(&server->out, most);
    if (err != 0) {
        return err;
    }
    char *start = server->out.ptr + server->out.len;
    char *out = head_put_status(start, head->status, head->reason);
    out = head_put_server_fields(out, server, fields);
    if (head->content_type.len != 0) {
        out = PUT(out, "content-type: ");
        out = head_put(out, head->content_type);
        out = PUT(out, "\r\n");
    }
    out = head_put_framing(out, head);
    if (unlikely(has_id)) {
        out = head_put_id(out, server, head->id);
    }
    if (raw.len != 0) {
        out = head_put(out, raw);
    }
    if (unlikely(server->added.len != 0)) {
        out = head_put_added(out, server, head);
    }
    out = PUT(out, "\r\n");
    server->out.len += (size_t)(out - start);
    return 0;
}

int
response_put_interim(HttpServer *server, int status, const HttpFields *fields)
{
    Slice raw = buf_slice(&fields->raw);
    int err = buf_reserve(&server->out, HEAD_FIXED + raw.len);
    if (err == 0) {
        char *start = server->out.ptr + server->out.len;
        char *out = head_put_status(start, status, SLICE(""));
        if (raw.len != 0) {
            out = head_put(out, raw);
        }
        out = PUT(out, "\r\n");
        server->out.len += (size_t)(out - start);
    }
    return err;
}

Slice
response_detail(char room[DETAIL_BODY_MAX], Slice detail)
{
    const Slice before = SLICE("{\"detail\":\"");
    assert(before.len + detail.len + 2 <= DETAIL_BODY_MAX);
    char *out = head_put(room, before);
    out = head_put(out, detail);
    out = PUT(out, "\"}");
    return slice_of(room, (size_t)(out - room));
}

void
response_offer_codings(const HttpServer *server, int status, HttpFields *fields)
{
    Buf names = {NULL, 0, 0};
    int err = status == 415 && server->decodes[CODING_NONE] ? 0 : UV_EINVAL;
    for (Coding coding = CODING_GZIP; coding < CODINGS && err == 0; coding++) {
        if (server->decodes[coding]) {
            err = names.len == 0 ? 0 : buf_append_slice(&names, SLICE(", "));
            err = err != 0 ? err : buf_append_slice(&names, coding_name(coding));
        }
    }
    if (err == 0) {
        (void)http_fields_add(fields, SLICE("accept-encoding"),
                              buf_slice(&names)); /* or without it */
    }
    buf_free(&names);
}

size_t
response_put_refusal(HttpServer *server, Fault fault, Slice id, bool bodyless)
{
    char room[DETAIL_BODY_MAX];
    Slice body = response_detail(room, slice_of(fault.detail, strlen(fault.detail)));
    HttpFields fields = {.has_content_type = false};
    response_offer_codings(server, fault.status, &fields);
    const ResponseHead head = {.status = fault.status,
                               .content_type = SLICE("application/json"),
                               .fields = &fields,
                               .length = (int64_t)body.len,
                               .close = true,
                               .id = id};
    int err = response_put_head(server, &head, body.len);
    if (err == 0 && !bodyless) { /* response_put_head has reserved the room */
        (void)buf_append_slice(&server->out, body);
    }
    http_fields_free(&fields);
    return err == 0 && !bodyless ? body.len : 0;
}
