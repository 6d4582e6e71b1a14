/* Header fields of responses as nghttp2 takes them: made in H2Conn.nv, which one head at a time uses. nghttp2 copies the
 * array. Names and values of a response's head stay in H2Stream.text until it is sent; those of other field sections are
 * in H2Conn.text, and nghttp2 copies them, too. The loop's thread.
 */
#include "base/py.h"

#include "http/h2_conn.h"

#include "base/fmt.h"

enum {
    H2_FIELDS_FIXED = 7, /* fields of a head beside those that the caller adds */
    H2_TEXT_FIXED = 64,
    H2_COPIED = NGHTTP2_NV_FLAG_NONE,
    H2_KEPT = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE,
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

/* Makes room for so many lines, and a few fields more. */
static int
h2_nv_reserve(H2Conn *h2, size_t lines)
{
    buf_clear(&h2->nv);
    return buf_reserve(&h2->nv, (lines + H2_FIELDS_FIXED) * sizeof(nghttp2_nv));
}

int
h2_nv_begin(H2Conn *h2, Slice raw)
{
    buf_clear(&h2->text);
    int err = h2_nv_reserve(h2, h2_lines(raw));
    if (err == 0) {
        err = buf_reserve(&h2->text, raw.len + H2_TEXT_FIXED);
    }
    h2->nv_flags = H2_COPIED;
    h2->room = h2->text.ptr;
    return err;
}

/* Adds a field to the room that was made. Its bytes stay until the head is sent, or are copied when it is submitted. */
static void
h2_nv_add(H2Conn *h2, Slice name, Slice value)
{
    nghttp2_nv *nv = (nghttp2_nv *)(void *)(h2->nv.ptr + h2->nv.len);
    *nv = (nghttp2_nv){.name = (uint8_t *)name.ptr,
                       .value = (uint8_t *)value.ptr,
                       .namelen = name.len,
                       .valuelen = value.len,
                       .flags = h2->nv_flags};
    h2->nv.len += sizeof *nv;
}

/* Copies a text that goes before the head leaves. */
static Slice
h2_text(H2Conn *h2, Slice text)
{
    char *to = memcpy(h2->room, text.ptr, text.len);
    h2->room += text.len;
    return slice_of(to, text.len);
}

void
h2_nv_add_status(H2Conn *h2, int status)
{
    const char digits[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                            (char)('0' + status % 10)};
    h2_nv_add(h2, SLICE(":status"), h2_text(h2, slice_of(digits, sizeof digits)));
}

void
h2_nv_add_raw(H2Conn *h2, Slice raw)
{
    while (raw.len != 0) {
        const char *colon = memchr(raw.ptr, ':', raw.len);
        const char *end = memchr(raw.ptr, '\n', raw.len);
        size_t len = (size_t)(colon - raw.ptr);
        size_t line = (size_t)(end + 1 - raw.ptr);
        char *name = h2->room;
        for (size_t i = 0; i < len; i++) {
            name[i] = ascii_lower(raw.ptr[i]);
        }
        memcpy(name + len, colon, line - len);
        h2->room += line;
        h2_nv_add(h2, slice_of(name, len), slice_of(name + len + 2, line - len - 4));
        raw = slice_of(raw.ptr + line, raw.len - line);
    }
}

/* Makes room for the head of a response in the stream, where it stays. */
static int
h2_nv_begin_head(H2Stream *s, const ResponseHead *head, Slice raw, Slice added)
{
    H2Conn *h2 = s->h2;
    size_t len = raw.len + added.len + head->content_type.len + head->id.len;
    h2_mem_put(h2->mem, s->text); /* of a head that nghttp2 hasn't taken */
    s->text = h2_mem_get(h2->mem, len + H2_TEXT_FIXED);
    h2->nv_flags = H2_KEPT;
    h2->room = s->text;
    return s->text == NULL ? UV_ENOMEM
                           : h2_nv_reserve(h2, h2_lines(raw) + h2_lines(added));
}

int
h2_nv_head(H2Stream *s, const ResponseHead *head)
{
    H2Conn *h2 = s->h2;
    HttpServer *server = s->req->server;
    const HttpFields *fields = head->fields;
    Slice raw = fields != NULL ? buf_slice(&fields->raw) : slice_of("", 0);
    Slice added = buf_slice(&server->added), next;
    int err = h2_nv_begin_head(s, head, raw, added);
    if (err != 0) {
        return err;
    }
    h2_nv_add_status(h2, head->status);
    if (!server->no_server && (fields == NULL || !fields->has_server)) {
        h2_nv_add(h2, SLICE("server"), SLICE("fluvial"));
    }
    if (!server->no_date && (fields == NULL || !fields->has_date)) {
        const char *line = date_line(&server->date, uv_now(loop_uv(server->loop)));
        h2_nv_add(h2, SLICE("date"), slice_of(line + 6, DATE_LINE - 8));
    }
    if (head->content_type.len != 0) {
        h2_nv_add(h2, SLICE("content-type"), h2_text(h2, head->content_type));
    }
    if (head->length >= 0) {
        size_t n = fmt_decimal(h2->room, (uint64_t)head->length);
        h2_nv_add(h2, SLICE("content-length"), slice_of(h2->room, n));
        h2->room += n;
    }
    if (head->id.len != 0 && !request_ids_has(&server->ids, raw)) {
        h2_nv_add(h2, buf_slice(&server->ids.name), h2_text(h2, head->id));
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
            (void)buf_append(&req->sent_fields, (const char *)nv->name, nv->namelen);
            (void)buf_append(&req->sent_fields, ": ", 2);
            (void)buf_append(&req->sent_fields, (const char *)nv->value, nv->valuelen);
            (void)buf_append(&req->sent_fields, "\r\n", 2);
        }
    }
}
