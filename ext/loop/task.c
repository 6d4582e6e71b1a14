/* loop.create_task: an asyncio.Task that starts in the loop's next round, as asyncio's own loop
 * makes it. (Tasks that start at once are in eager.c.) Runs on the loop's thread.
 */
#include "base/py.h"

#include "base/err.h"
#include "loop/loop_impl.h"

/* ---- create_task -------------------------------------------------------------------------- */

/* Task(coro, loop=self, **keywords) with the keywords of the call. */
static PyObject *
task_new(Loop *self, PyObject *const *args, PyObject *kwnames)
{
    LoopState *st = self->st;
    Py_ssize_t n = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (n == 0) {
        PyObject *argv[] = {NULL, args[0], (PyObject *)self};
        return PyObject_Vectorcall(st->task_type, argv + 1,
                                   1 | PY_VECTORCALL_ARGUMENTS_OFFSET, st->kw_loop);
    }
    PyObject *kwargs = PyDict_New();
    PyObject *pos = PyTuple_Pack(1, args[0]);
    PyObject *task = NULL;
    if (kwargs == NULL || pos == NULL) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (PyDict_SetItem(kwargs, PyTuple_GET_ITEM(kwnames, i), args[1 + i]) < 0) {
            goto done;
        }
    }
    if (PyDict_SetItemString(kwargs, "loop", (PyObject *)self) == 0) {
        task = PyObject_Call(st->task_type, pos, kwargs);
    }
done:
    Py_XDECREF(pos);
    Py_XDECREF(kwargs);
    return task;
}

/* Task factories and debug mode (which shortens the new task's traceback) are asyncio's. */
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
    bool plain = self->task_factory == NULL || self->task_factory == Py_None;
    if (unlikely(!plain || self->debug || nargs != 1)) {
        return task_from_base(self, args, nargs, kwnames);
    }
    if (loop_check_open(self) < 0) {
        return NULL;
    }
    return task_new(self, args, kwnames);
}
