/* The type `_core.AsgiApp` (see app.h): its constructor, attributes and deallocation.
 * Its requests are handled in call.c and scope.c.
 */
#include "base/py.h"

#include "asgi/app.h"

#include "asgi/call.h"
#include "base/made.h"

#include <structmember.h>

/* A dict with the keys of all scopes, in the order in which they are shown. Values that rarely
 * change are set; the others are None. */
static PyObject *
scope_template(const AsgiApp *app, PyObject *root_path, PyObject *scheme)
{
    const AsgiState *st = app->st;
    PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
    if (empty == NULL) {
        return NULL;
    }
    PyObject *const items[][2] = {
        {st->str_type, st->str_http},
        {st->str_asgi, app->asgi},
        {st->str_http_version, st->str_1_1},
        {st->str_server, Py_None},
        {st->str_client, Py_None},
        {st->str_scheme, scheme},
        {st->str_method, st->str_GET},
        {st->str_root_path, root_path},
        {st->str_path, Py_None},
        {st->str_raw_path, Py_None},
        {st->str_query_string, empty},
        {st->str_headers, Py_None},
        {st->str_extensions, Py_None},
    };
    PyObject *scope = PyDict_New();
    for (size_t i = 0; i < sizeof items / sizeof *items && scope != NULL; i++) {
        if (PyDict_SetItem(scope, items[i][0], items[i][1]) < 0) {
            Py_CLEAR(scope);
        }
    }
    Py_DECREF(empty);
    return scope;
}

static int
asgi_app_fill(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {
        "app",    "root_path",  "prefix", "scheme",  "extensions", "report",
        "extend", "gone_error", "later",  "recover", NULL};
    AsgiApp *self = (AsgiApp *)op;
    PyObject *app, *root_path = NULL, *prefix = NULL, *scheme = NULL; /* all borrowed */
    PyObject *extensions = NULL, *report = NULL, *extend = NULL, *gone_error = NULL;
    PyObject *later = NULL, *recover = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$UUUO!OOOOO:AsgiApp",
                                     (char **)names, &app, &root_path, &prefix, &scheme,
                                     &PyDict_Type, &extensions, &report, &extend,
                                     &gone_error, &later, &recover)) {
        return -1;
    }
    if (recover == NULL || later == NULL || gone_error == NULL || extend == NULL
        || report == NULL || extensions == NULL || scheme == NULL || prefix == NULL
        || root_path == NULL) {
        PyErr_SetString(PyExc_TypeError, "AsgiApp() needs all of its arguments");
        return -1;
    }
    self->st = asgi_state(PyType_GetModule(Py_TYPE(op)));
    PyObject *full = PyUnicode_Concat(root_path, prefix);
    self->asgi = Py_BuildValue("{ssss}", "version", "3.0", "spec_version", "2.3");
    if (full != NULL && self->asgi != NULL) {
        self->scope = scope_template(self, full, scheme);
    }
    Py_XDECREF(full);
    if (self->scope == NULL) {
        return -1;
    }
    self->app = Py_NewRef(app);
    self->root_path = Py_NewRef(root_path);
    self->prefix = Py_NewRef(prefix);
    self->extensions = Py_NewRef(extensions);
    self->more = PyDict_GetItemString(extensions, "http.response.pathsend") != NULL;
    self->debug = PyDict_GetItemString(extensions, "http.response.debug") != NULL;
    self->report = Py_NewRef(report);
    self->extend = Py_NewRef(extend);
    self->gone_error = Py_NewRef(gone_error);
    self->later = Py_NewRef(later);
    self->recover = Py_NewRef(recover);
    ring_init(&self->waiting);
    self->mount.ops = &asgi_mount_ops;
    return 0;
}

/* ---- Attributes --------------------------------------------------------------------------- */

static PyObject *
asgi_app_get_state(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *state = ((AsgiApp *)op)->state;
    return Py_NewRef(state == NULL ? Py_None : state);
}

static int
asgi_app_set_state(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    if (value == NULL || (value != Py_None && !PyDict_Check(value))) {
        PyErr_SetString(PyExc_TypeError, "state must be a dict or None");
        return -1;
    }
    Py_XSETREF(((AsgiApp *)op)->state, value == Py_None ? NULL : Py_NewRef(value));
    return 0;
}

static PyGetSetDef asgi_app_getset[] = {
    {"state", asgi_app_get_state, asgi_app_set_state, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef asgi_app_members[] = {
    {"app", T_OBJECT, offsetof(AsgiApp, app), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* ---- The type ----------------------------------------------------------------------------- */

/* The caches need no visit: str, bytes and tuples of them are never part of a cycle. */
static int
asgi_app_traverse(PyObject *op, visitproc visit, void *arg)
{
    AsgiApp *self = (AsgiApp *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->app);
    Py_VISIT(self->scope);
    Py_VISIT(self->asgi);
    Py_VISIT(self->extensions);
    Py_VISIT(self->state);
    Py_VISIT(self->report);
    Py_VISIT(self->extend);
    Py_VISIT(self->gone_error);
    Py_VISIT(self->later);
    Py_VISIT(self->recover);
    return 0;
}

static int
asgi_app_clear(PyObject *op)
{
    AsgiApp *self = (AsgiApp *)op;
    Py_CLEAR(self->app);
    Py_CLEAR(self->scope);
    Py_CLEAR(self->asgi);
    Py_CLEAR(self->extensions);
    Py_CLEAR(self->state);
    Py_CLEAR(self->report);
    Py_CLEAR(self->extend);
    Py_CLEAR(self->gone_error);
    Py_CLEAR(self->later);
    Py_CLEAR(self->recover);
    return 0;
}

static void
asgi_app_dealloc(PyObject *op)
{
    AsgiApp *self = (AsgiApp *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)asgi_app_clear(op);
    Py_XDECREF(self->root_path);
    Py_XDECREF(self->prefix);
    kept_clear(&self->kept);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
asgi_app_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return object_made(type, args, kwargs, asgi_app_fill);
}

static int
asgi_app_init(PyObject *op, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return object_init_once(op, &((AsgiApp *)op)->initialised);
}

static PyType_Slot asgi_app_slots[] = {
    {Py_tp_doc, "An ASGI 3 application, for Server's `root`."},
    {Py_tp_new, asgi_app_new},
    {Py_tp_init, asgi_app_init},
    {Py_tp_getset, asgi_app_getset},
    {Py_tp_members, asgi_app_members},
    {Py_tp_traverse, asgi_app_traverse},
    {Py_tp_clear, asgi_app_clear},
    {Py_tp_dealloc, asgi_app_dealloc},
    {0, NULL},
};

static PyType_Spec asgi_app_spec = {
    .name = "fluvial._core.AsgiApp",
    .basicsize = sizeof(AsgiApp),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = asgi_app_slots,
};

int
asgi_app_setup(PyObject *module, AsgiState *st)
{
    PyObject *base = (PyObject *)app_state(module)->mount_type; /* borrowed */
    st->asgi_app_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &asgi_app_spec, base);
    return st->asgi_app_type == NULL ? -1 : PyModule_AddType(module, st->asgi_app_type);
}
