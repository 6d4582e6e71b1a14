/* `_core.Pool`: the thread pool for `def` handlers as a Python object. The object owns the pool and
 * keeps the loop alive. If close() wasn't called, the pool is closed when the interpreter exits or the
 * object is deallocated.
 */
#include "base/py.h"

#include "pool/pool_type.h"

#include "pool/pool_call.h"
#include "base/err.h"
#include "base/module.h"

#include <structmember.h>

#define CLOSE_SECONDS 10.0
enum { THREADS_MAX = 10000, PATIENCE_MAX = 86400 /* seconds */ };

typedef struct PoolObject {
    PyObject_HEAD
    Pool *pool;         /* owned */
    PyObject *loop;     /* owned */
    PyObject *greet;    /* owned or NULL: (module's name, function), see PoolConfig */
    PyObject *exit;     /* owned or NULL: the callback registered with atexit */
    PyObject *weakrefs; /* the interpreter's */
    PoolCall *calls;    /* those not freed yet; each owns a reference to this object */
} PoolObject;

/* ---- The end of the interpreter -------------------------------------------------- */

/* Called by atexit, bound to a weak reference to the Pool. */
static PyObject *
exit_close(PyObject *ref, PyObject *Py_UNUSED(ignored))
{
    PyObject *op = PyObject_CallNoArgs(ref); /* owned */
    if (op != NULL && op != Py_None) {
        pool_close(((PoolObject *)op)->pool, 0);
    }
    Py_XDECREF(op);
    return op == NULL ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef exit_def = {"close_pool", exit_close, METH_NOARGS, NULL};

/* 0, or -1 with an exception set. */
static int
exit_register(PoolObject *self)
{
    int err = -1;
    PyObject *res = NULL;
    PyObject *ref = PyWeakref_NewRef((PyObject *)self, NULL);
    PyObject *atexit = PyImport_ImportModule("atexit");
    if (ref == NULL || atexit == NULL) {
        goto done;
    }
    self->exit = PyCFunction_New(&exit_def, ref);
    if (self->exit != NULL) {
        res = PyObject_CallMethod(atexit, "register", "O", self->exit);
        err = res == NULL ? -1 : 0;
    }
done:
    Py_XDECREF(res);
    Py_XDECREF(atexit);
    Py_XDECREF(ref);
    return err;
}

/* 0, or -1 with an exception set: to find our callback, atexit compares it with those of the user. */
static int
exit_unregister(PoolObject *self)
{
    PyObject *callback = self->exit; /* owned */
    self->exit = NULL;
    if (callback == NULL) {
        return 0;
    }
    int err = 0;
    PyObject *atexit = PyImport_ImportModule("atexit");
    if (atexit == NULL) {
        PyErr_Clear(); /* the interpreter is shutting down and has run its callbacks */
    } else {
        PyObject *res = PyObject_CallMethod(atexit, "unregister", "O", callback);
        err = res == NULL ? -1 : 0;
        Py_XDECREF(res);
        Py_DECREF(atexit);
    }
    Py_DECREF(callback);
    return err;
}

/* ---- The object ------------------------------------------------------------------ */

/* Stores `value` in *out if it is in range. 0, or -1 with ValueError set. */
static int
number_check(const char *name, Py_ssize_t value, Py_ssize_t max, uint32_t *out)
{
    if (value < 1 || value > max) {
        PyErr_Format(PyExc_ValueError, "%s must be between 1 and %zd, not %zd", name,
                     max, value);
        return -1;
    }
    *out = (uint32_t)value;
    return 0;
}

/* Reads `greet`, borrowed: (module's name, function) or None. 0, or -1 with TypeError set. */
static int
greet_check(PyObject *greet, PoolConfig *config)
{
    config->greeted = config->greeter = NULL;
    if (greet == Py_None) {
        return 0;
    }
    if (!PyTuple_Check(greet)) {
        PyErr_SetString(PyExc_TypeError, "greet is a tuple (module, function)");
        return -1;
    }
    return PyArg_ParseTuple(greet, "UO:greet", &config->greeted, &config->greeter) ? 0
                                                                                   : -1;
}

/* Stores `seconds` as PoolConfig.patience. 0, or -1 with ValueError set. */
static int
patience_check(double seconds, PoolConfig *config)
{
    if (!(seconds >= 0 && seconds <= PATIENCE_MAX)) {
        PyErr_Format(PyExc_ValueError, "patience must be from 0 to %d seconds",
                     PATIENCE_MAX);
        return -1;
    }
    config->patience = (uint64_t)(seconds * 1e9);
    return 0;
}

static PyObject *
pool_type_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"",      "threads",  "queue", "idle_seconds",
                                        "greet", "patience", NULL};
    PyObject *loop, *greet = Py_None; /* borrowed */
    double patience = 0;              /* seconds */
    Py_ssize_t threads = 64, queue = 16384, idle_seconds = 10;
    PoolConfig config;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$nnnOd:Pool", (char **)names,
                                     &loop, &threads, &queue, &idle_seconds, &greet,
                                     &patience)
        || patience_check(patience, &config) < 0 || greet_check(greet, &config) < 0
        || number_check("threads", threads, THREADS_MAX, &config.threads) < 0
        || number_check("queue", queue, INT32_MAX, &config.queue) < 0
        || number_check("idle_seconds", idle_seconds, INT32_MAX, &config.idle_seconds)
               < 0) {
        return NULL;
    }
    Loop *target = loop_check(module_of_type(type), loop); /* borrowed */
    if (target == NULL) {
        return NULL;
    }
    PoolObject *self = (PoolObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->loop = Py_NewRef(loop);
    self->greet = Py_NewRef(greet);
    self->pool = pool_new(target, &config);
    if (self->pool == NULL || exit_register(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int
pool_type_traverse(PyObject *op, visitproc visit, void *arg)
{
    PoolObject *self = (PoolObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->greet);
    Py_VISIT(self->exit);
    return 0;
}

/* There is no tp_clear: the pool needs the loop until it is freed. A cycle through the loop and a Pool
 * is broken by the object on the loop's side that refers to the Pool. */
static void
pool_type_dealloc(PyObject *op)
{
    PoolObject *self = (PoolObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    assert(self->calls == NULL);
    /* The object may be deallocated while an exception unwinds the stack. */
    PyObject *raised = PyErr_Occurred() ? err_take() : NULL;
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    if (self->pool != NULL) {
        pool_free(self->pool);
        self->pool = NULL;
    }
    if (exit_unregister(self) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
    Py_CLEAR(self->greet);
    Py_CLEAR(self->loop);
    if (raised != NULL) {
        err_restore(raised);
    }
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---- Methods --------------------------------------------------------------------- */

static PyObject *
pool_type_submit(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    PoolObject *self = (PoolObject *)op;
    PyObject *module = module_of_type(Py_TYPE(op)); /* borrowed */
    if (module == NULL) {
        return NULL;
    }
    if (nargs < 2) {
        PyErr_SetString(PyExc_TypeError,
                        "submit() requires a context (or None) and a callable");
        return NULL;
    }
    if (args[0] != Py_None && !PyContext_CheckExact(args[0])) {
        return PyErr_Format(PyExc_TypeError, "expected a Context or None, not %.100s",
                            Py_TYPE(args[0])->tp_name);
    }
    PoolCall *call =
        pool_call_new(pool_state(module), op, &self->calls, (Loop *)self->loop, args[0],
                      args[1], args + 2, nargs - 2, kwnames);
    if (call == NULL) {
        return NULL;
    }
    int err = pool_submit(self->pool, pool_call_job(call));
    if (err != 0) {
        pool_call_free(call);
        PyErr_SetString(PyExc_RuntimeError, err == UV_EAGAIN
                                                ? "the thread pool's queue is full"
                                                : "the thread pool is closed");
        return NULL;
    }
    return Py_NewRef(pool_call_future(call));
}

static PyObject *
pool_type_close(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"timeout", NULL};
    PoolObject *self = (PoolObject *)op;
    double timeout = CLOSE_SECONDS;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|d:close", (char **)names,
                                     &timeout)) {
        return NULL;
    }
    pool_close(self->pool, timeout);
    pool_calls_cancel(self->calls);
    if (exit_unregister(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
pool_type_patience(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyFloat_FromDouble((double)pool_patience(((PoolObject *)op)->pool) / 1e9);
}

static PyObject *
pool_type_refuse(PyObject *op, PyObject *future)
{
    PoolObject *self = (PoolObject *)op;
    PoolCall *call = pool_call_find(self->calls, future);
    if (call == NULL || !pool_refuse(self->pool, pool_call_job(call))) {
        Py_RETURN_FALSE;
    }
    pool_call_free(call);
    Py_RETURN_TRUE;
}

static PyObject *
pool_type_stats(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PoolObject *self = (PoolObject *)op;
    PoolStats stats = pool_stats(self->pool);
    return Py_BuildValue("{sIsIsIsIsIsIsKsK}", "threads", stats.threads, "busy",
                         stats.busy, "queued", stats.queued, "pending",
                         pool_pending(self->pool), "limit", stats.limit, "peak_threads",
                         stats.peak_threads, "jobs", (unsigned long long)stats.jobs,
                         "refused", (unsigned long long)stats.refused);
}

static PyMethodDef pool_type_methods[] = {
    {"submit", (PyCFunction)(void (*)(void))pool_type_submit,
     METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("Runs a callable on a worker; returns a future of its result.")},
    {"patience", pool_type_patience, METH_NOARGS,
     PyDoc_STR("How many seconds the last submitted call may wait; 0: any time.")},
    {"refuse", pool_type_refuse, METH_O,
     PyDoc_STR("Takes back the call of a future, unless a thread has begun it.")},
    {"close", (PyCFunction)(void (*)(void))pool_type_close,
     METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("Finishes the submitted jobs and ends the threads.")},
    {"stats", pool_type_stats, METH_NOARGS,
     PyDoc_STR("Returns a dict of the pool's counters.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef pool_type_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PoolObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot pool_type_slots[] = {
    {Py_tp_doc, "The thread pool for `def` handlers."},
    {Py_tp_new, pool_type_new},
    {Py_tp_traverse, pool_type_traverse},
    {Py_tp_dealloc, pool_type_dealloc},
    {Py_tp_methods, pool_type_methods},
    {Py_tp_members, pool_type_members},
    {0, NULL},
};

static PyType_Spec pool_type_spec = {
    .name = "fluvial._core.Pool",
    .basicsize = sizeof(PoolObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = pool_type_slots,
};

int
pool_type_setup(PyObject *module, PoolState *st)
{
    st->pool_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &pool_type_spec, NULL);
    if (st->pool_type == NULL) {
        return -1;
    }
    return PyModule_AddType(module, st->pool_type);
}

Pool *
pool_check(const PoolState *st, PyObject *obj)
{
    if (!PyObject_TypeCheck(obj, st->pool_type)) {
        PyErr_Format(PyExc_TypeError, "expected a Pool, not %.100s",
                     Py_TYPE(obj)->tp_name);
        return NULL;
    }
    return ((PoolObject *)obj)->pool;
}
