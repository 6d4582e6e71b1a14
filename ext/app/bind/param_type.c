/* The Python type Param (see plan.h), immutable once made. The constructor checks everything on
 * which the code for each request relies, so that this code needs no checks of its own.
 */
#include "base/py.h"

#include "app/bind/param_type.h"

#include "app/bind/plan.h"
#include "base/made.h"
#include "route/router.h"

/* Reads the key: an index for PATH, else a str. */
static int
param_take_key(Param *self, PyObject *key)
{
    if (self->source == PARAM_PATH) {
        unsigned long index = PyLong_AsUnsignedLong(key);
        if (index == (unsigned long)-1 && PyErr_Occurred()) {
            return -1;
        }
        if (index >= ROUTE_CAPTURES_MAX) {
            PyErr_Format(PyExc_ValueError, "a pattern has at most %d captures",
                         (int)ROUTE_CAPTURES_MAX);
            return -1;
        }
        self->index = (uint32_t)index;
        return 0;
    }
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(key, &len);
    if (text == NULL) {
        return -1;
    }
    Py_XSETREF(self->key, Py_NewRef(key));
    self->key_text = slice_of(text, (size_t)len);
    return 0;
}

static int
param_check(const Param *self, int source, int kind)
{
    if (source < PARAM_PATH || source > PARAM_REQUEST) {
        PyErr_Format(PyExc_ValueError, "source must be PATH … REQUEST, not %d", source);
        return -1;
    }
    if (kind < PARAM_STR || kind > PARAM_PYTHON) {
        PyErr_Format(PyExc_ValueError, "kind must be STR … PYTHON, not %d", kind);
        return -1;
    }
    if ((kind != PARAM_STR || source == PARAM_BODY) && self->convert == NULL) {
        PyErr_SetString(PyExc_ValueError, "parameters other than STR need convert");
        return -1;
    }
    return 0;
}

static int
param_fill(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"source", "key",       "loc_name", "kind",
                                        "many",   "required",  "default",  "convert",
                                        "defer",  "from_json", NULL};
    Param *self = (Param *)op;
    int source, kind = PARAM_STR, many = 0, required = 1, defer = 0;
    PyObject *key, *loc_name, *fallback = Py_None, *convert = Py_None,
                              *from_json = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iOU|$ippOOpO", (char **)names,
                                     &source, &key, &loc_name, &kind, &many, &required,
                                     &fallback, &convert, &defer, &from_json)) {
        return -1;
    }
    Py_XSETREF(self->loc_name, Py_NewRef(loc_name));
    Py_XSETREF(self->fallback, Py_NewRef(fallback));
    Py_XSETREF(self->convert, convert == Py_None ? NULL : Py_NewRef(convert));
    Py_XSETREF(self->from_json, object_or_null(from_json));
    if (param_check(self, source, kind) < 0) {
        return -1;
    }
    self->source = (ParamSource)source;
    self->kind = (ParamKind)kind;
    self->many = many != 0;
    self->required = required != 0;
    self->defer = defer != 0;
    return param_take_key(self, key);
}

static int
param_traverse(PyObject *op, visitproc visit, void *arg)
{
    Param *self = (Param *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->key);
    Py_VISIT(self->loc_name);
    Py_VISIT(self->fallback);
    Py_VISIT(self->convert);
    Py_VISIT(self->from_json);
    return 0;
}

static int
param_clear(PyObject *op)
{
    Param *self = (Param *)op;
    Py_CLEAR(self->key);
    Py_CLEAR(self->loc_name);
    Py_CLEAR(self->fallback);
    Py_CLEAR(self->convert);
    Py_CLEAR(self->from_json);
    return 0;
}

static void
param_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)param_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
param_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return object_made(type, args, kwargs, param_fill);
}

static int
param_init(PyObject *op, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return object_init_once(op, &((Param *)op)->initialised);
}

static PyType_Slot param_slots[] = {
    {Py_tp_doc, "One argument of a handler and where it comes from."},
    {Py_tp_new, param_new},
    {Py_tp_init, param_init},
    {Py_tp_traverse, param_traverse},
    {Py_tp_clear, param_clear},
    {Py_tp_dealloc, param_dealloc},
    {0, NULL},
};

static PyType_Spec param_spec = {
    .name = "fluvial._core.Param",
    .basicsize = sizeof(Param),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = param_slots,
};

int
param_setup(PyObject *module, PyTypeObject **type)
{
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &param_spec, NULL);
    return *type == NULL ? -1 : PyModule_AddType(module, *type);
}
