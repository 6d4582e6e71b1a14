/* See encoder_type.h. While a thread encodes without the GIL, `busy` keeps other threads from the same object.
 * Using it at the same time is the caller's mistake: it raises an exception and doesn't wait. */
#include "base/py.h"

#include "coding/encoder_type.h"

#include "coding/encoder.h"

enum { LONG = 4096 }; /* bytes from which on giving the GIL away is worth it */

typedef struct EncoderObject {
    PyObject_HEAD
    Encoder *encoder; /* owned */
    bool busy;        /* a thread without the GIL has it */
    bool finished;
} EncoderObject;

static PyObject *
encoder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"", "", NULL};
    const char *text;
    Py_ssize_t len;
    int level;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s#i:Encoder", (char **)names, &text,
                                     &len, &level)) {
        return NULL;
    }
    Coding coding = coding_find(slice_of(text, (size_t)len));
    CodingLevels levels = coding_levels(coding);
    if (coding == CODING_NONE || level < levels.lowest || level > levels.highest) {
        return PyErr_Format(PyExc_ValueError, "no content coding %s of level %d", text,
                            level);
    }
    EncoderObject *self = (EncoderObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->encoder = encoder_open(coding, level, -1);
    if (self->encoder == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void
encoder_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    encoder_close(((EncoderObject *)op)->encoder);
    type->tp_free(op);
    Py_DECREF(type);
}

/* encoder_put, without the GIL if it takes long. */
static int
encoder_put_freely(EncoderObject *self, Slice in, EncoderEnd end, Buf *out)
{
    if (in.len < LONG) {
        return encoder_put(self->encoder, in, end, out);
    }
    int err;
    self->busy = true;
    Py_BEGIN_ALLOW_THREADS
    err = encoder_put(self->encoder, in, end, out);
    Py_END_ALLOW_THREADS
    self->busy = false;
    return err;
}

/* What `data` becomes: new bytes, or NULL with an exception set. */
static PyObject *
encoder_encode(PyObject *op, PyObject *data, EncoderEnd end)
{
    EncoderObject *self = (EncoderObject *)op;
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *made = NULL;
    Buf out = {NULL, 0, 0};
    if (self->busy || self->finished) {
        PyErr_SetString(PyExc_RuntimeError, self->busy
                                                ? "another thread uses the encoder"
                                                : "the encoder is finished");
    } else {
        self->finished = end == ENCODER_FINISH;
        const Slice in = slice_of(view.buf, (size_t)view.len);
        made = encoder_put_freely(self, in, end, &out) == 0
                   ? slice_bytes(buf_slice(&out))
                   : PyErr_NoMemory();
    }
    buf_free(&out);
    PyBuffer_Release(&view);
    return made;
}

static PyObject *
encoder_piece(PyObject *op, PyObject *data)
{
    return encoder_encode(op, data, ENCODER_FLUSH);
}

static PyObject *
encoder_finish(PyObject *op, PyObject *data)
{
    return encoder_encode(op, data, ENCODER_FINISH);
}

static PyMethodDef encoder_methods[] = {
    {"piece", encoder_piece, METH_O,
     "Encodes bytes so that a decoder has all of them once it has what is returned."},
    {"finish", encoder_finish, METH_O, "Encodes the last bytes."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot encoder_slots[] = {
    {Py_tp_doc, "Encodes one body in a content coding: Encoder(name, level)."},
    {Py_tp_new, encoder_new},
    {Py_tp_methods, encoder_methods},
    {Py_tp_dealloc, encoder_dealloc},
    {0, NULL},
};

static PyType_Spec encoder_spec = {
    .name = "fluvial._core.Encoder",
    .basicsize = sizeof(EncoderObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = encoder_slots,
};

int
encoder_type_setup(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &encoder_spec, NULL);
    int err = type == NULL ? -1 : PyModule_AddObjectRef(module, "Encoder", type);
    Py_XDECREF(type);
    return err;
}
