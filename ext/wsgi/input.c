/* Reading from wsgi.input (see input.h). Bytes that have arrived are in WsgiCall.pieces. A method
 * that needs more collects them piece by piece, so that the connection can continue reading.
 */
#include "base/py.h"

#include "wsgi/input.h"

#include "base/err.h"

#include <uv.h>

typedef struct WsgiInput {
    PyObject_HEAD
    WsgiCall *call; /* owned; NULL: there is no body */
} WsgiInput;

static WsgiCall *
input_call(PyObject *op)
{
    return ((WsgiInput *)op)->call;
}

/* ---- What has arrived --------------------------------------------------------------------- */

static Slice
input_arrived(const WsgiCall *call)
{
    return slice_of(call->pieces.ptr + call->from, call->pieces.len - call->from);
}

/* Marks the first `size` bytes that have arrived as read. Their memory stays valid until the GIL is
 * released. */
static void
input_take(WsgiCall *call, size_t size)
{
    call->from += size;
    if (call->from == call->pieces.len) {
        call->from = 0;
        buf_clear(&call->pieces);
    }
    if (call->paused && input_arrived(call).len <= WSGI_LOW && call->req != NULL) {
        call->paused = false;
        wsgi_order(call, WSGI_RESUME);
    }
}

/* Waits until something has arrived. 1; 0 at the end of the body; -1 with an exception set. */
static int
input_wait(WsgiCall *call)
{
    for (;;) {
        const HttpRequest *req = call->req;
        if (req == NULL) {
            PyErr_SetString(PyExc_RuntimeError, "wsgi.input: the request is over");
            return -1;
        }
        if (input_arrived(call).len != 0) {
            return 1;
        }
        if (req->body_complete) {
            return 0;
        }
        if (call->gone || req->response == HTTP_RESPONSE_DONE) {
            PyErr_SetString(PyExc_ConnectionResetError,
                            call->gone ? "the client has gone away"
                                       : "the rest of the body was dropped, since the "
                                         "response is complete");
            return -1;
        }
        input_take(call, 0); /* lets the connection read again */
        if (wsgi_wait(call) < 0) {
            return -1;
        }
    }
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* How many of the bytes `there` a method takes that may return up to `most` more of them. *last: it
 * needs no more after these. */
typedef size_t (*Portion)(Slice there, size_t most, bool *last);

static size_t
any_portion(Slice there, size_t most, bool *last)
{
    *last = there.len >= most;
    return *last ? most : there.len;
}

static size_t
line_portion(Slice there, size_t most, bool *last)
{
    size_t size = any_portion(there, most, last);
    const char *end = size == 0 ? NULL : memchr(there.ptr, '\n', size);
    if (end != NULL) {
        *last = true;
        size = (size_t)(end - there.ptr) + 1;
    }
    return size;
}

/* As input_gather(), but appends to `out`. 0, or -1 with an exception set. */
static int
input_gather_into(WsgiCall *call, size_t most, Portion portion, Buf *out)
{
    bool last = false;
    while (!last) {
        int more = input_wait(call);
        if (more <= 0) {
            return more;
        }
        Slice there = input_arrived(call);
        size_t size = portion(there, most - out->len, &last);
        if (buf_append(out, there.ptr, size) != 0) {
            PyErr_NoMemory();
            return -1;
        }
        input_take(call, size);
    }
    return 0;
}

/* Reads at most `most` bytes, until `portion` needs no more or the body ends: a new bytes object,
 * or NULL with an exception set. */
static PyObject *
input_gather(WsgiCall *call, size_t most, Portion portion)
{
    int more = most == 0 ? 0 : input_wait(call);
    if (more <= 0) {
        return more < 0 ? NULL : PyBytes_FromStringAndSize(NULL, 0);
    }
    bool last;
    size_t size = portion(input_arrived(call), most, &last);
    if (last || (size == input_arrived(call).len && call->req->body_complete)) {
        PyObject *bytes = slice_bytes(slice_of(input_arrived(call).ptr, size));
        if (bytes != NULL) {
            input_take(call, size);
        }
        return bytes;
    }
    Buf out = {NULL, 0, 0};
    PyObject *bytes = input_gather_into(call, most, portion, &out) < 0
                          ? NULL
                          : slice_bytes(out.ptr == NULL ? SLICE("") : buf_slice(&out));
    buf_free(&out);
    return bytes;
}

/* ---- Methods ------------------------------------------------------------------------------ */

/* Reads the optional argument, a number of bytes. None and negative numbers mean SIZE_MAX, no
 * limit. 0, or -1 with an exception set. */
static int
size_argument(const char *name, PyObject *const *args, Py_ssize_t nargs, size_t *size)
{
    *size = SIZE_MAX;
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most one argument, not %zd", name,
                     nargs);
        return -1;
    }
    if (nargs == 0 || args[0] == Py_None) {
        return 0;
    }
    Py_ssize_t number = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (number >= 0) {
        *size = (size_t)number;
    }
    return 0;
}

