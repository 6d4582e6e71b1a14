/* See file_turns.h. Where the kernel can't copy the file, it is read in pieces instead. The object belongs to the request (AppCall.mounted) until everything is sent or the client
 * is gone. While the socket is full, the loop's set of descriptors holds a reference, too.
 */
#include "base/py.h"

#include "files/file_turns.h"

#include "app/call.h"
#include "app/server.h"
#include "http/file_copy.h"
#include "http/response.h"
#include "loop/loop.h"

#include <unistd.h>
#include <uv.h>

enum {
    TURN = 512 * 1024, /* most bytes before other connections get their turn */
    PIECE = 64
        * 1024, /* bytes that are read at once where the kernel can't copy them */
};

typedef struct FileTurns {
    PyObject_HEAD
    AppServer *server; /* owned: outlives the requests of its HttpServer */
    HttpRequest *req;  /* owned reference; NULL once it is over */
    ServedFile *file;  /* owned */
    HttpLoan loan;     /* .fd is -1 until the socket is lent */
    FilePart part;     /* what is left to send, of this part */
    Multipart *body;   /* owned: the other parts; NULL: there is only one */
    bool watched;
    bool
        reads; /* the kernel doesn't copy: with TLS, by HTTP/2, compressed, or in parts */
    bool scheduled; /* the loop is going to call this object */
} FileTurns;

/* ---- The end ------------------------------------------------------------------------------ */

static void
turns_return_socket(FileTurns *self)
{
    if (self->watched) {
        self->watched = false;
        loop_fd_unwatch(self->server->loop, self->loan.fd, FD_WRITER, (PyObject *)self);
    }
    if (self->loan.fd >= 0) {
        (void)close(self->loan.fd);
        self->loan.fd = -1;
    }
}

/* The request lets go of this object. The caller holds a reference to the request. */
static void
turns_end(FileTurns *self)
{
    HttpRequest *req = self->req;
    turns_return_socket(self);
    self->req = NULL;
    call_of(req)->mounted = NULL;
    http_request_unref(req);
    Py_DECREF((PyObject *)self);
}

/* Ends the response. If bytes are missing, http_stream_end closes the connection: the client must see that
 * the response is incomplete. */
static void
turns_finish(FileTurns *self, uint64_t bytes)
{
    HttpRequest *req = self->req;
    http_request_ref(req);
    turns_end(self);
    http_stream_lent(req, bytes);
    (void)http_stream_end(req);
    http_request_unref(req);
}

/* ---- Turns -------------------------------------------------------------------------------- */

static void turns_go_on(FileTurns *self);

static void
turns_on_room(PyObject *owner)
{
    turns_go_on((FileTurns *)owner);
}

/* Continues when the socket takes more. */
static void
turns_wait(FileTurns *self, uint64_t bytes)
{
    if (!self->watched
        && loop_fd_watch(self->server->loop, self->loan.fd, FD_WRITER, turns_on_room,
                         (PyObject *)self)
               < 0) {
        PyErr_Clear(); /* no memory, or the loop is being closed: the client sees it */
        turns_finish(self, bytes);
        return;
    }
    self->watched = true;
    http_stream_lent_part(self->req, bytes);
}

static void
turns_go_on(FileTurns *self)
{
    HttpRequest *req = self->req;
    if (req == NULL) {
        return;
    }
    http_request_ref(req);
    Py_INCREF((PyObject *)self);
    FilePart turn = self->part;
    turn.left = turn.left < TURN ? turn.left : TURN;
    FileCopied copied = file_copy(self->loan.fd, &turn);
    uint64_t bytes = (uint64_t)(turn.offset - self->part.offset);
    self->part.offset = turn.offset;
    self->part.left -= (int64_t)bytes;
    if (copied == FILE_GONE) {
        turns_return_socket(self);
        http_stream_lost(req); /* file_turns_gone follows */
    } else if (copied == FILE_ENDED || self->part.left == 0) {
        turns_finish(self, bytes);
    } else {
        turns_wait(self, bytes);
    }
    Py_DECREF((PyObject *)self);
    http_request_unref(req);
}

/* ---- Turns in which the file is read ------------------------------------------------------- */

/* Whether there is more to send. */
static bool
turns_are_left(const FileTurns *self)
{
    return self->part.left > 0
           || (self->body != NULL && self->body->next < self->body->n);
}

/* Sends what precedes the next part. Returns how many bytes that are. */
static int64_t
turns_begin_part(FileTurns *self)
{
    Slice lead;
    const MultipartPart *part = multipart_next(self->body, &lead);
    self->part.offset = (off_t)part->range.start;
    self->part.left = part->range.end - part->range.start;
    (void)http_stream_write(self->req, lead, NULL); /* as below */
    return (int64_t)lead.len;
}

/* Reads and sends a piece. Returns how many bytes that are; not above 0 when there is none, or no memory: the
 * response can't be completed. */
