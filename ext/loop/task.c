/* loop.create_task: an asyncio.Task that starts in the loop's next round, as asyncio's own loop
 * makes it. (Tasks that start at once are in eager.c.) Runs on the loop's thread.
 */
#include "base/py.h"

#include "base/err.h"
#include "loop/loop_impl.h"

/* ---- create_task -------------------------------------------------------------------------- */

/* {"loop": self}, borrowed: the keywords of a plain Task, which only reads them. NULL with an
 * exception set. */
static PyObject *
plain_keywords(Loop *self)
{
    if (self->task_keywords == NULL) {
        self->task_keywords = Py_BuildValue("{OO}", self->st->str_loop, self);
    }
    return self->task_keywords;
}

/* The same with the keywords of the call; a new reference. */
static PyObject *
call_keywords(Loop *self, PyObject *const *values, PyObject *kwnames)
{
    PyObject *kwargs = PyDict_New();
    for (Py_ssize_t i = 0; kwargs != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyDict_SetItem(kwargs, PyTuple_GET_ITEM(kwnames, i), values[i]) < 0) {
            Py_CLEAR(kwargs);
        }
    }
    if (kwargs != NULL
        && PyDict_SetItem(kwargs, self->st->str_loop, (PyObject *)self) < 0) {
        Py_CLEAR(kwargs);
    }
    return kwargs;
}

/* Task(coro, loop=self, **keywords) with the keywords of the call: `name` and `context`, from
 * Python 3.12 `eager_start`. The Task refuses others. */
static PyObject *
task_new(Loop *self, PyObject *const *args, PyObject *kwnames)
{
    bool plain = kwnames == NULL || PyTuple_GET_SIZE(kwnames) == 0;
    PyObject *kwargs = plain ? Py_XNewRef(plain_keywords(self))
                             : call_keywords(self, args + 1, kwnames);
    PyObject *pos = kwargs == NULL ? NULL : PyTuple_Pack(1, args[0]);
    PyObject *task =
        pos == NULL ? NULL : PyObject_Call(self->st->task_type, pos, kwargs);
    Py_XDECREF(pos);
    Py_XDECREF(kwargs);
    return task;
}

/* What task factories are given differs between Python's versions: asyncio knows. */
static PyObject *
task_from_base(Loop *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t n = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    PyObject **argv = PyMem_Malloc((size_t)(1 + nargs + n) * sizeof(*argv));
    if (argv == NULL) {
        return PyErr_NoMemory();
    }
    argv[0] = (PyObject *)self;
    memcpy(argv + 1, args, (size_t)(nargs + n) * sizeof(*argv));
    PyObject *task = PyObject_Vectorcall(self->st->base_create_task, argv,
                                         (size_t)(1 + nargs), kwnames);
    PyMem_Free(argv);
    return task;
}

PyObject *
loop_py_create_task(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    Loop *self = (Loop *)op;
    bool made_here = self->task_factory == NULL || self->task_factory == Py_None;
    if (unlikely(!made_here || nargs != 1)) {
        return task_from_base(self, args, nargs, kwnames);
    }
    if (loop_check_open(self) < 0) {
        return NULL;
    }
    return task_new(self, args, kwnames);
}
