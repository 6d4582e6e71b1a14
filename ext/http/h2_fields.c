/* Header fields of responses as nghttp2 takes them: made in H2Conn.nv and .text, which one head at a time uses. The
 * loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

#include "base/fmt.h"

enum {
    H2_FIELDS_FIXED = 7, /* fields of a head beside those that the caller adds */
    H2_TEXT_FIXED = 64,
};

nghttp2_nv *
h2_nv(const H2Conn *h2)
{
    return (nghttp2_nv *)(void *)h2->nv.ptr;
}

size_t
h2_nv_count(const H2Conn *h2)
{
    return h2->nv.len / sizeof(nghttp2_nv);
}

static size_t
h2_lines(Slice raw)
{
    size_t lines = 0;
    for (size_t i = 0; i < raw.len; i++) {
        lines += raw.ptr[i] == '\n';
    }
    return lines;
}

int
h2_nv_begin(H2Conn *h2, Slice raw, Slice added)
{
    size_t lines = h2_lines(raw) + h2_lines(added);
    buf_clear(&h2->nv);
    buf_clear(&h2->text);
    int err = buf_reserve(&h2->nv, (lines + H2_FIELDS_FIXED) * sizeof(nghttp2_nv));
    return err != 0 ? err : buf_reserve(&h2->text, raw.len + added.len + H2_TEXT_FIXED);
}

/* Adds a field to the room that h2_nv_begin has made; nghttp2 copies it when it is submitted. */
static void
h2_nv_add(H2Conn *h2, Slice name, Slice value)
{
    const nghttp2_nv nv = {.name = (uint8_t *)name.ptr,
                           .value = (uint8_t *)value.ptr,
                           .namelen = name.len,
                           .valuelen = value.len,
                           .flags = NGHTTP2_NV_FLAG_NONE};
    (void)buf_append(&h2->nv, (const char *)&nv, sizeof nv);
}

void
h2_nv_add_number(H2Conn *h2, Slice name, uint64_t number)
{
    char *text = h2->text.ptr + h2->text.len;
    size_t n = fmt_decimal(text, number);
    h2->text.len += n;
    h2_nv_add(h2, name, slice_of(text, n));
}

void
h2_nv_add_raw(H2Conn *h2, Slice raw)
{
    while (raw.len != 0) {
        const char *colon = memchr(raw.ptr, ':', raw.len);
        const char *end = memchr(raw.ptr, '\n', raw.len);
        size_t len = (size_t)(colon - raw.ptr);
        char *name = h2->text.ptr + h2->text.len;
        for (size_t i = 0; i < len; i++) {
            name[i] = ascii_lower(raw.ptr[i]);
        }
        h2->text.len += len;
        h2_nv_add(h2, slice_of(name, len),
                  slice_of(colon + 2, (size_t)(end - colon) - 3));
        size_t line = (size_t)(end + 1 - raw.ptr);
        raw = slice_of(raw.ptr + line, raw.len - line);
    }
}

int
h2_nv_head(H2Conn *h2, HttpServer *server, const ResponseHead *head)
{
    const HttpFields *fields = head->fields;
    Slice raw = fields != NULL ? buf_slice(&fields->raw) : slice_of("", 0);
    Slice added = buf_slice(&server->added), next;
    int err = h2_nv_begin(h2, raw, added);
    if (err != 0) {
        return err;
    }
    h2_nv_add_number(h2, SLICE(":status"), (uint64_t)head->status);
    if (!server->no_server && (fields == NULL || !fields->has_server)) {
        h2_nv_add(h2, SLICE("server"), SLICE("fluvial"));
    }
    if (!server->no_date && (fields == NULL || !fields->has_date)) {
        const char *line = date_line(&server->date, uv_now(loop_uv(server->loop)));
        h2_nv_add(h2, SLICE("date"), slice_of(line + 6, DATE_LINE - 8));
    }
    if (head->content_type.len != 0) {
        h2_nv_add(h2, SLICE("content-type"), head->content_type);
    }
    if (head->length >= 0) {
        h2_nv_add_number(h2, SLICE("content-length"), (uint64_t)head->length);
    }
    if (head->id.len != 0 && !request_ids_has(&server->ids, raw)) {
        h2_nv_add(h2, buf_slice(&server->ids.name), head->id);
    }
    h2_nv_add_raw(h2, raw);
    while (response_next_added(head, &added, &next)) {
        h2_nv_add_raw(h2, next);
    }
    return 0;
}

void
h2_log_head(H2Stream *s, int status)
{
    HttpRequest *req = s->req;
    H2Conn *h2 = s->h2;
    AccessLog *log = &req->server->log;
    req->status = status;
    if (log->writer == NULL) {
        return;
    }
    if (log->format == NULL) {
        if (!req->refused) {
            access_log_add(log, &req->peer, req, status);
        }
        return;
    }
    bool wanted = access_format_wants_fields(log->format);
    for (size_t i = 0; i < h2_nv_count(h2); i++) {
        const nghttp2_nv *nv = &h2_nv(h2)[i];
        req->rest_out += nv->namelen + nv->valuelen;
        if (wanted && i != 0) { /* or they are missing in the line */
            (void)buf_append(&req->answered, (const char *)nv->name, nv->namelen);
            (void)buf_append(&req->answered, ": ", 2);
            (void)buf_append(&req->answered, (const char *)nv->value, nv->valuelen);
            (void)buf_append(&req->answered, "\r\n", 2);
        }
    }
}
