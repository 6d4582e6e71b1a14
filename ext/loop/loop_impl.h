/* The struct of the event loop, for the files of this folder only. All other folders use loop.h.
 * The parts of the struct (alarm, fds, handle, ready, timers) and the loop are one thing: each calls the others.
 * Thread: the loop's, with the GIL, except for the fields that say otherwise.
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

/* Keyword arguments for asyncio.Task, see eager.c. */
typedef struct TaskKeywords {
    PyObject *dict; /* owned, or NULL before the first task */
    PyObject *name; /* borrowed from the dict */
} TaskKeywords;

/* A first step that is running, see eager.c. */
typedef struct FirstStep {
    PyObject *coro;           /* borrowed; NULL: no step runs */
    PyObject *name, *context; /* owned */
    LateTask late;
    uint64_t begun; /* see loop_slow_begin */
} FirstStep;

struct Loop {
    PyObject_HEAD
    LoopState *st; /* borrowed: the type holds the module that owns it */
    uv_loop_t uv;  /* initialised while uv_open */
    /* Ends a blocking poll. Always open, so that uv_run always has an active handle. */
    uv_async_t wake;
    Alarm alarm; /* ends a blocking poll when the earliest timer is due */
    bool uv_open;
    ReadyQueue ready;
    TimerHeap timers;
    FdSet fds;
    Ring held; /* LoopRefs of open libuv handles */
    LoopHook *hooks;
    LoopHook *hook_next; /* the one after the running hook, which may remove any hook */
    LoopHook *due_hooks; /* see loop_due_hook_add */
    bool hooks_again;    /* the next poll must not block: a hook has more to do */
    char *read_buffer;   /* owned memory */
    LoopSpares spares;

    /* The GIL and other threads. */
    PyThreadState *parked; /* non-NULL while the loop's thread has released the GIL */
    uint64_t gil_taken;    /* when it last took the GIL, in libuv's milliseconds */
    _Atomic uint64_t gil_wanted_at; /* see loop_gil_wanted_at */
    uint64_t woke_at;               /* see loop_woke_at */
    uint64_t crowded_until;         /* a time of loop_now_ns */
    bool crowded;                   /* see loop_is_crowded */
    Inbox inbox;
    _Atomic bool blocking; /* set while the loop blocks or is about to */
    uv_mutex_t wake_lock;  /* `wake` isn't closed while another thread sends to it */

    /* What Python sees: asyncio's base classes read and write these under their names. */
    bool closed;            /* _closed; also set in the child of a fork */
    bool stopping;          /* _stopping */
    bool debug;             /* _debug */
    PyObject *thread_id;    /* _thread_id; owned or NULL: not running */
    PyObject *current;      /* _current_handle, in debug mode; owned or NULL */
    PyObject *task_factory; /* _task_factory; owned or NULL */

    PyObject *taken; /* owned dict or NULL: asyncio's transports by descriptor */
    PyObject *spare_context; /* owned or NULL: an empty one without other references */

    unsigned works; /* uv_work_t that libuv has not finished */
    bool running;
    bool forked;     /* this process is a child of the one that made the loop */
    PyObject *fatal; /* owned or NULL: an exception that run_forever will raise */

    PyObject
        *future_keywords;    /* owned dict {"loop": self}, or NULL before first used */
    PyObject *task_keywords; /* owned dict, or NULL, also while in use: see task.c */

    /* While set, call_soon stores the first step of a Task in `captured` instead of queueing it
     * (eager.c). */
    bool capture;
    PyObject *captured;         /* owned or NULL: the step */
    PyObject *captured_context; /* owned or NULL */
    TaskKeywords eager;
    FirstStep first;
};

/* ---- loop.c ------------------------------------------------------------------------------- */

int loop_type_setup(PyObject *module, LoopState *st);

/* ---- fork.c ------------------------------------------------------------------------------- */

/* loop._forked(): called in the child of a fork, before anything else can use the loop there. */
PyObject *loop_py_forked(PyObject *op, PyObject *ignored);
/* pulse.c: the method `_pulse(cell, seconds)`, see _core.pyi. */
PyObject *loop_py_pulse(PyObject *op, PyObject *args);

/* ---- open.c ------------------------------------------------------------------------------- */

/* Opens and closes the libuv side of the loop. 0, or -1 with an exception set. */
int loop_open(Loop *self);
void loop_shut(Loop *self);

/* ---- run.c -------------------------------------------------------------------------------- */

/* loop._run(): iterations until the loop is stopped. */
PyObject *loop_py_run(PyObject *op, PyObject *ignored);

/* Ends the poll if the loop is blocking. Any thread that holds the GIL. */
void loop_wake(Loop *self);
/* libuv calls it when another thread has ended the poll. */
void loop_on_uv_wake(uv_async_t *wake);

/* Runs the nodes that the inbox has given. */
void loop_run_nodes(const Loop *self, InboxNode *node);

/* ---- calls.c: METH_FASTCALL | METH_KEYWORDS, except for the last ------------------------------ */

PyObject *loop_py_call_soon(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames);
PyObject *loop_py_call_soon_threadsafe(PyObject *op, PyObject *const *args,
                                       Py_ssize_t nargs, PyObject *kwnames);
PyObject *loop_py_call_later(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames);
PyObject *loop_py_call_at(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames);
PyObject *loop_py_create_future(PyObject *op, PyObject *ignored);

/* type(*args, **kwargs) for asyncio's Task and Future: calls tp_new and tp_init directly, which is
 * faster than a call of the type. All borrowed. */
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

/* ---- eager.c ------------------------------------------------------------------------------ */

/* tp_hash: the object's address. In a first step it makes the Task that asyncio.current_task() is about to
 * look up. */
Py_hash_t loop_hash(PyObject *op);

/* ---- owed_step.c -------------------------------------------------------------------------- */

/* Whether the exception that is set, and stays so, is a MemoryError that has come out of `callback`, a step
 * of a task that isn't done. */
bool step_is_owed(const LoopState *st, PyObject *callback);

/* ---- task.c ------------------------------------------------------------------------------- */

PyObject *loop_py_create_task(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames);

#endif
