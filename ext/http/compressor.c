/* See compressor.h. In order: the rules, the head, and the encoders. A field of the response can forbid any
 * change of the body: no-transform, a digest, a range.
 */
#include "base/py.h"

#include "http/compressor.h"

#include "base/list.h"
#include "http/server_private.h"

struct Compressor {
    Coding codings[CODINGS - 1]; /* the best one first */
    unsigned n;
    int levels[CODINGS];     /* of each */
    uint64_t least;          /* bytes of a body */
    Buf types;               /* owned: see HttpCompression.types */
    Encoder *spare[CODINGS]; /* owned; NULL: none */
    Buf scratch;             /* owned: encoded bytes on their way out */
    HttpFields fields;       /* owned: of the response whose head is being written */
};

/* ---- The rules ---------------------------------------------------------------------------- */

void
compressor_free(Compressor *self)
{
    if (self == NULL) {
        return;
    }
    for (unsigned i = 0; i < CODINGS; i++) {
        encoder_close(self->spare[i]);
    }
    buf_free(&self->types);
    buf_free(&self->scratch);
    http_fields_free(&self->fields);
    PyMem_RawFree(self);
}

int
http_server_compress(HttpServer *server, const HttpCompression *rules)
{
    compressor_free(server->compressor);
    server->compressor = NULL;
    if (rules->n == 0) {
        return 0;
    }
    Compressor *self = PyMem_RawCalloc(1, sizeof(*self));
    if (self == NULL || buf_append_slice(&self->types, rules->types) != 0) {
        compressor_free(self);
        return UV_ENOMEM;
    }
    self->least = rules->least;
    for (; self->n < rules->n; self->n++) {
        self->codings[self->n] = rules->codings[self->n];
        self->levels[rules->codings[self->n]] = rules->levels[self->n];
    }
    server->compressor = self;
    return 0;
}

/* Whether `type`, in any case, fits the pattern: "text/html", "text/...", with a star for the subtype, or
 * a star and "+json". */
static bool
type_fits(Slice type, Slice pattern)
{
    size_t n = pattern.len;
    if (n >= 2 && pattern.ptr[n - 2] == '/' && pattern.ptr[n - 1] == '*') {
        return type.len >= n
               && slice_eq_nocase(slice_of(type.ptr, n - 1),
                                  slice_of(pattern.ptr, n - 1));
    }
    if (n >= 2 && pattern.ptr[0] == '*') {
        return type.len >= n
               && slice_eq_nocase(slice_of(type.ptr + type.len - (n - 1), n - 1),
                                  slice_of(pattern.ptr + 1, n - 1));
    }
    return slice_eq_nocase(type, pattern);
}

static bool
type_is_compressible(const Compressor *self, Slice content_type)
{
    Slice type = list_next(&content_type, ';');
    Slice rest = buf_slice(&self->types);
    while (rest.ptr != NULL) {
        Slice pattern = list_next(&rest, ' ');
        if (pattern.len != 0 && type_fits(type, pattern)) {
            return true;
        }
    }
    return false;
}

Coding
http_accepted_coding(const HttpRequest *req, const Coding *codings, unsigned n)
{
    Coding best = CODING_NONE;
    unsigned most = 0;
    int32_t i = http_field_find(req, SLICE("accept-encoding"), 0);
    while (i >= 0) {
        Slice accept = http_field_value(req, (uint32_t)i);
        Coding coding = coding_choose(accept, codings, n, &most);
        best = coding != CODING_NONE ? coding : best;
        i = http_field_find(req, SLICE("accept-encoding"), (uint32_t)i + 1);
    }
    return best;
}

/* ---- The head ----------------------------------------------------------------------------- */

/* Cuts the next line off `*lines`: "name: value\r\n" …, as HttpFields has them. */
static Slice
line_next(Slice *lines, Slice *name, Slice *value)
{
    const char *end = memchr(lines->ptr, '\r', lines->len);
    Slice line = slice_of(lines->ptr, (size_t)(end - lines->ptr) + 2);
    const char *colon = memchr(line.ptr, ':', line.len);
    *name = slice_of(line.ptr, (size_t)(colon - line.ptr));
    *value = slice_of(colon + 2, line.len - name->len - 4);
    *lines = slice_of(lines->ptr + line.len, lines->len - line.len);
    return line;
}

