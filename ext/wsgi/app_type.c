/* The type `_core.WsgiApp` (see app.h): its constructor and deallocation.
 * Its requests are handled in on_loop.c and environ.c.
 */
#include "base/py.h"

#include "wsgi/app.h"

#include "wsgi/call.h"
#include "wsgi/input.h"
#include "base/made.h"

#include <structmember.h>

/* Copies the environ given by Python and adds the entries that C knows. */
static PyObject *
environ_template(const WsgiApp *self, PyObject *env)
{
    PyObject *copy = PyDict_Copy(env);
    if (copy != NULL
        && (PyDict_SetItem(copy, self->st->str_wsgi_input, self->no_input) < 0
            || PyDict_SetItem(copy, self->st->str_wsgi_file_wrapper, self->file_type)
                   < 0)) {
        Py_CLEAR(copy);
    }
    return copy;
}

static int
wsgi_app_fill(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"app",       "environ",    "prefix",   "report",
                                        "file_type", "file_facts", "route_of", NULL};
    WsgiApp *self = (WsgiApp *)op;
    PyObject *app, *env = NULL, *prefix = NULL, *report = NULL; /* all borrowed */
    PyObject *file_type = NULL, *file_facts = NULL, *route_of = Py_None;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O|$O!UOO!OO:WsgiApp", (char **)names, &app, &PyDict_Type,
            &env, &prefix, &report, &PyType_Type, &file_type, &file_facts, &route_of)) {
        return -1;
    }
    if (env == NULL || prefix == NULL || report == NULL || file_type == NULL
        || file_facts == NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "WsgiApp() needs all of its arguments but route_of");
        return -1;
    }
    self->st = wsgi_state(PyType_GetModule(Py_TYPE(op)));
    self->app = Py_NewRef(app);
    self->prefix = Py_NewRef(prefix);
    self->report = Py_NewRef(report);
    self->file_type = Py_NewRef(file_type);
    self->file_facts = Py_NewRef(file_facts);
    self->route_of = route_of == Py_None ? NULL : Py_NewRef(route_of);
    self->no_input = wsgi_input_new(self->st, NULL);
    self->environ = self->no_input == NULL ? NULL : environ_template(self, env);
    if (self->environ == NULL) {
        return -1;
    }
    self->mount.ops = &wsgi_mount_ops;
    return 0;
}

/* The caches need no visit: a str is never part of a cycle. */
static int
wsgi_app_traverse(PyObject *op, visitproc visit, void *arg)
{
    WsgiApp *self = (WsgiApp *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->app);
    Py_VISIT(self->environ);
    Py_VISIT(self->report);
    Py_VISIT(self->file_type);
    Py_VISIT(self->file_facts);
    Py_VISIT(self->route_of);
    Py_VISIT(self->no_input);
    return 0;
}

static int
wsgi_app_clear(PyObject *op)
{
    WsgiApp *self = (WsgiApp *)op;
    Py_CLEAR(self->app);
    Py_CLEAR(self->environ);
    Py_CLEAR(self->report);
    Py_CLEAR(self->file_type);
    Py_CLEAR(self->file_facts);
    Py_CLEAR(self->route_of);
    Py_CLEAR(self->no_input);
    return 0;
}

static void
wsgi_app_dealloc(PyObject *op)
{
    WsgiApp *self = (WsgiApp *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)wsgi_app_clear(op);
    Py_XDECREF(self->prefix);
    http_fields_free(&self->fields);
    kept_clear(&self->kept);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMemberDef wsgi_app_members[] = {
    {"app", T_OBJECT, offsetof(WsgiApp, app), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *
wsgi_app_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return object_made(type, args, kwargs, wsgi_app_fill);
}

static int
wsgi_app_init(PyObject *op, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return object_init_once(op, &((WsgiApp *)op)->initialised);
}

static PyType_Slot wsgi_app_slots[] = {
    {Py_tp_doc, "A WSGI application, for Server's `root`."},
    {Py_tp_new, wsgi_app_new},
    {Py_tp_init, wsgi_app_init},
    {Py_tp_members, wsgi_app_members},
    {Py_tp_traverse, wsgi_app_traverse},
    {Py_tp_clear, wsgi_app_clear},
    {Py_tp_dealloc, wsgi_app_dealloc},
    {0, NULL},
};

static PyType_Spec wsgi_app_spec = {
    .name = "fluvial._core.WsgiApp",
    .basicsize = sizeof(WsgiApp),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = wsgi_app_slots,
};

int
wsgi_app_setup(PyObject *module, WsgiState *st)
{
    PyObject *base = (PyObject *)app_state(module)->mount_type; /* borrowed */
    st->wsgi_app_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &wsgi_app_spec, base);
    return st->wsgi_app_type == NULL ? -1 : PyModule_AddType(module, st->wsgi_app_type);
}
