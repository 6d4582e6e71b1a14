/* The threading module's view of a worker (see pythread.h). The module is looked up,
 * never imported: when nobody imported it, nobody asked for anything.
 */
#include "base/py.h"

#include "app/pythread.h"

#include <pythread.h>

/* threading, borrowed from sys.modules; or NULL without an exception. */
static PyObject *
threading_module(void)
{
    PyObject *modules = PySys_GetObject("modules"); /* borrowed */
    if (modules == NULL || !PyDict_Check(modules)) {
        return NULL;
    }
    return PyDict_GetItemString(modules, "threading");
}

/* sys.<install>(threading.<get>()) unless that is None. */
static void
hook_install(PyObject *threading, const char *get, const char *install)
{
    PyObject *hook = PyObject_CallMethod(threading, get, NULL); /* owned */
    PyObject *setter = PySys_GetObject(install);                /* borrowed */
    if (hook != NULL && hook != Py_None && setter != NULL) {
        Py_XDECREF(PyObject_CallOneArg(setter, hook));
    }
    Py_XDECREF(hook);
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(threading);
    }
}

void
pythread_begin(void)
{
    PyObject *threading = threading_module(); /* borrowed */
    if (threading != NULL) {
        Py_INCREF(threading);
        hook_install(threading, "getprofile", "setprofile");
        hook_install(threading, "gettrace", "settrace");
        Py_DECREF(threading);
    }
}

/* threading.current_thread() registers a _DummyThread under the thread's ident.
 * Before 3.13 (and some releases of 3.12) nothing ever removes it. */
static int
dummy_forget(PyObject *threading)
{
    int err = -1;
    PyObject *active = PyObject_GetAttrString(threading, "_active");     /* owned */
    PyObject *dummy = PyObject_GetAttrString(threading, "_DummyThread"); /* owned */
    PyObject *ident = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    if (active == NULL || dummy == NULL || ident == NULL || !PyDict_Check(active)) {
        goto done;
    }
    PyObject *thread = Py_XNewRef(PyDict_GetItemWithError(active, ident));
    err = thread == NULL ? 0 : PyObject_IsInstance(thread, dummy);
    if (err == 1) {
        err = PyDict_DelItem(active, ident);
    }
    Py_XDECREF(thread);
done:
    Py_XDECREF(ident);
    Py_XDECREF(dummy);
    Py_XDECREF(active);
    return err;
}

void
pythread_end(void)
{
    PyObject *threading = threading_module(); /* borrowed */
    if (threading != NULL) {
        Py_INCREF(threading);
        (void)dummy_forget(threading);
        Py_DECREF(threading);
    }
    PyErr_Clear();
}
