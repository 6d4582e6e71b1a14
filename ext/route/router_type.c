/* `_core.Router` (see _core.pyi): a Python object that contains a routing table. Registration is
 * strict, so that a mistake in a pattern raises an exception where the route is defined.
 *
 * Thread: any, with the GIL.
 */
#include "base/py.h"

#include "route/router_type.h"
#include "base/text.h"
#include "route/method.h"
#include "route/pattern.h"

typedef struct RouterObject {
    PyObject_HEAD
    Router *table; /* owned */
} RouterObject;

/* Calls `call` (borrowed) with a text that a client sent. What it returns, or NULL without an exception: it raised
 * one, or there is no memory. */
static PyObject *
fits_ask(PyObject *call, Slice text)
{
    PyObject *arg = text_utf8(text);
    PyObject *found = arg == NULL ? NULL : PyObject_CallOneArg(call, arg);
    Py_XDECREF(arg);
    if (found == NULL) {
        if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
            PyErr_SetInterrupt(); /* a signal during a long match: raised again later */
        }
        PyErr_Clear(); /* else no memory, for a text that a client sent */
    }
    return found;
}

/* Places the captures in `text` as `offsets` says: a tuple of the beginning and the end of each. False without an
 * exception when it says something else. */
static bool
captures_place(PyObject *offsets, Slice text, Slice *captures, Py_ssize_t count)
{
    if (!PyTuple_Check(offsets) || PyTuple_GET_SIZE(offsets) != 2 * count) {
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        size_t begin = PyLong_AsSize_t(PyTuple_GET_ITEM(offsets, 2 * i));
        size_t end = PyLong_AsSize_t(PyTuple_GET_ITEM(offsets, 2 * i + 1));
        if (PyErr_Occurred() || begin > end || end > text.len) {
            PyErr_Clear(); /* our own mistake, which must not lead out of the path */
            return false;
        }
        captures[i] = slice_of(text.ptr + begin, end - begin);
    }
    return true;
}

/* See RouteFits. `fits` is either a tuple with a callable or None for each capture: of a text that fits, it returns
 * something else than None. Or it is one callable, for the text from the first capture's beginning to the last one's
 * end, of which it returns how it is split, as captures_place takes it, or None. */
static bool
captures_fit(PyObject *fits, Slice *captures, unsigned count)
{
    if (!PyTuple_Check(fits)) {
        const char *end = captures[count - 1].ptr + captures[count - 1].len;
        Slice text = slice_of(captures[0].ptr, (size_t)(end - captures[0].ptr));
        PyObject *offsets = fits_ask(fits, text);
        bool fit = offsets != NULL && captures_place(offsets, text, captures, count);
        Py_XDECREF(offsets);
        return fit;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fits); i++) {
        PyObject *call = PyTuple_GET_ITEM(fits, i);
        if (call == Py_None) {
            continue;
        }
        PyObject *found = fits_ask(call, captures[i]);
        bool fit = found != NULL && found != Py_None;
        Py_XDECREF(found);
        if (!fit) {
            return false;
        }
    }
    return true;
}