static bool
value_has(Slice value, Slice token)
{
    do {
        if (slice_eq_nocase(list_next(&value, ','), token)) {
            return true;
        }
    } while (value.ptr != NULL);
    return false;
}

/* Whether a field says that the body must stay as it is. Content-Range doesn't of a `partial` one: it is about the
 * whole. */
static bool
field_forbids(Slice name, Slice value, bool partial)
{
    switch (name.len) {
    case 6:
        return slice_eq_nocase(name, SLICE("digest"));
    case 11:
        return slice_eq_nocase(name, SLICE("content-md5"))
               || slice_eq_nocase(name, SLICE("repr-digest"));
    case 13:
        return (!partial && slice_eq_nocase(name, SLICE("content-range")))
               || (slice_eq_nocase(name, SLICE("cache-control"))
                   && value_has(value, SLICE("no-transform")));
    case 14:
        return slice_eq_nocase(name, SLICE("content-digest"));
    case 16:
        return slice_eq_nocase(name, SLICE("content-encoding"));
    default:
        return false;
    }
}

/* Whether the representation is one that is compressed for some clients, by what the fields say of it. The type of a
 * 304, and of several ranges, isn't known. */
static bool
head_varies(const Compressor *self, const HttpHead *head)
{
    bool partial = head->status == 206;
    Slice type = head->content_type;
    Slice lines = head->fields != NULL ? buf_slice(&head->fields->raw) : SLICE("");
    while (lines.len != 0) {
        Slice name, value;
        (void)line_next(&lines, &name, &value);
        if (field_forbids(name, value, partial)) {
            return false;
        }
        if (slice_eq_nocase(name, SLICE("content-type"))) {
            type = value;
        }
    }
    Slice ranges = SLICE("multipart/byteranges");
    bool unknown = head->status == 304
                   || (partial && type.len >= ranges.len
                       && slice_eq_nocase(slice_of(type.ptr, ranges.len), ranges));
    return unknown || type_is_compressible(self, type);
}

/* Whether the response may be compressed for clients that accept it. `length`: bytes of its body; -1: not
 * known. */
static bool
head_is_compressible(const Compressor *self, const HttpHead *head, int64_t length)
{
    int status = head->status;
    if (status == 204 || status == 206 || status == 304
        || (length >= 0 && (uint64_t)length < self->least)) {
        return false;
    }
    return head_varies(self, head);
}

/* Whether the client has a compressed response, which a 304 with these fields says is the latest: If-None-Match has
 * the weak form of their ETag. The content's type can't be asked, since a 304 has none. */
static bool
client_has_compressed(const HttpRequest *req, const HttpFields *fields)
{
    Slice lines = buf_slice(&fields->raw), tag = SLICE("");
    while (lines.len != 0) {
        Slice name, value;
        (void)line_next(&lines, &name, &value);
        if (slice_eq_nocase(name, SLICE("etag"))) {
            tag = value;
        }
    }
    int32_t i = tag.len == 0 || tag.ptr[0] != '"'
                    ? -1
                    : http_field_find(req, SLICE("if-none-match"), 0);
    while (i >= 0) {
        Slice tags = http_field_value(req, (uint32_t)i);
        do {
            Slice each = list_next(&tags, ',');
            if (each.len == tag.len + 2 && memcmp(each.ptr, "W/", 2) == 0
                && slice_eq(slice_of(each.ptr + 2, tag.len), tag)) {
                return true;
            }
        } while (tags.ptr != NULL);
        i = http_field_find(req, SLICE("if-none-match"), (uint32_t)i + 1);
    }
    return false;
}

/* Adds a field as it is when the response is compressed. 0 or an error. */
static int
field_copy(HttpFields *fields, Slice line, Slice name, Slice value)
{
    if (slice_eq_nocase(name, SLICE("accept-ranges"))) {
        return 0; /* of the body as it was */
    }
    bool tag = slice_eq_nocase(name, SLICE("etag"));
    if (!tag || value.len == 0 || value.ptr[0] != '"') {
        return buf_append_slice(&fields->raw, line);
    }
    int err = buf_append_slice(&fields->raw, SLICE("etag: W/"));
    err = err != 0 ? err : buf_append_slice(&fields->raw, value);
    return err != 0 ? err : buf_append_slice(&fields->raw, SLICE("\r\n"));
}

