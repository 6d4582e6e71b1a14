/* loop.create_task: an asyncio.Task that starts in the next iteration, like those of asyncio's own
 * loop. (Tasks that start at once are in eager.c.) Runs on the loop's thread.
 */
#include "base/py.h"

#include "base/err.h"
#include "loop/loop_impl.h"

/* ---- Default names ------------------------------------------------------------------------ */

/* Before 3.12, a Task without a name formats a default name at once, which takes a seventh of a short
 * task's instructions. So the names are made and counted here. */
#if PY_VERSION_HEX < 0x030C0000

/* "Task-<number>", a new reference. */
static PyObject *
default_name(uint64_t number)
{
    char text[32];
    char *end = text + sizeof(text), *at = end;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    at -= 5;
    memcpy(at, "Task-", 5);
    PyObject *name = PyUnicode_New(end - at, 127);
    if (name != NULL) {
        memcpy(PyUnicode_1BYTE_DATA(name), at, (size_t)(end - at));
    }
    return name;
}

/* Adds the next default name to the keywords of a Task. */
static int
keywords_set_name(LoopState *st, PyObject *kwargs)
{
    PyObject *name = default_name(++st->tasks_named);
    int err = name == NULL ? -1 : PyDict_SetItem(kwargs, st->str_name, name);
    Py_XDECREF(name);
    return err;
}

#else

static int
keywords_set_name(LoopState *Py_UNUSED(st), PyObject *Py_UNUSED(kwargs))
{
    return 0;
}

#endif

/* ---- Keywords ----------------------------------------------------------------------------- */

/* The keywords for create_task(coro) without other arguments; a new reference. This is a dict that
 * the loop keeps. It is removed from the loop while in use, because making a task may run user code,
 * which may make another task. */
static PyObject *
plain_keywords(Loop *self)
{
    PyObject *kwargs = self->task_keywords;
    self->task_keywords = NULL;
    if (kwargs == NULL) {
        kwargs = Py_BuildValue("{OO}", self->st->str_loop, self);
    }
    if (kwargs != NULL && keywords_set_name(self->st, kwargs) < 0) {
        Py_CLEAR(kwargs);
    }
    return kwargs;
}

static int
keywords_add(PyObject *kwargs, PyObject *const *values, PyObject *kwnames)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyDict_SetItem(kwargs, PyTuple_GET_ITEM(kwnames, i), values[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The keywords of the call and `loop`; a new reference. */
static PyObject *
keywords_collect(Loop *self, PyObject *const *values, PyObject *kwnames)
{
    LoopState *st = self->st;
    PyObject *kwargs = PyDict_New();
    if (kwargs == NULL || keywords_add(kwargs, values, kwnames) < 0
        || PyDict_SetItem(kwargs, st->str_loop, (PyObject *)self) < 0) {
        Py_XDECREF(kwargs);
        return NULL;
    }
    PyObject *name = PyDict_GetItemWithError(kwargs, st->str_name); /* borrowed */
    if ((name == NULL || name == Py_None) && keywords_set_name(st, kwargs) < 0) {
        Py_CLEAR(kwargs);
    }
    return kwargs;
}

/* ---- create_task -------------------------------------------------------------------------- */

/* Task(coro, loop=self, **keywords) with the keywords of the call: `name`, `context` and, from Python
 * 3.12, `eager_start`. The Task refuses others. */
static PyObject *
task_new(Loop *self, PyObject *const *args, PyObject *kwnames)
{
    bool plain = kwnames == NULL || PyTuple_GET_SIZE(kwnames) == 0;
    PyObject *kwargs =
        plain ? plain_keywords(self) : keywords_collect(self, args + 1, kwnames);
    PyObject *pos = kwargs == NULL ? NULL : PyTuple_New(1);
    PyObject *task = NULL;
    if (pos != NULL) {
        PyTuple_SET_ITEM(pos, 0, Py_NewRef(args[0]));
        task = object_make(self->st->task_type, pos, kwargs);
        Py_DECREF(pos);
    }
    if (plain) {
        Py_XSETREF(self->task_keywords, kwargs);
    } else {
        Py_XDECREF(kwargs);
    }
    return task;
}

/* The arguments of task factories differ between Python versions; asyncio's own method passes the
 * right ones. */
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