static PyObject *
router_type_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    char *names[] = {"redirect_slashes", NULL};
    int redirects = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$p:Router", names, &redirects)) {
        return NULL;
    }
    RouterObject *self = (RouterObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->table = router_new(redirects != 0, captures_fit);
    if (self->table == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static int
router_type_traverse(PyObject *op, visitproc visit, void *arg)
{
    RouterObject *self = (RouterObject *)op;
    Py_VISIT(Py_TYPE(op));
    return self->table == NULL ? 0 : router_traverse(self->table, visit, arg);
}

static int
router_type_clear(PyObject *op)
{
    RouterObject *self = (RouterObject *)op;
    Router *table = self->table;
    self->table = NULL;
    if (table != NULL) {
        router_free(table);
    }
    return 0;
}

static void
router_type_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)router_type_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static const char *
route_error_text(RouteError err)
{
    switch (err) {
    case ROUTE_OK:
    case ROUTE_NO_MEMORY:
        break;
    case ROUTE_NO_SLASH:
        return "a pattern must begin with '/'";
    case ROUTE_BAD_BRACE:
        return "unbalanced braces, or no name between them";
    case ROUTE_BAD_CONVERTER:
        return "the converter must be str, int, float, uuid or path";
    case ROUTE_BAD_NAME:
        return "a parameter's name must be an identifier";
    case ROUTE_DUPLICATE_NAME:
        return "the parameter's name is used twice";
    case ROUTE_TOO_MANY:
        return "too many parameters";
    }
    return "out of memory";
}

/* Sets ValueError or MemoryError. `pattern` is borrowed; `at` an offset in its UTF-8 text. */
static PyObject *
route_error_raise(RouteError err, PyObject *pattern, Slice text, size_t at)
{
    if (err == ROUTE_NO_MEMORY) {
        return PyErr_NoMemory();
    }
    PyObject *before = PyUnicode_DecodeUTF8(text.ptr, (Py_ssize_t)at, NULL);
    if (before != NULL) {
        PyErr_Format(PyExc_ValueError, "bad route pattern %R at character %zd: %s",
                     pattern, PyUnicode_GET_LENGTH(before), route_error_text(err));
        Py_DECREF(before);
    }
    return NULL;
}

/* Stores the UTF-8 text of `str` (borrowed), which is valid as long as `str`. 0, or -1 with an
 * exception set. */
static int
slice_from_str(PyObject *str, Slice *out)
{
    if (!PyUnicode_Check(str)) {
        PyErr_Format(PyExc_TypeError, "expected str, not %.100s",
                     Py_TYPE(str)->tp_name);
        return -1;
    }
    Py_ssize_t len = 0;
    out->ptr = PyUnicode_AsUTF8AndSize(str, &len);
    out->len = (size_t)len;
    return out->ptr == NULL ? -1 : 0;
}

/* The table; NULL with RuntimeError if the garbage collector has already cleared the object. */
static Router *
router_type_table(PyObject *op)
{
    Router *table = ((RouterObject *)op)->table;
    if (table == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the Router is being destroyed");
    }
    return table;
}

/* The set of the method names in `names`, a borrowed tuple. 0 with an exception set. */
static MethodSet
methods_from_tuple(PyObject *names)
{
    MethodSet methods = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        Slice text;
        if (slice_from_str(name, &text) < 0) {
            return 0;
        }
        MethodSet bit = method_bit(text);
        if (bit == 0) {
            PyErr_Format(PyExc_ValueError, "unknown HTTP method %R", name);
            return 0;
        }
        methods |= bit;
    }
    if (methods == 0) {
        PyErr_SetString(PyExc_ValueError, "a route needs at least one method");
    }
    return methods;
}

/* The texts as a new tuple of str; NULL with an exception set. */
static PyObject *
tuple_from_slices(const Slice *texts, unsigned n)
{
    PyObject *tuple = PyTuple_New(n);
    for (unsigned i = 0; i < n && tuple != NULL; i++) {
        PyObject *text = text_utf8(texts[i]);
        if (text == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SET_ITEM(tuple, i, text);
        }
    }
    return tuple;
}

/* The names of the captures in `pattern`, as a new tuple of str. Empty if the pattern is malformed;
 * router_add reports that. NULL with an exception set. */
static PyObject *
names_from_pattern(Slice pattern)
{
    Pattern parsed;
    size_t at;
    Slice names[ROUTE_CAPTURES_MAX];
    unsigned n = 0;
    if (pattern_parse(pattern, &parsed, &at) == ROUTE_OK) {
        for (unsigned i = 0; i < parsed.nparts; i++) {
            if (parsed.parts[i].is_capture) {
                names[n++] = parsed.parts[i].text;
            }
        }
    }
    return tuple_from_slices(names, n);
}

/* The table, to be changed; NULL with RuntimeError set while that isn't possible. */
static Router *
router_type_free_table(PyObject *op)
{
    Router *table = router_type_table(op);
    if (table != NULL && router_is_asking(table)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "routes can't be changed while one is being looked up");
        return NULL;
    }
    return table;
}

