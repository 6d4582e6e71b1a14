/* Integration of workers with the threading module (see pythread.h). The module is looked up in
 * sys.modules and never imported: if it has not been imported, there is nothing to do.
 */
#include "base/py.h"

#include "pool/pythread.h"

#include <pythread.h>
#include <string.h>
#include <uv.h>

/* The module threading, borrowed from sys.modules; or NULL without an exception. */
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

/* ---- Threads started by a replaced function --------------------------------------------------- */

enum { HOOK_PATIENCE = 2 }; /* seconds */

typedef enum HookedPhase {
    HOOKED_STARTED,
    HOOKED_RUNS,
    HOOKED_OVER,
    HOOKED_GIVEN_UP
} HookedPhase;

/* A body that runs on another thread. Freed by the thread that releases it last. */
typedef struct Hooked {
    uv_mutex_t lock;
    uv_cond_t changed;
    HookedPhase phase;
    void (*body)(void *);
    void *arg;
    int users;
} Hooked;

static void
hooked_release(Hooked *self)
{
    uv_mutex_lock(&self->lock);
    bool last = --self->users == 0;
    uv_mutex_unlock(&self->lock);
    if (last) {
        uv_cond_destroy(&self->changed);
        uv_mutex_destroy(&self->lock);
        PyMem_RawFree(self);
    }
}

/* Changes the phase, unless the other thread has changed it before; then false. */
static bool
hooked_turn(Hooked *self, HookedPhase from, HookedPhase to)
{
    uv_mutex_lock(&self->lock);
    bool mine = self->phase == from;
    if (mine) {
        self->phase = to;
        uv_cond_signal(&self->changed);
    }
    uv_mutex_unlock(&self->lock);
    return mine;
}

static void
hooked_free(PyObject *capsule)
{
    hooked_release(PyCapsule_GetPointer(capsule, NULL));
}

/* The other thread's target. */
static PyObject *
hooked_run(PyObject *capsule, PyObject *Py_UNUSED(ignored))
{
    Hooked *self = PyCapsule_GetPointer(capsule, NULL);
    if (hooked_turn(self, HOOKED_STARTED, HOOKED_RUNS)) {
        self->body(self->arg);
        (void)hooked_turn(self, HOOKED_RUNS, HOOKED_OVER);
    }
    Py_RETURN_NONE;
}

static PyMethodDef hooked_def = {"fluvial_worker", hooked_run, METH_NOARGS, NULL};

/* Waits without the GIL. False if the body did not begin within HOOK_PATIENCE. */
static bool
hooked_wait(Hooked *self)
{
    bool begun = true;
    Py_BEGIN_ALLOW_THREADS
    uv_mutex_lock(&self->lock);
    if (self->phase == HOOKED_STARTED) {
        (void)uv_cond_timedwait(&self->changed, &self->lock,
                                HOOK_PATIENCE * 1000000000ull);
    }
    if (self->phase == HOOKED_STARTED) {
        self->phase = HOOKED_GIVEN_UP;
        begun = false;
    }
    while (self->phase == HOOKED_RUNS) {
        uv_cond_wait(&self->changed, &self->lock);
    }
    uv_mutex_unlock(&self->lock);
    Py_END_ALLOW_THREADS
    return begun;
}

/* The function by which threading starts threads, if it was replaced: a new reference; otherwise NULL
 * without an exception. The replacements of gevent and eventlet are ignored, because they don't start
 * a thread. */
static PyObject *
hook_find(void)
{
    PyObject *threading = threading_module(); /* borrowed */
    PyObject *start = threading == NULL
                          ? NULL
                          : PyObject_GetAttrString(threading, "_start_new_thread");
    if (start == NULL || PyCFunction_Check(start)) {
        PyErr_Clear(); /* AttributeError: this version uses another function */
        Py_XDECREF(start);
        return NULL;
    }
    PyObject *module = PyObject_GetAttrString(start, "__module__");
    const char *name =
        module != NULL && PyUnicode_Check(module) ? PyUnicode_AsUTF8(module) : NULL;
    bool green = name == NULL || strncmp(name, "gevent", 6) == 0
                 || strncmp(name, "eventlet", 8) == 0;
    Py_XDECREF(module);
    if (green) {
        PyErr_Clear(); /* without a readable __module__ it is unknown, and not called */
        Py_CLEAR(start);
    }
    return start;
}

static Hooked *
hooked_new(void (*body)(void *), void *arg)
{
    Hooked *self = PyMem_RawMalloc(sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    *self = (Hooked){.body = body, .arg = arg, .users = 1};
    if (uv_mutex_init(&self->lock) != 0) {
        PyMem_RawFree(self);
        return NULL;
    }
    if (uv_cond_init(&self->changed) != 0) {
        uv_mutex_destroy(&self->lock);
        PyMem_RawFree(self);
        return NULL;
    }
    return self;
}

/* Calls start(target, ()). */
static bool
hooked_start(Hooked *self, PyObject *start)
{
    PyObject *capsule = PyCapsule_New(self, NULL, hooked_free);
    if (capsule == NULL) {
        return false;
    }
    self->users++;
    PyObject *target = PyCFunction_New(&hooked_def, capsule);
    Py_DECREF(capsule);
    PyObject *res = target == NULL ? NULL : PyObject_CallFunction(start, "O()", target);
    Py_XDECREF(target);
    Py_XDECREF(res);
    return res != NULL;
}

bool
pythread_run_hooked(void (*body)(void *), void *arg)
{
    PyObject *start = hook_find();
    Hooked *self = start == NULL ? NULL : hooked_new(body, arg);
    bool ran = false;
    if (self != NULL) {
        ran = hooked_start(self, start) && hooked_wait(self);
        hooked_release(self);
    }
    Py_XDECREF(start);
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(NULL);
    }
    return ran;
}

/* ---- The end of a thread ---------------------------------------------------------------------- */

/* threading.current_thread() registers a _DummyThread under the thread's ident. Before 3.13 (and some
 * releases of 3.12) it is never removed. */
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
    PyErr_Clear(); /* at worst a dummy Thread stays registered; later versions lack the names */
}
