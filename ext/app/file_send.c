/* See file_send.h. One object does all turns. Three may hold a reference to it: libuv while a
 * thread copies, the loop's set of descriptors while the socket is full, and the awaitable until it
 * ends.
 */
#include "base/py.h"

#include "app/file_send.h"

#include "http/response.h"
#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <uv.h>

typedef enum FileSendState {
    FILE_WAITS, /* until everything written before is sent and the socket can be lent */
    FILE_COPIES,  /* on a thread; only that one touches `part` and `copied` now */
    FILE_BLOCKED, /* until the socket takes more */
    FILE_OVER,    /* the result is known, the descriptors are closed */
} FileSendState;

typedef struct FileSend {
    PyObject_HEAD
    const FileSendOps *ops; /* static */
    PyObject *holder;       /* owned */
    AppServer *server;      /* owned: outlives the requests of its HttpServer */
    HttpRequest *req;       /* owned reference */
    uv_work_t work;         /* owns a reference to this while FILE_COPIES */
    FileSendState state;
    HttpLoan loan; /* .fd is -1 unless FILE_COPIES or FILE_BLOCKED */
    FilePart part; /* .fd is a duplicate of its own, or -1 */
    int64_t size;  /* bytes asked for */
    int64_t told;  /* bytes sent that the connection knows of */
    FileCopied copied;
    int error;     /* once FILE_OVER: 0, or what to raise for */
    bool unwanted; /* the awaitable has ended: nobody takes the result */
} FileSend;

/* ---- The end ------------------------------------------------------------------------------ */

static void
fd_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

static void
file_send_end(FileSend *self, int error)
{
    self->state = FILE_OVER;
    self->error = error;
    fd_close(&self->loan.fd);
    fd_close(&self->part.fd);
    waiting_wake(self->ops->writers(self->holder));
}

/* ---- Turns -------------------------------------------------------------------------------- */

static void
on_work(uv_work_t *work)
{
    FileSend *self = container_of(work, FileSend, work);
    self->copied = file_copy(self->loan.fd, &self->part);
}

static void on_turn(uv_work_t *work, int status);

static void
turn_start(FileSend *self)
{
    self->state = FILE_COPIES;
    Py_INCREF((PyObject *)self);
    loop_work_begin(self->server->loop, &self->work, on_work, on_turn);
}

/* The socket takes more; or the connection was closed, since that shuts the socket down. */
static void
on_room(PyObject *owner)
{
    FileSend *self = (FileSend *)owner;
    loop_fd_unwatch(self->server->loop, self->loan.fd, FD_WRITER, owner);
    turn_start(self);
}

/* The number of bytes that were sent in the last turn. */
static uint64_t
turn_bytes(FileSend *self)
{
    int64_t sent = self->size - self->part.left;
    uint64_t bytes = (uint64_t)(sent - self->told);
    self->told = sent;
    return bytes;
}

/* Waits until the socket takes more. */
static void
turn_wait(FileSend *self)
{
    self->state = FILE_BLOCKED;
    if (loop_fd_watch(self->server->loop, self->loan.fd, FD_WRITER, on_room,
                      (PyObject *)self)
        < 0) {
        /* No memory, or the loop is being closed: the awaiting coroutine gets UV_ECONNRESET. */
        PyErr_Clear();
        http_stream_lost(self->req);
        file_send_end(self, UV_ECONNRESET);
    }
}

static void
turn_done(FileSend *self)
{
    HttpRequest *req = self->req;
    if (self->unwanted) {
        self->ops->abort(req);
    }
    if (!http_request_is_open(req)) {
        file_send_end(self, UV_ECONNRESET);
        return;
    }
    switch (self->copied) {
    case FILE_TURN:
        http_stream_lent_part(req, turn_bytes(self));
        turn_start(self);
        break;
    case FILE_FULL:
        http_stream_lent_part(req, turn_bytes(self));
        turn_wait(self);
        break;
    case FILE_COPIED:
    case FILE_ENDED:
        http_stream_lent(req, turn_bytes(self));
        file_send_end(self, 0);
        break;
    case FILE_GONE:
        http_stream_lost(req);
        file_send_end(self, UV_ECONNRESET);
        break;
    }
}

static void
on_turn(uv_work_t *work, int Py_UNUSED(status))
{
    FileSend *self = container_of(work, FileSend, work);
    if (loop_work_end(self->server->loop)) {
        turn_done(self);
        Py_DECREF((PyObject *)self);
    }
}

/* ---- The awaitable ------------------------------------------------------------------------ */

static WaitStep
file_send_fail(const FileSend *self, int err)
{
    self->ops->raise(self->holder, err);
    return WAIT_FAILED;
}

