/* See shape.h. A shape is made of a kind, classes and names; then `settle` gives it the shapes of what it contains,
 * among which it may be itself. Looking at a value may run Python code (properties, __instancecheck__), so
 * everything that is looked at is held meanwhile.
 */
#include "base/py.h"

#include "app/shape.h"

#include "base/made.h"

typedef enum ShapeKind {
    SHAPE_EXACT,    /* a value of one of the classes; what it contains doesn't matter */
    SHAPE_INSTANCE, /* the same, or of a class derived from one of them */
    SHAPE_OBJECT,   /* of one of the classes, with the attributes `names` */
    SHAPE_OWN,      /* the same, and its __dict__ has no more than these */
    SHAPE_MODEL,    /* of one of the classes, and its __dict__ has exactly `names` */
    SHAPE_MEMBERS,  /* a dict with no other keys than `names` */
    SHAPE_ITEMS,    /* of one of the classes; all items are alike */
    SHAPE_TUPLE,    /* of one of the classes; each item has a shape of its own */
    SHAPE_DICT,     /* a dict whose keys are alike, and whose values are */
    SHAPE_UNION,    /* one of several shapes */
} ShapeKind;

typedef struct Shape {
    PyObject_HEAD
    bool initialised; /* __init__ was called */
    ShapeKind kind;
    PyObject *classes; /* owned tuple of types; NULL once cleared */
    PyObject *names;   /* owned tuple of interned str */
    PyObject
        *parts; /* owned tuple of Shape or None (anything fits); NULL until settled */
} Shape;

/* 1 if `value` (borrowed: the caller holds it) fits, 0 if not, -1 with an exception set. */
static int shape_fits(const Shape *self, PyObject *value);

static int
part_fits(const Shape *self, Py_ssize_t i, PyObject *value)
{
    PyObject *part = PyTuple_GET_ITEM(self->parts, i);
    return part == Py_None ? 1 : shape_fits((const Shape *)part, value);
}

static bool
shape_has_class(const Shape *self, PyObject *value)
{
    PyObject *cls = (PyObject *)Py_TYPE(value);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->classes); i++) {
        if (PyTuple_GET_ITEM(self->classes, i) == cls) {
            return true;
        }
    }
    return false;
}

/* 0 for the AttributeError of an attribute that is missing, which is cleared; else -1. */
static int
attribute_missing(void)
{
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    PyErr_Clear(); /* it was deleted or never set: the value doesn't fit */
    return 0;
}

static int
attributes_fit(const Shape *self, PyObject *value)
{
    int fits = 1;
    for (Py_ssize_t i = 0; fits == 1 && i < PyTuple_GET_SIZE(self->names); i++) {
        PyObject *item = PyObject_GetAttr(value, PyTuple_GET_ITEM(self->names, i));
        fits = item == NULL ? attribute_missing() : part_fits(self, i, item);
        Py_XDECREF(item);
    }
    return fits;
}

/* The place of `key` (borrowed) among the names; -1 when it isn't one of them. */
static Py_ssize_t
name_index(const Shape *self, PyObject *key)
{
    if (!PyUnicode_CheckExact(key)) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->names); i++) {
        PyObject *name = PyTuple_GET_ITEM(self->names, i);
        if (name == key || PyUnicode_Compare(name, key) == 0) {
            return i;
        }
    }
    return -1;
}

/* Whether the __dict__ of `value`, if it has one, has nothing but what is declared. */
static int
dict_is_own(const Shape *self, PyObject *value)
{
    PyObject *own = PyObject_GetAttrString(value, "__dict__");
    if (own == NULL) {
        return attribute_missing() < 0 ? -1 : 1;
    }
    PyObject *key;
    Py_ssize_t at = 0;
    int fits = PyDict_Check(own);
    while (fits == 1 && PyDict_Next(own, &at, &key, NULL)) {
        fits = name_index(self, key) >= 0;
    }
    Py_DECREF(own);
    return fits;
}

static int
model_fits(const Shape *self, PyObject *value)
{
    PyObject *own = PyObject_GenericGetDict(value, NULL);
    if (own == NULL) {
        return attribute_missing();
    }
    int fits = PyDict_GET_SIZE(own) == PyTuple_GET_SIZE(self->names);
    for (Py_ssize_t i = 0; fits == 1 && i < PyTuple_GET_SIZE(self->names); i++) {
        PyObject *item = PyDict_GetItemWithError(own, PyTuple_GET_ITEM(self->names, i));
        if (item == NULL) {
            fits = PyErr_Occurred() ? -1 : 0;
            break;
        }
        Py_INCREF(item);
        fits = part_fits(self, i, item);
        Py_DECREF(item);
    }
    Py_DECREF(own);
    return fits;
}

/* Whether the key and the value of an item (borrowed: the caller holds them) fit. */
static int
item_fits(const Shape *self, PyObject *key, PyObject *value)
{
    if (self->kind == SHAPE_MEMBERS) {
        Py_ssize_t i = name_index(self, key);
        return i < 0 ? 0 : part_fits(self, i, value);
    }
    int fits = part_fits(self, 0, key);
    return fits == 1 ? part_fits(self, 1, value) : fits;
}