static int64_t
turns_read_piece(FileTurns *self)
{
    if (self->part.left == 0) {
        return turns_begin_part(self);
    }
    int64_t size = self->part.left < PIECE ? self->part.left : PIECE;
    PyObject *piece = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (piece == NULL) {
        PyErr_Clear(); /* the client sees that the response is incomplete */
        return -1;
    }
    char *bytes = PyBytes_AS_STRING(piece);
    ssize_t n = pread(self->part.fd, bytes, (size_t)size, self->part.offset);
    if (n > 0) {
        self->part.offset += n;
        self->part.left -= n;
        /* If the client has gone, file_turns_gone has been called. */
        (void)http_stream_write(self->req, slice_of(bytes, (size_t)n),
                                n == size ? piece : NULL);
    }
    Py_DECREF(piece);
    return (int64_t)n;
}

/* Lets others have their turn, too. False without memory. */
static bool
turns_schedule(FileTurns *self)
{
    if (!self->scheduled
        && loop_call_soon(self->server->loop, (PyObject *)self, NULL, NULL) < 0) {
        PyErr_Clear(); /* no memory, or the loop is being closed: the client sees it */
        return false;
    }
    self->scheduled = true;
    return true;
}

static void
turns_read(FileTurns *self)
{
    HttpRequest *req = self->req;
    if (req == NULL) {
        return;
    }
    http_request_ref(req);
    Py_INCREF((PyObject *)self);
    int64_t sent = 0;
    bool sound = true;
    while (sound && self->req != NULL && turns_are_left(self) && sent < TURN
           && !http_stream_full(req)) {
        int64_t n = turns_read_piece(self);
        sound = n > 0;
        sent += n;
    }
    if (self->req != NULL && sound && turns_are_left(self) && !http_stream_full(req)) {
        sound = turns_schedule(self);
    }
    if (self->req != NULL && (!sound || !turns_are_left(self))) {
        turns_finish(self, 0);
    }
    Py_DECREF((PyObject *)self);
    http_request_unref(req);
}

/* The loop calls this object. */
static PyObject *
file_turns_call(PyObject *op, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    ((FileTurns *)op)->scheduled = false;
    turns_read((FileTurns *)op);
    Py_RETURN_NONE;
}

/* ---- The beginning ------------------------------------------------------------------------- */

/* Borrows the socket when everything before is sent. */
static void
turns_borrow(FileTurns *self)
{
    int err = http_stream_lend(self->req, &self->loan);
    if (err == 0) {
        turns_go_on(self);
        return;
    }
    self->loan.fd = -1;
    if (err == UV_ENOTSUP) {
        self->reads = true;
        turns_read(self);
        return;
    }
    if (err != UV_EAGAIN && err != UV_ECANCELED) { /* as a rule UV_EMFILE */
        turns_finish(self, 0);
    }
}

/* ---- What StaticFiles calls --------------------------------------------------------------- */

int
file_turns_start(const FilesState *st, HttpRequest *req, ServedFile *file,
                 ByteRange range, Multipart *body)
{
    FileTurns *self = (FileTurns *)st->turns_type->tp_alloc(st->turns_type, 0);
    if (self == NULL) {
        multipart_free(body);
        return -1;
    }
    self->server = (AppServer *)Py_NewRef((PyObject *)call_server(req));
    http_request_ref(req);
    self->req = req;
    self->file = (ServedFile *)Py_NewRef((PyObject *)file);
    self->loan.fd = -1;
    self->part = (FilePart){
        .fd = file->fd, .offset = (off_t)range.start, .left = range.end - range.start};
    self->body = body;
    call_of(req)->mounted = self;
    if (body != NULL) { /* the socket would be borrowed and returned for each part */
        self->reads = true;
        turns_read(self);
    } else {
        turns_borrow(self);
    }
    return 0;
}

void
file_turns_writable(HttpRequest *req)
{
    FileTurns *self = call_of(req)->mounted;
    if (self != NULL && self->reads) {
        turns_read(self);
    } else if (self != NULL && self->loan.fd < 0) {
        turns_borrow(self);
    }
}

void
file_turns_gone(HttpRequest *req)
{
    FileTurns *self = call_of(req)->mounted;
    if (self != NULL) {
        turns_end(self);
    }
}

/* ---- The type ----------------------------------------------------------------------------- */

static int
file_turns_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT((PyObject *)((FileTurns *)op)->server);
    return 0;
}

static void
file_turns_dealloc(PyObject *op)
{
    FileTurns *self = (FileTurns *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    assert(self->req == NULL);
    if (self->loan.fd >= 0) {
        (void)close(self->loan.fd);
    }
    multipart_free(self->body);
    Py_XDECREF((PyObject *)self->file);
    Py_XDECREF((PyObject *)self->server);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot file_turns_slots[] = {
    {Py_tp_doc, "A file on its way to a client."},
    {Py_tp_traverse, file_turns_traverse},
    {Py_tp_dealloc, file_turns_dealloc},
    {Py_tp_call, file_turns_call},
    {0, NULL},
};

static PyType_Spec file_turns_spec = {
    .name = "fluvial._core.FileTurns",
    .basicsize = sizeof(FileTurns),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = file_turns_slots,
};

int
file_turns_setup(PyObject *module, FilesState *st)
{
    st->turns_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &file_turns_spec, NULL);
    return st->turns_type == NULL ? -1 : 0;
}
