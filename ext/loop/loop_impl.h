/* The event loop's own struct, for the files of this folder only. Everything else goes
 * through loop.h.
 * Thread: the loop's, with the GIL, but for the fields that say otherwise.
 */
#ifndef FLUVIAL_LOOP_LOOP_IMPL_H
#define FLUVIAL_LOOP_LOOP_IMPL_H

#include "base/py.h"
#include "loop/alarm.h"
#include "loop/fds.h"
#include "loop/handle.h"
#include "loop/loop.h"
#include "loop/loop_state.h"
#include "loop/ready.h"
#include "loop/timers.h"

#include <stdatomic.h>

/* Keyword arguments of asyncio.Task, see eager.c. */
typedef struct TaskKeywords {
    PyObject *dict; /* owned, or NULL before the first task */
    PyObject *name; /* borrowed from the dict */
} TaskKeywords;

struct Loop {
    PyObject_HEAD
    LoopState *st; /* borrowed: the type holds the module that owns it */
    uv_loop_t uv;  /* initialised while uv_open */
    uv_async_t
        wake; /* ends a poll that blocks; always open, so that uv_run has something */
    Alarm alarm; /* ends it when the earliest timer is due */
    bool uv_open;
    ReadyQueue ready;
    TimerHeap timers;
    FdSet fds;
    Ring held; /* LoopRefs of open libuv handles */
    LoopHook *hooks;
    LoopHook *hook_next; /* of the hook that runs; hooks may remove any */
    LoopHook *due_hooks; /* after the poll, see loop_due_hook_add */
    bool hooks_again;    /* the next poll doesn't block: a hook has something to do */
    char *read_buffer;   /* owned memory */
    LoopSpares spares;

    /* The GIL and other threads. */
    PyThreadState *parked; /* non-NULL while the loop's thread has released the GIL */
    uint64_t gil_taken;    /* when it last took it, in libuv's milliseconds */
    _Atomic uint64_t gil_wanted_at; /* see loop_gil_wanted_at */
    uint64_t crowded_until;         /* loop_now_ns */
    bool crowded;                   /* see loop_is_crowded */
    Inbox inbox;
    _Atomic bool blocking; /* set while the loop blocks or is about to */
    uv_mutex_t
        wake_lock; /* keeps `wake` from being closed while another thread sends */

    /* What Python sees: asyncio's base classes read and write these under their names. */
    bool closed;            /* _closed; also set in the child of a fork */
    bool stopping;          /* _stopping */
    bool debug;             /* _debug */
    PyObject *thread_id;    /* _thread_id; owned or NULL: not running */
    PyObject *current;      /* _current_handle, in debug mode; owned or NULL */
    PyObject *task_factory; /* _task_factory; owned or NULL */

    PyObject
        *taken; /* owned or NULL: asyncio's transports by their descriptors, a dict */
    PyObject *spare_context; /* owned or NULL: an empty one, which nobody else knows */

    unsigned works; /* uv_work_t that libuv has */
    bool running;
    bool forked;     /* this process is a child of the one that made the loop */
    PyObject *fatal; /* owned or NULL: the exception that leaves run_forever */

    PyObject *future_keywords; /* owned dict: {"loop": self}; NULL before the first */
    PyObject *task_keywords;   /* owned dict, or NULL, also while in use: see task.c */

    /* loop_task_eager asks call_soon for the first step instead of queueing it (task.c). */
    bool capture;
    PyObject *captured;                 /* owned or NULL: the step */
    PyObject *captured_context;         /* owned or NULL */
    TaskKeywords eager_in, eager_apart; /* of tasks in a given context, and in a copy */
};

/* ---- loop.c ------------------------------------------------------------------------------- */

int loop_type_setup(PyObject *module, LoopState *st);

/* ---- fork.c ------------------------------------------------------------------------------- */

/* loop._forked(): called in the child of a fork, before anything else can use the loop there. */
PyObject *loop_py_forked(PyObject *op, PyObject *ignored);

/* ---- run.c -------------------------------------------------------------------------------- */

/* Opens and closes the libuv side of the loop. 0, or -1 with an exception set. */
int loop_open(Loop *self);
void loop_shut(Loop *self);

/* loop._run(): iterations until the loop is stopped. */
PyObject *loop_py_run(PyObject *op, PyObject *ignored);

/* Makes the poll of a loop that blocks return. Any thread that holds the GIL. */
void loop_wake(Loop *self);

/* ---- calls.c: METH_FASTCALL | METH_KEYWORDS, but for the last --------------------------------- */

PyObject *loop_py_call_soon(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);
PyObject *loop_py_call_soon_threadsafe(PyObject *op, PyObject *const *args,
                                       Py_ssize_t nargs, PyObject *kwnames);
PyObject *loop_py_call_later(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames);
PyObject *loop_py_call_at(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames);
PyObject *loop_py_create_future(PyObject *op, PyObject *ignored);

/* type(*args, **kwargs) for asyncio's Task and Future, without the detours of a call. All borrowed. */
static inline PyObject *
object_make(PyObject *type_object, PyObject *args, PyObject *kwargs)
{
    PyTypeObject *type = (PyTypeObject *)type_object;
    PyObject *made = type->tp_new(type, args, kwargs);
    if (made != NULL && type->tp_init(made, args, kwargs) < 0) {
        Py_CLEAR(made);
    }
    return made;
}

/* RuntimeError and -1 when the loop is closed. */
int loop_check_open(Loop *self);

/* ---- task.c ------------------------------------------------------------------------------- */

PyObject *loop_py_create_task(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames);

#endif
