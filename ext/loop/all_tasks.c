/* asyncio.all_tasks() reads a weakref.WeakSet. Up to Python 3.13, Python code adds each new Task to
 * it and a Python callback removes the Task, which costs a third of a short task's life. This file
 * has the same two functions in C; they work on the WeakSet's own parts. The first one becomes the
 * set's attribute `add`, where asyncio's C code finds it. From then on, both serve all loops of the
 * process.
 *
 * From 3.14 on asyncio keeps its tasks in a list of its own, and there is nothing to do.
 */
#include "base/py.h"

#include "loop/all_tasks.h"

#include "base/names.h"

#if PY_VERSION_HEX >= 0x030E0000
#define SET_NAME NULL
#elif PY_VERSION_HEX >= 0x030C0000
#define SET_NAME "_scheduled_tasks"
#else
#define SET_NAME "_all_tasks"
#endif

/* ---- The functions of a WeakSet ----------------------------------------------------------- */

/* Drops the references that died while the set was being iterated over. */
static int
all_tasks_commit_removals(AllTasks *tasks)
{
    Py_ssize_t n;
    while ((n = PyList_GET_SIZE(tasks->removals)) != 0) {
        PyObject *ref = Py_NewRef(PyList_GET_ITEM(tasks->removals, n - 1));
        int err = PyList_SetSlice(tasks->removals, n - 1, n, NULL);
        if (err == 0) {
            err = PySet_Discard(tasks->refs, ref);
        }
        Py_DECREF(ref);
        if (err < 0) {
            return -1;
        }
    }
    return 0;
}

/* Adds `task` (borrowed), as the set's own `add` would. 0, or -1 with an exception set. */
static int
all_tasks_add(LoopState *st, PyObject *task)
{
    AllTasks *tasks = &st->all_tasks;
    if (PyList_GET_SIZE(tasks->removals) != 0 && all_tasks_commit_removals(tasks) < 0) {
        return -1;
    }
    PyObject *ref = PyWeakref_NewRef(task, tasks->remove);
    int err = ref == NULL ? -1 : PySet_Add(tasks->refs, ref);
    Py_XDECREF(ref);
    return err;
}

/* Called with the weak reference of a task that was freed. */
static PyObject *
all_tasks_py_remove(PyObject *module, PyObject *ref)
{
    AllTasks *tasks = &loop_state(module)->all_tasks;
    if (tasks->refs == NULL) {
        Py_RETURN_NONE; /* the interpreter is shutting down */
    }
    int err = PySet_GET_SIZE(tasks->iterating) != 0
                  ? PyList_Append(tasks->removals, ref)
                  : PySet_Discard(tasks->refs, ref);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
all_tasks_py_add(PyObject *module, PyObject *task)
{
    LoopState *st = loop_state(module);
    if (st->all_tasks.refs != NULL && all_tasks_add(st, task) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef add_def = {"add", all_tasks_py_add, METH_O,
                              "Adds a task to asyncio.all_tasks()."};
static PyMethodDef remove_def = {"remove", all_tasks_py_remove, METH_O,
                                 "Removes a dead task's reference."};

/* ---- Set-up ------------------------------------------------------------------------------- */

/* Stores the attribute `name` of the WeakSet, which its methods never replace. */
static int
all_tasks_take_part(PyObject **to, PyObject *set, const char *name, PyTypeObject *type)
{
    *to = PyObject_GetAttrString(set, name);
    if (*to == NULL) {
        return -1;
    }
    if (!Py_IS_TYPE(*to, type)) {
        PyErr_Format(PyExc_ImportError, "asyncio's set of tasks has a %s of type %s",
                     name, Py_TYPE(*to)->tp_name);
        return -1;
    }
    return 0;
}

static int
all_tasks_take_over(LoopState *st, PyObject *set)
{
    AllTasks *tasks = &st->all_tasks;
    if (all_tasks_take_part(&tasks->refs, set, "data", &PySet_Type) < 0
        || all_tasks_take_part(&tasks->removals, set, "_pending_removals", &PyList_Type)
               < 0
        || all_tasks_take_part(&tasks->iterating, set, "_iterating", &PySet_Type) < 0) {
        return -1;
    }
    tasks->remove = PyCFunction_New(&remove_def, st->module);
    PyObject *add = PyCFunction_New(&add_def, st->module);
    int err = tasks->remove == NULL || add == NULL
                  ? -1
                  : PyObject_SetAttrString(set, "add", add);
    Py_XDECREF(add);
    return err;
}

int
all_tasks_setup(LoopState *st)
{
    const char *name = SET_NAME;
    if (name == NULL || st->all_tasks.refs != NULL) {
        return 0;
    }
    PyObject *set = NULL;
    if (name_import(&set, "asyncio.tasks", name) < 0) {
        return -1;
    }
    int err = all_tasks_take_over(st, set);
    Py_DECREF(set);
    if (err < 0) {
        all_tasks_clear(&st->all_tasks);
    }
    return err;
}

int
all_tasks_traverse(AllTasks *tasks, visitproc visit, void *arg)
{
    Py_VISIT(tasks->refs);
    Py_VISIT(tasks->removals);
    Py_VISIT(tasks->iterating);
    Py_VISIT(tasks->remove);
    return 0;
}

void
all_tasks_clear(AllTasks *tasks)
{
    Py_CLEAR(tasks->refs);
    Py_CLEAR(tasks->removals);
    Py_CLEAR(tasks->iterating);
    Py_CLEAR(tasks->remove);
}
