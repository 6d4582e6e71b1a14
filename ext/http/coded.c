/* See coded.h. In order: where bytes go, the work of a thread, and the body's pieces. A response is
 * complete for the layer above as soon as that has given everything; the exchange is over when all of it is
 * encoded and written (conn_owes). */
#include "base/py.h"

#include "http/coded.h"

#include "coding/encoder.h"
#include "http/compressor.h"
#include "http/h2.h"
#include "http/response_plain.h"

#include <uv.h>

enum {
    OFF_LOOP = 64 * 1024, /* bytes: a longer piece takes a millisecond and more */
    KEEP = 64 * 1024,     /* bytes of scratch memory that stay allocated */
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
        compressor_give(self->shared, self->encoder);
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
    self->encoder = compressor_take(self->shared, coding, length);
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
    Buf *scratch = compressor_scratch(self->shared);
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
    Coding coding = compressor_change_head(req, &changed, length);
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
    Coding coding = compressor_change_head(req, &changed, (int64_t)body.len);
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
    Encoder *encoder = compressor_take(shared, coding, (int64_t)body.len);
    if (encoder == NULL) {
        return response_whole(req, head, body, owner);
    }
    Buf *scratch = compressor_scratch(shared);
    int err = encoder_put(encoder, body, ENCODER_FINISH, scratch);
    compressor_give(shared, encoder);
    if (err != 0) {
        coded_give_up_response(req);
    } else {
        err = response_whole(req, &changed, buf_slice(scratch), NULL);
    }
    buf_reset(scratch, KEEP);
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