static WaitStep
file_send_result(const FileSend *self, PyObject **result)
{
    if (self->error != 0) {
        return file_send_fail(self, self->error);
    }
    *result = PyLong_FromLongLong(self->size - self->part.left);
    return *result == NULL ? WAIT_FAILED : WAIT_DONE;
}

static WaitStep
file_send_begin(FileSend *self, PyObject **result)
{
    if (self->req->bodyless) {
        self->part.left = 0;
        file_send_end(self, 0);
        return file_send_result(self, result);
    }
    /* Other tasks may have sent something since the awaitable was made. */
    int64_t room = self->req->length_left;
    bool fits = room < 0 || self->part.left <= room;
    int err = fits ? http_stream_lend(self->req, &self->loan) : UV_EMSGSIZE;
    switch (err) {
    case 0:
        turn_start(self);
        return WAIT_BLOCKED;
    case UV_EAGAIN:
        return WAIT_BLOCKED;
    case UV_ECANCELED: /* the response is complete, or its connection is about to be closed */
        file_send_end(
            self, self->req->response == HTTP_RESPONSE_STREAMING ? UV_ECONNRESET : err);
        break;
    case UV_EBUSY:
    case UV_EMSGSIZE:
        file_send_end(self, err);
        break;
    default: /* the socket can't be lent: the caller reads and writes all of it */
        self->loan.fd = -1;
        file_send_end(self, 0);
        break;
    }
    return file_send_result(self, result);
}

static WaitStep
file_send_attempt(PyObject *owner, PyObject **result, WaitList **list)
{
    FileSend *self = (FileSend *)owner;
    *list = self->ops->writers(self->holder);
    switch (self->state) {
    case FILE_WAITS:
        return file_send_begin(self, result);
    case FILE_COPIES:
    case FILE_BLOCKED: /* after a lost connection the turn ends by itself */
        return http_request_is_open(self->req) ? WAIT_BLOCKED
                                               : file_send_fail(self, UV_ECONNRESET);
    case FILE_OVER:
        return file_send_result(self, result);
    }
    Py_UNREACHABLE();
}

/* WaitOps.drop. Nobody knows how much the kernel has already sent, so the response can't be
 * continued: it is broken off. The garbage collector may call this on another thread; turn_done
 * breaks the response off then. */
static void
file_send_drop(PyObject *owner)
{
    FileSend *self = (FileSend *)owner;
    bool begun = self->state == FILE_COPIES || self->state == FILE_BLOCKED;
    self->unwanted = true;
    if (begun && loop_runs_here(self->server->loop)) {
        self->ops->abort(self->req);
    }
}

static const WaitOps file_send_ops = {
    .attempt = file_send_attempt,
    .drop = file_send_drop,
};

/* ---- The type ----------------------------------------------------------------------------- */

static int
file_send_traverse(PyObject *op, visitproc visit, void *arg)
{
    FileSend *self = (FileSend *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->holder);
    Py_VISIT((PyObject *)self->server);
    return 0;
}

static void
file_send_dealloc(PyObject *op)
{
    FileSend *self = (FileSend *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    fd_close(&self->loan.fd);
    fd_close(&self->part.fd);
    if (self->req != NULL) {
        http_request_unref(self->req);
    }
    Py_XDECREF(self->holder);
    Py_XDECREF((PyObject *)self->server);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot file_send_slots[] = {
    {Py_tp_doc, "A part of a file on its way to a client."},
    {Py_tp_traverse, file_send_traverse},
    {Py_tp_dealloc, file_send_dealloc},
    {0, NULL},
};

static PyType_Spec file_send_spec = {
    .name = "fluvial._core.FileSend",
    .basicsize = sizeof(FileSend),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = file_send_slots,
};

int
file_send_setup(PyObject *module, AppState *st)
{
    st->file_send_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &file_send_spec, NULL);
    return st->file_send_type == NULL ? -1 : 0;
}

PyObject *
file_send_new(HttpRequest *req, FilePart part, const FileSendOps *ops, PyObject *holder)
{
    AppServer *server = call_server(req);
    PyTypeObject *type = server->st->file_send_type;
    FileSend *self = (FileSend *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->loan.fd = -1;
    self->part = part;
    self->part.fd = fcntl(part.fd, F_DUPFD_CLOEXEC, 0);
    self->size = part.left;
    self->ops = ops;
    self->holder = Py_NewRef(holder);
    self->server = (AppServer *)Py_NewRef((PyObject *)server);
    http_request_ref(req);
    self->req = req;
    PyObject *awaitable = NULL;
    if (self->part.fd < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
    } else {
        awaitable =
            waiting_new(server->st, server->loop, &file_send_ops, (PyObject *)self);
    }
    Py_DECREF((PyObject *)self);
    return awaitable;
}
