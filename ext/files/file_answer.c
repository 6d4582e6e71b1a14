/* See file_answer.h. FileResponse in responses.py does the same by the same rules, and says it with the same bytes.
 */
#include "base/py.h"

#include "files/file_answer.h"

#include "app/header_pairs.h"
#include "files/byte_ranges.h"
#include "files/conditions.h"
#include "files/file_turns.h"
#include "http/response.h"

#include <llhttp.h>

static Validators
answer_validators(const ServedFile *file)
{
    return (Validators){bytes_slice(file->etag), bytes_slice(file->modified),
                        served_file_mtime(file)};
}

static int64_t
answer_size(const ServedFile *file)
{
    return (int64_t)file->status.st_size;
}

/* No memory: the client sees that the response breaks off. */
static void
answer_give_up(HttpRequest *req)
{
    PyErr_Clear(); /* a MemoryError at most, which is reported to nobody */
    http_abort(req);
}

/* ---- Without content ---------------------------------------------------------------------- */

static void
answer_empty(HttpRequest *req, int status, const HttpFields *fields)
{
    const HttpHead head = {.status = status, .fields = fields};
    (void)http_respond(req, &head, SLICE(""), NULL);
}

/* ---- Header fields of a part -------------------------------------------------------------- */

/* Cuts the next line off `lines`, and the end of line off the line. */
static Slice
line_cut(Slice *lines)
{
    const char *end = memchr(lines->ptr, '\r', lines->len);
    Slice line = slice_of(lines->ptr, (size_t)(end - lines->ptr));
    *lines = slice_of(end + 2, lines->len - line.len - 2);
    return line;
}

static bool
line_is_type(Slice line)
{
    const Slice name = SLICE("content-type: ");
    return line.len >= name.len && slice_eq_nocase(slice_of(line.ptr, name.len), name);
}

/* The file's Content-Type; empty when it has none. */
static Slice
answer_media_type(const HttpFields *fields)
{
    Slice lines = buf_slice(&fields->raw);
    while (lines.len != 0) {
        Slice line = line_cut(&lines);
        if (line_is_type(line)) {
            size_t skipped = SLICE("content-type: ").len;
            return slice_of(line.ptr + skipped, line.len - skipped);
        }
    }
    return slice_of("", 0);
}

/* Copies the fields, with another Content-Type in the place of the first, unless `media_type` is empty. 0 or
 * UV_ENOMEM. */
static int
fields_copy(HttpFields *to, const HttpFields *from, Slice media_type)
{
    Slice lines = buf_slice(&from->raw);
    *to = *from;
    to->raw = (Buf){0};
    int err = 0;
    while (lines.len != 0 && err == 0) {
        Slice line = line_cut(&lines);
        bool other = media_type.len != 0 && line_is_type(line);
        err = buf_append_slice(&to->raw, other ? SLICE("content-type: ") : line);
        err = err != 0 || !other ? err : buf_append_slice(&to->raw, media_type);
        err = err != 0 ? err : buf_append_slice(&to->raw, SLICE("\r\n"));
    }
    return err;
}

/* The file's fields and a Content-Range. 0 or UV_ENOMEM; http_fields_free follows in any case. */
static int
fields_with_range(HttpFields *to, const ServedFile *file, ByteRange range)
{
    char text[RANGE_TEXT];
    int err = fields_copy(to, &file->fields, SLICE(""));
    return err != 0 ? err
                    : http_fields_add(to, SLICE("content-range"),
                                      range_describe(text, range, answer_size(file)));
}

/* ---- With content ------------------------------------------------------------------------- */

/* Sends a part of the file, or all of it. */
static void
answer_part(const FilesState *st, HttpRequest *req, ServedFile *file,
            const HttpHead *head, ByteRange range)
{
    int64_t length = range.end - range.start;
    if (file->content != NULL && !req->is_head) {
        Slice body =
            slice_of(PyBytes_AS_STRING(file->content) + range.start, (size_t)length);
        (void)http_respond(req, head, body, file->content);
        return;
    }
    if (http_stream_begin(req, head, length) != 0) {
        return; /* the client has gone */
    }
    if (req->is_head) {
        (void)http_stream_end(req);
    } else if (file_turns_start(st, req, file, range, NULL) < 0) {
        answer_give_up(req);
    }
}

static void
answer_whole(const FilesState *st, HttpRequest *req, ServedFile *file, int status)
{
    const HttpHead head = {.status = status, .fields = &file->fields};
    answer_part(st, req, file, &head, (ByteRange){0, answer_size(file)});
}