/* The fields of a response that depends on Accept-Encoding, and is `compressed` or not; with a `coding` they name it.
 * 0 or an error. */
static int
fields_change(HttpFields *fields, const HttpFields *before, bool compressed,
              Coding coding)
{
    http_fields_clear(fields);
    bool varies = false;
    int err = 0;
    Slice lines = before != NULL ? buf_slice(&before->raw) : SLICE("");
    while (lines.len != 0 && err == 0) {
        Slice name, value;
        Slice line = line_next(&lines, &name, &value);
        varies |= slice_eq_nocase(name, SLICE("vary"))
                  && (value_has(value, SLICE("accept-encoding"))
                      || value_has(value, SLICE("*")));
        err = compressed ? field_copy(fields, line, name, value)
                         : buf_append_slice(&fields->raw, line);
    }
    if (before != NULL) {
        Buf raw = fields->raw;
        *fields = *before;
        fields->raw = raw;
        fields->has_content_length &= !compressed;
    }
    if (err == 0 && coding != CODING_NONE) {
        err = http_fields_add(fields, SLICE("content-encoding"), coding_name(coding));
    }
    if (err == 0 && !varies) {
        err = http_fields_add(fields, SLICE("vary"), SLICE("Accept-Encoding"));
    }
    return err;
}

/* Makes a 304 or 206 say what the 200 would (RFC 9110 sections 15.3.7 and 15.4.5): Vary, and for a client that has a
 * compressed response its weak ETag, or the stored response isn't found by its tag. */
static void
compressor_change_part(HttpRequest *req, HttpHead *head)
{
    Compressor *self = req->server->compressor;
    bool compressed =
        head->status == 304 && head->fields != NULL
        && client_has_compressed(req, head->fields)
        && http_accepted_coding(req, self->codings, self->n) != CODING_NONE;
    if (head_varies(self, head)
        && fields_change(&self->fields, head->fields, compressed, CODING_NONE) == 0) {
        head->fields = &self->fields;
    }
}

Coding
compressor_change_head(HttpRequest *req, HttpHead *head, int64_t length)
{
    Compressor *self = req->server->compressor;
    if (head->status == 304 || head->status == 206) {
        compressor_change_part(req, head);
        return CODING_NONE;
    }
    bool stated = head->fields != NULL && head->fields->has_content_length;
    if (stated && (length < 0 || (req->is_head && length == 0))) {
        length = head->fields->content_length;
    }
    if (!head_is_compressible(self, head, length)) {
        return CODING_NONE;
    }
    Coding coding = http_accepted_coding(req, self->codings, self->n);
    if (fields_change(&self->fields, head->fields, coding != CODING_NONE, coding)
        != 0) {
        return CODING_NONE;
    }
    head->fields = &self->fields;
    return coding;
}

bool
http_is_compressed(const HttpRequest *req, const HttpHead *head, int64_t length)
{
    const Compressor *self = req->server->compressor;
    return unlikely(self != NULL) && head_is_compressible(self, head, length)
           && http_accepted_coding(req, self->codings, self->n) != CODING_NONE;
}

/* ---- Encoders ----------------------------------------------------------------------------- */

Encoder *
compressor_take(Compressor *self, Coding coding, int64_t size)
{
    Encoder *encoder = self->spare[coding];
    self->spare[coding] = NULL;
    if (encoder != NULL && encoder_again(encoder, size)) {
        return encoder;
    }
    encoder_close(encoder);
    return encoder_open(coding, self->levels[coding], size);
}

void
compressor_give(Compressor *self, Encoder *encoder)
{
    Encoder **spare = &self->spare[encoder->ops->coding];
    if (*spare == NULL) {
        *spare = encoder;
    } else {
        encoder_close(encoder);
    }
}

Buf *
compressor_scratch(Compressor *self)
{
    return &self->scratch;
}
