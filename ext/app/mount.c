/* See mount.h. The mounts themselves are in asgi/ and wsgi/. */
#include "base/py.h"

#include "app/mount.h"

static PyType_Slot mount_slots[] = {
    {Py_tp_doc, "What AsgiApp and WsgiApp have in common."},
    {0, NULL},
};

static PyType_Spec mount_spec = {
    .name = "fluvial._core.Mount",
    .basicsize = sizeof(Mount),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = mount_slots,
};

int
mount_setup(PyObject *module, AppState *st)
{
    st->mount_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &mount_spec, NULL);
    return st->mount_type == NULL ? -1 : 0;
}

Mount *
mount_check(const AppState *st, PyObject *obj)
{
    if (PyObject_TypeCheck(obj, st->mount_type) && ((Mount *)obj)->ops != NULL) {
        return (Mount *)obj;
    }
    PyErr_Format(PyExc_TypeError, "expected an AsgiApp or a WsgiApp, not %R", obj);
    return NULL;
}

int
mount_report(PyObject *report, const HttpRequest *req, const char *what, PyObject *exc)
{
    PyObject *text = NULL, *logged = NULL;
    PyObject *path =
        PyUnicode_DecodeLatin1(req->head.ptr + req->path, req->path_len, NULL);
    if (path == NULL) {
        goto done;
    }
    text = PyUnicode_FromFormat("%s %U: %s", http_request_method(req).ptr, path, what);
    if (text == NULL) {
        goto done;
    }
    logged =
        PyObject_CallFunctionObjArgs(report, text, exc == NULL ? Py_None : exc, NULL);
done:
    Py_XDECREF(path);
    Py_XDECREF(text);
    Py_XDECREF(logged);
    return logged == NULL ? -1 : 0;
}