static int
dict_fits(const Shape *self, PyObject *dict)
{
    PyObject *key, *value; /* borrowed until they are held */
    Py_ssize_t at = 0;
    int fits = PyDict_CheckExact(dict);
    while (fits == 1 && PyDict_Next(dict, &at, &key, &value)) {
        Py_INCREF(key);
        Py_INCREF(value);
        fits = item_fits(self, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
    }
    return fits;
}

/* The items of a list or a tuple. Its length is looked at each time: it may be changed meanwhile. */
static int
sequence_fits(const Shape *self, PyObject *value)
{
    int fits = 1;
    for (Py_ssize_t i = 0; fits == 1 && i < PySequence_Fast_GET_SIZE(value); i++) {
        PyObject *item = Py_NewRef(PySequence_Fast_GET_ITEM(value, i));
        fits = part_fits(self, self->kind == SHAPE_TUPLE ? i : 0, item);
        Py_DECREF(item);
    }
    return fits;
}

static int
items_fit(const Shape *self, PyObject *value)
{
    if (PyTuple_GET_ITEM(self->parts, 0) == Py_None) {
        return 1;
    }
    if (PyList_Check(value) || PyTuple_Check(value)) {
        return sequence_fits(self, value);
    }
    PyObject *iterator = PyObject_GetIter(value);
    int fits = iterator == NULL ? -1 : 1;
    while (fits == 1) {
        PyObject *item = PyIter_Next(iterator);
        if (item == NULL) {
            fits = PyErr_Occurred() ? -1 : 1;
            break;
        }
        fits = part_fits(self, 0, item);
        Py_DECREF(item);
    }
    Py_XDECREF(iterator);
    return fits;
}

static int
tuple_fits(const Shape *self, PyObject *value)
{
    bool as_long = PyTuple_Check(value)
                   && PyTuple_GET_SIZE(value) == PyTuple_GET_SIZE(self->parts);
    return as_long ? sequence_fits(self, value) : 0;
}

static int
union_fits(const Shape *self, PyObject *value)
{
    int fits = 0;
    for (Py_ssize_t i = 0; fits == 0 && i < PyTuple_GET_SIZE(self->parts); i++) {
        fits = part_fits(self, i, value);
    }
    return fits;
}

/* As shape_fits, for what contains others. */
static int
container_fits(const Shape *self, PyObject *value)
{
    switch (self->kind) {
    case SHAPE_OBJECT:
        return attributes_fit(self, value);
    case SHAPE_OWN: {
        int fits = attributes_fit(self, value);
        return fits == 1 ? dict_is_own(self, value) : fits;
    }
    case SHAPE_MODEL:
        return model_fits(self, value);
    case SHAPE_MEMBERS:
    case SHAPE_DICT:
        return dict_fits(self, value);
    case SHAPE_ITEMS:
        return items_fit(self, value);
    case SHAPE_TUPLE:
        return tuple_fits(self, value);
    case SHAPE_UNION:
        return union_fits(self, value);
    case SHAPE_EXACT:
    case SHAPE_INSTANCE:
        break;
    }
    Py_UNREACHABLE();
}

static bool
kind_has_class(ShapeKind kind)
{
    return kind != SHAPE_MEMBERS && kind != SHAPE_DICT && kind != SHAPE_UNION;
}

static int
shape_fits(const Shape *self, PyObject *value)
{
    if (unlikely(self->classes == NULL)) {
        return 0; /* the collector has cleared it */
    }
    if (self->kind == SHAPE_INSTANCE) {
        return PyObject_IsInstance(value, self->classes);
    }
    if (kind_has_class(self->kind) && !shape_has_class(self, value)) {
        return 0;
    }
    if (self->kind == SHAPE_EXACT) {
        return 1;
    }
    if (self->parts == NULL || Py_EnterRecursiveCall(" in a response model")) {
        return self->parts == NULL ? 0 : -1;
    }
    int fits = container_fits(self, value);
    Py_LeaveRecursiveCall();
    return fits;
}

/* ---- The type ----------------------------------------------------------------------------- */

static PyObject *
shape_py_fits(PyObject *op, PyObject *value)
{
    int fits = shape_fits((const Shape *)op, value);
    if (fits < 0 && PyErr_ExceptionMatches(PyExc_RecursionError)) {
        PyErr_Clear(); /* pydantic has a limit of its own, and reports what exceeds that */
        fits = 0;
    }
    return fits < 0 ? NULL : PyBool_FromLong(fits);
}

/* How many parts a shape must have; -1: any number. */
static Py_ssize_t
shape_parts_count(const Shape *self)
{
    switch (self->kind) {
    case SHAPE_OBJECT:
    case SHAPE_OWN:
    case SHAPE_MODEL:
    case SHAPE_MEMBERS:
        return PyTuple_GET_SIZE(self->names);
    case SHAPE_ITEMS:
        return 1;
    case SHAPE_DICT:
        return 2;
    case SHAPE_TUPLE:
    case SHAPE_UNION:
        return -1;
    case SHAPE_EXACT:
    case SHAPE_INSTANCE:
        break;
    }
    return 0;
}

static PyObject *
shape_py_settle(PyObject *op, PyObject *parts)
{
    Shape *self = (Shape *)op;
    if (!PyTuple_CheckExact(parts) || self->parts != NULL) {
        PyErr_SetString(PyExc_TypeError, "settle() takes a tuple, once");
        return NULL;
    }
    Py_ssize_t count = shape_parts_count(self);
    if (count >= 0 && PyTuple_GET_SIZE(parts) != count) {
        PyErr_Format(PyExc_ValueError, "the shape has %zd parts, not %zd", count,
                     PyTuple_GET_SIZE(parts));
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(parts); i++) {
        PyObject *part = PyTuple_GET_ITEM(parts, i);
        if (part != Py_None && !Py_IS_TYPE(part, Py_TYPE(op))) {
            PyErr_Format(PyExc_TypeError, "part %zd must be a Shape or None", i);
            return NULL;
        }
    }
    self->parts = Py_NewRef(parts);
    Py_RETURN_NONE;
}

/* The names as a tuple of interned str. NULL with an exception set. */
static PyObject *
names_interned(PyObject *names)
{
    Py_ssize_t count = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    PyObject *made = PyTuple_New(count);
    for (Py_ssize_t i = 0; made != NULL && i < count; i++) {
        PyObject *name = Py_NewRef(PyTuple_GET_ITEM(names, i));
        if (!PyUnicode_CheckExact(name)) {
            PyErr_Format(PyExc_TypeError, "names[%zd] must be a str", i);
            Py_DECREF(name);
            Py_CLEAR(made);
            break;
        }
        PyUnicode_InternInPlace(&name);
        PyTuple_SET_ITEM(made, i, name);
    }
    return made;
}

static int
shape_fill(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"kind", "classes", "names", NULL};
    Shape *self = (Shape *)op;
    int kind;
    PyObject *classes = NULL, *attributes = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|O!O!", (char **)names, &kind,
                                     &PyTuple_Type, &classes, &PyTuple_Type,
                                     &attributes)) {
        return -1;
    }
    if (kind < SHAPE_EXACT || kind > SHAPE_UNION) {
        PyErr_Format(PyExc_ValueError, "kind must be one of SHAPE_*, not %d", kind);
        return -1;
    }
    self->kind = (ShapeKind)kind;
    Py_XSETREF(self->classes, classes == NULL ? PyTuple_New(0) : Py_NewRef(classes));
    Py_XSETREF(self->names, names_interned(attributes));
    return self->classes == NULL || self->names == NULL ? -1 : 0;
}