static PyObject *
input_get(PyObject *op, size_t most, Portion portion)
{
    WsgiCall *call = input_call(op);
    return call == NULL ? PyBytes_FromStringAndSize(NULL, 0)
                        : input_gather(call, most, portion);
}

static PyObject *
input_read(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    size_t most;
    return size_argument("read", args, nargs, &most) < 0
               ? NULL
               : input_get(op, most, any_portion);
}

static PyObject *
input_readline(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    size_t most;
    return size_argument("readline", args, nargs, &most) < 0
               ? NULL
               : input_get(op, most, line_portion);
}

static PyObject *
input_next(PyObject *op)
{
    PyObject *line = input_get(op, SIZE_MAX, line_portion);
    if (line != NULL && PyBytes_GET_SIZE(line) == 0) {
        Py_CLEAR(line);
    }
    return line;
}

/* Reads lines until they have `hint` bytes together. */
static PyObject *
input_readlines(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    size_t hint;
    if (size_argument("readlines", args, nargs, &hint) < 0) {
        return NULL;
    }
    PyObject *lines = PyList_New(0);
    size_t size = 0;
    hint = hint == 0 ? SIZE_MAX : hint; /* as in Python's files: 0 is no limit */
    while (lines != NULL && size < hint) {
        PyObject *line = input_next(op);
        if (line == NULL) {
            break;
        }
        size += (size_t)PyBytes_GET_SIZE(line);
        if (PyList_Append(lines, line) < 0) {
            Py_CLEAR(lines);
        }
        Py_DECREF(line);
    }
    if (PyErr_Occurred()) {
        Py_CLEAR(lines);
    }
    return lines;
}

/* ---- The type ----------------------------------------------------------------------------- */

static int
input_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT((PyObject *)input_call(op));
    return 0;
}

static void
input_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_XDECREF((PyObject *)input_call(op));
    type->tp_free(op);
    Py_DECREF(type);
}

#define FAST(function) (PyCFunction)(void (*)(void))(function)
static PyMethodDef input_methods[] = {
    {"read", FAST(input_read), METH_FASTCALL,
     "Reads that many bytes of the body, or all."},
    {"readline", FAST(input_readline), METH_FASTCALL, "The next line of the body."},
    {"readlines", FAST(input_readlines), METH_FASTCALL, "The lines of the body."},
    {NULL, NULL, 0, NULL},
};
#undef FAST

static PyType_Slot input_slots[] = {
    {Py_tp_doc, "The body of a request to a WSGI app, to be read as a file."},
    {Py_tp_traverse, input_traverse},
    {Py_tp_dealloc, input_dealloc},
    {Py_tp_methods, input_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, input_next},
    {0, NULL},
};

static PyType_Spec input_spec = {
    .name = "fluvial._core.WsgiInput",
    .basicsize = sizeof(WsgiInput),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = input_slots,
};

int
wsgi_input_setup(PyObject *module, WsgiState *st)
{
    st->wsgi_input_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &input_spec, NULL);
    return st->wsgi_input_type == NULL ? -1
                                       : PyModule_AddType(module, st->wsgi_input_type);
}

PyObject *
wsgi_input_new(const WsgiState *st, WsgiCall *call)
{
    PyTypeObject *type = st->wsgi_input_type;
    WsgiInput *self = (WsgiInput *)type->tp_alloc(type, 0);
    if (self != NULL && call != NULL) {
        self->call = (WsgiCall *)Py_NewRef((PyObject *)call);
    }
    return (PyObject *)self;
}
