/* See coded.h. In order: the rules, the head, encoders, the work of a thread, and the body's pieces. A response is
 * complete for the layer above as soon as that has given everything; the exchange is over when all of it is
 * encoded and written (conn_owes). */
#include "base/py.h"

#include "http/coded.h"

#include "coding/encoder.h"
#include "base/list.h"
#include "http/h2.h"
#include "http/response_private.h"

#include <uv.h>

enum {
    OFF_LOOP = 64 * 1024, /* bytes: a longer piece takes a millisecond and more */
    KEEP = 64 * 1024,     /* bytes of scratch memory that stay allocated */
};

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

/* Life: made by coded_begin; freed at the end of the response, or of the exchange. While `busy`, one of
 * libuv's threads has `encoder`, `taken` and `made`; the object is then only left alone by its
 * owner, and freed by on_encoded. */
struct Coded {
    /* borrowed: one of them owns it; both NULL: the exchange is over */
    HttpConn *conn;
    H2Stream *stream;
    Compressor *shared; /* borrowed, as long as it has an owner */
    Loop *loop;         /* borrowed; waits for the work before it closes */
    Encoder *encoder;
    int64_t left; /* bytes that were promised and haven't come; -1: not known */
    uv_work_t work;
    bool busy;
    bool ended;      /* nothing more will be written; `waiting` is the last piece */
    bool finished;   /* the encoder has, or had, the last piece */
    int err;         /* of the work */
    Buf waiting;     /* owned: what came while the thread was busy */
    Buf taken, made; /* owned: its input and output */
    Buf trailers;    /* owned: written after the last piece */
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

/* Whether a field says that the body must stay as it is. */
static bool
field_forbids(Slice name, Slice value)
{
    switch (name.len) {
    case 6:
        return slice_eq_nocase(name, SLICE("digest"));
    case 11:
        return slice_eq_nocase(name, SLICE("content-md5"))
               || slice_eq_nocase(name, SLICE("repr-digest"));
    case 13:
        return slice_eq_nocase(name, SLICE("content-range"))
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
    Slice type = head->content_type;
    Slice lines = head->fields != NULL ? buf_slice(&head->fields->raw) : SLICE("");
    while (lines.len != 0) {
        Slice name, value;
        (void)line_next(&lines, &name, &value);
        if (field_forbids(name, value)) {
            return false;
        }
        if (slice_eq_nocase(name, SLICE("content-type"))) {
            type = value;
        }
    }
    return type_is_compressible(self, type);
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

/* The fields of a response that depends on Accept-Encoding; with a `coding` they say that it is compressed.
 * 0 or an error. */
static int
fields_change(HttpFields *fields, const HttpFields *before, Coding coding)
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
        err = coding != CODING_NONE ? field_copy(fields, line, name, value)
                                    : buf_append_slice(&fields->raw, line);
    }
    if (before != NULL) {
        Buf raw = fields->raw;
        *fields = *before;
        fields->raw = raw;
        fields->has_content_length &= coding == CODING_NONE;
    }
    if (err == 0 && coding != CODING_NONE) {
        err = http_fields_add(fields, SLICE("content-encoding"), coding_name(coding));
    }
    if (err == 0 && !varies) {
        err = http_fields_add(fields, SLICE("vary"), SLICE("Accept-Encoding"));
    }
    return err;
}

/* Decides what becomes of the response. If it depends on Accept-Encoding, `*head` gets other fields, valid
 * until the next call. When there is no memory it stays as it is. */
static Coding
head_change(HttpRequest *req, HttpHead *head, int64_t length)
{
    Compressor *self = req->server->compressor;
    bool stated = head->fields != NULL && head->fields->has_content_length;
    if (stated && (length < 0 || (req->is_head && length == 0))) {
        length = head->fields->content_length;
    }
    if (!head_is_compressible(self, head, length)) {
        return CODING_NONE;
    }
    Coding coding = http_accepted_coding(req, self->codings, self->n);
    if (fields_change(&self->fields, head->fields, coding) != 0) {
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

static Encoder *
encoder_take(Compressor *self, Coding coding, int64_t size)
{
    Encoder *encoder = self->spare[coding];
    self->spare[coding] = NULL;
    if (encoder != NULL && encoder_again(encoder, size)) {
        return encoder;
    }
    encoder_close(encoder);
    return encoder_open(coding, self->levels[coding], size);
}

static void
encoder_give(Compressor *self, Encoder *encoder)
{
    Encoder **spare = &self->spare[encoder->ops->coding];
    if (*spare == NULL) {
        *spare = encoder;
    } else {
        encoder_close(encoder);
    }
}

/* ---- What becomes of the bytes ------------------------------------------------------------ */

/* A piece of the body. 0, or an error after the connection, or the stream, is given up. */
static int
coded_put(const Coded *self, Slice piece, PyObject *owner)
{
    return self->conn != NULL ? response_piece(self->conn, piece, owner)
                              : h2_coded_piece(self->stream, piece, owner);
}

static void
coded_give_up(const Coded *self)
{
    if (self->conn != NULL) {
        conn_break(self->conn);
    } else {
        h2_coded_fail(self->stream);
    }
}

static void
coded_give_up_response(HttpRequest *req)
{
    if (req->conn != NULL) {
        conn_break(req->conn);
    } else {
        h2_coded_fail(req->h2);
    }
}

/* Where the owner of the request's response keeps it. */
static Coded **
coded_place(HttpRequest *req)
{
    return req->conn != NULL ? &req->conn->coded : h2_coded(req->h2);
}

/* The layer above has given the whole response, whose head is written. */
static void
coded_responded(HttpRequest *req)
{
    if (req->conn != NULL) {
        response_done(req->conn);
    } else {
        (void)h2_stream_end(req, NULL); /* nothing when it has been reset meanwhile */
    }
}

/* ---- On a thread of libuv's --------------------------------------------------------------- */

static void
encode(uv_work_t *work)
{
    Coded *self = container_of(work, Coded, work);
    self->err =
        encoder_put(self->encoder, buf_slice(&self->taken),
                    self->finished ? ENCODER_FINISH : ENCODER_FLUSH, &self->made);
}

static void
coded_free(Coded *self)
{
    if (self->shared != NULL) {
        encoder_give(self->shared, self->encoder);
    } else {
        encoder_close(self->encoder);
    }
    buf_free(&self->waiting);
    buf_free(&self->taken);
    buf_free(&self->made);
    buf_free(&self->trailers);
    PyMem_RawFree(self);
}

static void on_encoded(uv_work_t *work, int status);

/* Gives the thread what waits. */
static void
coded_go_on(Coded *self)
{
    Buf taken = self->taken;
    self->taken = self->waiting;
    self->waiting = taken;
    buf_clear(&self->waiting);
    self->finished = self->ended;
    self->busy = true;
    loop_work_begin(self->loop, &self->work, encode, on_encoded);
}

/* Writes what the thread has made. 0 or an error. */
static int
coded_write_made(Coded *self)
{
    if (self->err != 0 || self->made.len == 0) {
        return self->err;
    }
    PyObject *owner = slice_bytes(buf_slice(&self->made));
    if (owner == NULL) {
        PyErr_Clear(); /* the error says it: no memory */
        return UV_ENOMEM;
    }
    const Slice piece = {PyBytes_AS_STRING(owner), self->made.len};
    int err = coded_put(self, piece, owner);
    Py_DECREF(owner);
    buf_reset(&self->made, KEEP);
    return err;
}

/* All is encoded: the owner is without it from now on. 0 or an error. */
static int
coded_finish(Coded *self, Slice trailers)
{
    int err;
    if (self->conn != NULL) {
        self->conn->coded = NULL;
        err = response_last(self->conn, trailers);
    } else {
        *h2_coded(self->stream) = NULL;
        err = h2_coded_last(self->stream, trailers);
    }
    coded_free(self);
    return err;
}

/* The response is written, which http_stream_end has told the layer above already. */
static void
coded_over(Coded *self)
{
    HttpConn *c = self->conn;
    if (coded_finish(self, buf_slice(&self->trailers)) == 0 && c != NULL) {
        exchange_advance(c);
    }
}

/* There is room for more, unless the client has to read first. */
static void
coded_writable(const Coded *self)
{
    if (self->conn == NULL) {
        h2_coded_writable(self->stream);
    } else if (!self->conn->stream.over_high) {
        exchange_writable(self->conn);
    }
}

/* What follows once a piece is encoded. */
static void
coded_continue(Coded *self)
{
    if (self->conn != NULL && self->conn->broken) {
        return; /* closed before the loop blocks */
    }
    if (coded_write_made(self) != 0) {
        coded_give_up(self);
    } else if (self->finished) {
        coded_over(self);
    } else if (self->waiting.len != 0 || self->ended) {
        coded_go_on(self);
    } else {
        coded_writable(self);
    }
}

static void
on_encoded(uv_work_t *work, int Py_UNUSED(status))
{
    Coded *self = container_of(work, Coded, work);
    bool here = loop_work_end(self->loop);
    self->busy = false;
    HttpConn *c = self->conn;
    if (c == NULL && self->stream == NULL) {
        coded_free(self);
    } else if (here) {
        coded_continue(self);
        if (c != NULL) {
            conn_settle(c);
        }
    }
}

/* ---- The body ----------------------------------------------------------------------------- */

/* NULL when out of memory. */
static Coded *
coded_new(HttpRequest *req, Coding coding, int64_t length)
{
    Coded *self = PyMem_RawCalloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->shared = req->server->compressor;
    self->encoder = encoder_take(self->shared, coding, length);
    if (self->encoder == NULL) {
        PyMem_RawFree(self);
        return NULL;
    }
    self->conn = req->conn;
    self->stream = req->conn != NULL ? NULL : req->h2;
    self->loop = req->server->loop;
    self->left = length;
    return self;
}

/* Encodes a piece on this thread and writes it. 0, or an error after coded_give_up. */
static int
coded_write_here(Coded *self, Slice piece, EncoderEnd end)
{
    Buf *scratch = &self->shared->scratch;
    int err = encoder_put(self->encoder, piece, end, scratch);
    if (err != 0) {
        coded_give_up(self);
    } else if (scratch->len != 0) {
        err = coded_put(self, buf_slice(scratch), NULL);
    }
    buf_reset(scratch, KEEP);
    return err;
}

/* The head was written, or there was no memory for it: then nothing will be encoded. Returns `err`. */
static int
coded_begun(HttpRequest *req, int err)
{
    if (err != 0 && http_request_is_open(req)) {
        Coded **place = coded_place(req);
        coded_drop(*place);
        *place = NULL;
    }
    return err;
}

int
coded_begin(HttpRequest *req, const HttpHead *head, int64_t length)
{
    if (!http_request_is_open(req)) {
        return UV_ECANCELED;
    }
    HttpHead changed = *head;
    Coding coding = head_change(req, &changed, length);
    if (coding == CODING_NONE) {
        return response_begin(req, &changed, length);
    }
    if (req->is_head) {
        return response_begin(req, &changed, -1);
    }
    bool stated =
        length < 0 && head->fields != NULL && head->fields->has_content_length;
    Coded *coded =
        coded_new(req, coding, stated ? head->fields->content_length : length);
    if (coded == NULL) {
        return response_begin(req, head, length);
    }
    *coded_place(req) = coded;
    return coded_begun(req, response_begin(req, &changed, -1));
}

int
coded_write(Coded *self, Slice piece)
{
    if (self->left >= 0) {
        if (piece.len > (uint64_t)self->left) {
            return UV_EMSGSIZE;
        }
        self->left -= (int64_t)piece.len;
    }
    if (!self->busy && piece.len < OFF_LOOP) {
        return coded_write_here(self, piece, ENCODER_FLUSH);
    }
    int err = buf_append_slice(&self->waiting, piece);
    if (err != 0) {
        coded_give_up(self);
    } else if (!self->busy) {
        coded_go_on(self);
    }
    return err;
}

int
coded_end(Coded *self, Slice trailers)
{
    if (self->busy) {
        self->ended = true;
        int err = buf_append_slice(&self->trailers, trailers);
        if (err != 0) {
            coded_give_up(self);
        }
        return err;
    }
    int err = coded_write_here(self, SLICE(""), ENCODER_FINISH);
    return err != 0 ? err : coded_finish(self, trailers);
}

/* A body of OFF_LOOP bytes and more: its head now, the rest when it is encoded. */
static int
coded_respond_later(HttpRequest *req, const HttpHead *head, Coding coding, Slice body)
{
    const HttpConn *c = req->conn;
    Coded *self = coded_new(req, coding, (int64_t)body.len);
    if (self == NULL || buf_append_slice(&self->waiting, body) != 0) {
        if (self != NULL) {
            coded_free(self);
        }
        coded_give_up_response(req);
        return UV_ENOMEM;
    }
    *coded_place(req) = self;
    self->left = 0;
    self->ended = true;
    int err = coded_begun(req, response_begin(req, head, -1));
    if (err == 0 && req->conn == c) {
        coded_go_on(self);
        coded_responded(req);
    }
    return err;
}

int
coded_respond(HttpRequest *req, const HttpHead *head, Slice body, PyObject *owner)
{
    const HttpConn *c = req->conn;
    Compressor *shared = req->server->compressor;
    if (!http_request_is_open(req)) {
        return UV_ECANCELED;
    }
    HttpHead changed = *head;
    Coding coding = head_change(req, &changed, (int64_t)body.len);
    if (coding == CODING_NONE) {
        return response_whole(req, &changed, body, owner);
    }
    if (req->is_head) {
        int err = response_begin(req, &changed, -1);
        if (err == 0 && req->conn == c) {
            coded_responded(req);
        }
        return err;
    }
    if (body.len >= OFF_LOOP) {
        return coded_respond_later(req, &changed, coding, body);
    }
    Encoder *encoder = encoder_take(shared, coding, (int64_t)body.len);
    if (encoder == NULL) {
        return response_whole(req, head, body, owner);
    }
    int err = encoder_put(encoder, body, ENCODER_FINISH, &shared->scratch);
    encoder_give(shared, encoder);
    if (err != 0) {
        coded_give_up_response(req);
    } else {
        err = response_whole(req, &changed, buf_slice(&shared->scratch), NULL);
    }
    buf_reset(&shared->scratch, KEEP);
    return err;
}

bool
coded_is_busy(const Coded *self)
{
    return self != NULL && self->busy;
}

int64_t
coded_missing(const Coded *self)
{
    return self != NULL && self->left > 0 ? self->left : 0;
}

void
coded_drop(Coded *self)
{
    if (self == NULL) {
        return;
    }
    self->conn = NULL;
    self->stream = NULL;
    if (!self->busy) {
        coded_free(self);
    } else {
        self->shared = NULL; /* on_encoded frees it, perhaps after the server */
    }
}