static int
shape_traverse(PyObject *op, visitproc visit, void *arg)
{
    Shape *self = (Shape *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->classes);
    Py_VISIT(self->names);
    Py_VISIT(self->parts);
    return 0;
}

static int
shape_clear(PyObject *op)
{
    Shape *self = (Shape *)op;
    Py_CLEAR(self->classes);
    Py_CLEAR(self->names);
    Py_CLEAR(self->parts);
    return 0;
}

static void
shape_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)shape_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
shape_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return object_made(type, args, kwargs, shape_fill);
}

static int
shape_init(PyObject *op, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return object_init_once(op, &((Shape *)op)->initialised);
}

static PyMethodDef shape_def[] = {
    {"fits", shape_py_fits, METH_O,
     PyDoc_STR("Whether a value is exactly of the shape.")},
    {"settle", shape_py_settle, METH_O,
     PyDoc_STR("Gives the shape those of what it contains.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot shape_slots[] = {
    {Py_tp_doc, "Whether a value is exactly of a declared type."},
    {Py_tp_new, shape_new},
    {Py_tp_init, shape_init},
    {Py_tp_methods, shape_def},
    {Py_tp_traverse, shape_traverse},
    {Py_tp_clear, shape_clear},
    {Py_tp_dealloc, shape_dealloc},
    {0, NULL},
};

static PyType_Spec shape_spec = {
    .name = "fluvial._core.Shape",
    .basicsize = sizeof(Shape),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = shape_slots,
};

int
shape_setup(PyObject *module)
{
    static const char *const kinds[] = {
        "SHAPE_EXACT",   "SHAPE_INSTANCE", "SHAPE_OBJECT", "SHAPE_OWN",  "SHAPE_MODEL",
        "SHAPE_MEMBERS", "SHAPE_ITEMS",    "SHAPE_TUPLE",  "SHAPE_DICT", "SHAPE_UNION",
    };
    for (int i = 0; i <= SHAPE_UNION; i++) {
        if (PyModule_AddIntConstant(module, kinds[i], i) < 0) {
            return -1;
        }
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &shape_spec, NULL);
    int err = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return err;
}