static void
answer_one(const FilesState *st, HttpRequest *req, ServedFile *file, ByteRange range)
{
    HttpFields fields;
    if (fields_with_range(&fields, file, range) == 0) {
        const HttpHead head = {.status = 206, .fields = &fields};
        answer_part(st, req, file, &head, range);
    } else {
        answer_give_up(req);
    }
    http_fields_free(&fields);
}

static void
answer_none(HttpRequest *req, const ServedFile *file)
{
    HttpFields fields;
    if (fields_with_range(&fields, file, (ByteRange){0, 0}) == 0) {
        answer_empty(req, 416, &fields);
    } else {
        answer_give_up(req);
    }
    http_fields_free(&fields);
}

/* The whole body of several parts, of a file whose content is kept. A new reference, or NULL with MemoryError set. */
static PyObject *
multipart_bytes(Multipart *body, PyObject *content)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)body->length);
    char *out = bytes == NULL ? NULL : PyBytes_AS_STRING(bytes);
    const MultipartPart *part;
    Slice lead;
    while (bytes != NULL && (part = multipart_next(body, &lead)) != NULL) {
        size_t length = (size_t)(part->range.end - part->range.start);
        memcpy(out, lead.ptr, lead.len);
        memcpy(out + lead.len, PyBytes_AS_STRING(content) + part->range.start, length);
        out += lead.len + length;
    }
    return bytes;
}

/* Sends the body, which it takes over. 0, or -1 without memory. */
static int
multipart_send(const FilesState *st, HttpRequest *req, ServedFile *file,
               const HttpHead *head, Multipart *body)
{
    if (file->content != NULL) {
        PyObject *bytes = multipart_bytes(body, file->content);
        multipart_free(body);
        if (bytes != NULL) {
            (void)http_respond(req, head, bytes_slice(bytes), bytes);
            Py_DECREF(bytes);
        }
        return bytes == NULL ? -1 : 0;
    }
    if (http_stream_begin(req, head, body->length) != 0) {
        multipart_free(body);
        return 0; /* the client has gone */
    }
    return file_turns_start(st, req, file, (ByteRange){0, 0}, body);
}

static void
answer_several(const FilesState *st, HttpRequest *req, ServedFile *file,
               const ByteRanges *ranges)
{
    HttpFields fields = {0};
    Multipart *body =
        multipart_make(ranges, answer_size(file), answer_media_type(&file->fields));
    int err = body == NULL ? -1 : 0;
    if (err == 0) {
        Slice type = slice_of(body->type, strlen(body->type));
        err = fields_copy(&fields, &file->fields, type);
        if (err == 0) {
            const HttpHead head = {.status = 206, .fields = &fields};
            err = multipart_send(st, req, file, &head, body);
        } else {
            multipart_free(body);
        }
    }
    if (err != 0) {
        answer_give_up(req);
    }
    http_fields_free(&fields);
}

/* What the Range field requests; RANGES_IGNORED also where it doesn't count. */
static RangesFound
answer_ranges(const HttpRequest *req, const ServedFile *file, const Validators *now,
              ByteRanges *ranges)
{
    int32_t at = http_field_find(req, SLICE("range"), 0);
    /* Ranges are for GET only (RFC 9110 section 14.2), and for one field. */
    if (at < 0 || req->method != HTTP_GET
        || http_field_find(req, SLICE("range"), (uint32_t)at + 1) >= 0
        || !conditions_allow_ranges(req, now)) {
        return RANGES_IGNORED;
    }
    return ranges_select(http_field_value(req, (uint32_t)at), answer_size(file),
                         ranges);
}

static void
answer_content(const FilesState *st, HttpRequest *req, ServedFile *file,
               const Validators *now)
{
    ByteRanges ranges;
    RangesFound found = answer_ranges(req, file, now, &ranges);
    if (found == RANGES_IGNORED) {
        answer_whole(st, req, file, 200);
    } else if (found == RANGES_NONE) {
        answer_none(req, file);
    } else if (ranges.n == 1) {
        answer_one(st, req, file, ranges.at[0]);
    } else {
        answer_several(st, req, file, &ranges);
    }
}

bool
file_answer(const FilesState *st, HttpRequest *req, ServedFile *file)
{
    const Validators now = answer_validators(file);
    switch (conditions_check(req, &now)) {
    case CONDITION_UNKNOWN:
        return false;
    case CONDITION_FAILED:
        answer_empty(req, 412, &file->fields_unchanged);
        return true;
    case CONDITION_SAME:
        answer_empty(req, 304, &file->fields_unchanged);
        return true;
    case CONDITION_MET:
        break;
    }
    answer_content(st, req, file, &now);
    return true;
}

void
file_answer_missing(const FilesState *st, HttpRequest *req, ServedFile *file)
{
    answer_whole(st, req, file, 404);
}