/* Adds the route and returns None, or NULL with an exception set. All are borrowed. */
static PyObject *
route_add(Router *table, MethodSet methods, PyObject *pattern, PyObject *plan,
          PyObject *fits)
{
    Slice text;
    size_t at;
    if (slice_from_str(pattern, &text) < 0) {
        return NULL;
    }
    PyObject *names = names_from_pattern(text);
    if (names == NULL) {
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(names);
    Py_ssize_t asked =
        fits == NULL ? count : Py_MAX(count, 1); /* a function needs one */
    if (fits != NULL && PyTuple_Check(fits)) {
        asked = PyTuple_GET_SIZE(fits);
    }
    if (asked != count) {
        Py_DECREF(names);
        return PyErr_Format(PyExc_ValueError, "fits must have %zd items, not %zd",
                            count, asked);
    }
    RouteError err = router_add(table, text, methods, plan, names, fits, &at);
    Py_DECREF(names);
    if (err != ROUTE_OK) {
        return route_error_raise(err, pattern, text, at);
    }
    Py_RETURN_NONE;
}

static PyObject *
router_type_add(PyObject *op, PyObject *args)
{
    PyObject *names, *pattern, *plan, *fits = NULL; /* borrowed */
    Router *table = router_type_free_table(op);
    if (table == NULL
        || !PyArg_ParseTuple(args, "O!UO|O:add", &PyTuple_Type, &names, &pattern, &plan,
                             &fits)) {
        return NULL;
    }
    const RouteState *st = route_state(PyType_GetModule(Py_TYPE(op)));
    if (!PyObject_TypeCheck(plan, st->target_type)) {
        return PyErr_Format(PyExc_TypeError, "expected a Plan, not %.100s",
                            Py_TYPE(plan)->tp_name);
    }
    MethodSet methods = methods_from_tuple(names);
    return methods == 0 ? NULL : route_add(table, methods, pattern, plan, fits);
}

static PyObject *
router_type_replace(PyObject *op, PyObject *args)
{
    PyObject *old, *plan; /* borrowed */
    const RouteState *st = route_state(PyType_GetModule(Py_TYPE(op)));
    Router *table = router_type_free_table(op);
    if (table == NULL
        || !PyArg_ParseTuple(args, "O!O!:replace", st->target_type, &old,
                             st->target_type, &plan)) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(router_replace(table, old, plan));
}

static PyObject *
router_type_swap(PyObject *op, PyObject *other)
{
    const RouteState *st = route_state(PyType_GetModule(Py_TYPE(op)));
    if (router_check(st, other) == NULL) {
        return NULL;
    }
    Router *table = router_type_free_table(op);
    Router *others = table == NULL ? NULL : router_type_free_table(other);
    if (others == NULL) {
        return NULL;
    }
    router_swap(table, others);
    Py_RETURN_NONE;
}

/* The result of find(); NULL with an exception set. */
static PyObject *
match_describe(const RouteMatch *match)
{
    static const char *const names[] = {
        [ROUTE_FOUND] = "found",
        [ROUTE_NOT_FOUND] = "not_found",
        [ROUTE_METHOD_NOT_ALLOWED] = "method_not_allowed",
        [ROUTE_REDIRECT_SLASH] = "redirect_slash",
    };
    Slice allowed[METHODS_MAX];
    PyObject *plan = Py_None;
    PyObject *texts;
    if (match->outcome == ROUTE_FOUND) {
        plan = match->plan;
        texts = tuple_from_slices(match->captures, match->ncaptures);
    } else if (match->outcome == ROUTE_METHOD_NOT_ALLOWED) {
        texts = tuple_from_slices(allowed, method_set_names(match->allowed, allowed));
    } else {
        texts = PyTuple_New(0);
    }
    return texts == NULL ? NULL
                         : Py_BuildValue("sON", names[match->outcome], plan, texts);
}

static PyObject *
router_type_find(PyObject *op, PyObject *args)
{
    PyObject *name, *path; /* borrowed */
    Slice name_text, path_text;
    Router *table = router_type_table(op);
    if (table == NULL || !PyArg_ParseTuple(args, "UU:find", &name, &path)
        || slice_from_str(name, &name_text) < 0
        || slice_from_str(path, &path_text) < 0) {
        return NULL;
    }
    MethodSet bit = method_bit(name_text);
    if (bit == 0) {
        return PyErr_Format(PyExc_ValueError, "unknown HTTP method %R", name);
    }
    RouteMatch match;
    router_find(table, (unsigned)__builtin_ctzll(bit), path_text, &match);
    return match_describe(&match);
}

static PyMethodDef router_type_methods[] = {
    {"add", router_type_add, METH_VARARGS,
     PyDoc_STR("Adds a route; of several that match, the first added wins.")},
    {"replace", router_type_replace, METH_VARARGS,
     PyDoc_STR("Puts one plan in the place of another.")},
    {"swap", router_type_swap, METH_O,
     PyDoc_STR("Exchanges the routes with those of another Router.")},
    {"find", router_type_find, METH_VARARGS,
     PyDoc_STR("Returns the route for a method and a path.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot router_type_slots[] = {
    {Py_tp_doc, "The routing table."},
    {Py_tp_new, router_type_new},
    {Py_tp_traverse, router_type_traverse},
    {Py_tp_clear, router_type_clear},
    {Py_tp_dealloc, router_type_dealloc},
    {Py_tp_methods, router_type_methods},
    {0, NULL},
};

static PyType_Spec router_type_spec = {
    .name = "fluvial._core.Router",
    .basicsize = sizeof(RouterObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = router_type_slots,
};

int
router_type_setup(PyObject *module, RouteState *st)
{
    st->router_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &router_type_spec, NULL);
    return st->router_type == NULL ? -1 : PyModule_AddType(module, st->router_type);
}

Router *
router_check(const RouteState *st, PyObject *obj)
{
    if (!PyObject_TypeCheck(obj, st->router_type)) {
        PyErr_Format(PyExc_TypeError, "expected a Router, not %.100s",
                     Py_TYPE(obj)->tp_name);
        return NULL;
    }
    return router_type_table(obj);
}
