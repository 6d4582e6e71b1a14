/* The loop layer's share of the module's state: its types, imports and interned strings. Made
 * when the module is imported, read by all files of the layer, released with the module.
 * Thread: any, with the GIL; changed only while the module is imported or released.
 */
#ifndef FLUVIAL_LOOP_LOOP_STATE_H
#define FLUVIAL_LOOP_LOOP_STATE_H

#include "base/py.h"

enum { FREE_HANDLES = 1024 }; /* spare handles kept of each kind, 140 KiB at most */

/* Memory of dead handles, linked through Handle.callback. */
typedef struct FreeList {
    PyObject *head; /* memory only: not counted as a reference */
    unsigned len;
} FreeList;

/* The parts of the WeakSet that asyncio.all_tasks() reads (all_tasks.c). Owned; all NULL before the
 * first loop is made, and in Python versions whose asyncio doesn't use one. */
typedef struct AllTasks {
    PyObject *refs;      /* set of weak references */
    PyObject *removals;  /* list: references that died during an iteration */
    PyObject *iterating; /* set: not empty while the WeakSet is iterated over */
    PyObject *remove;    /* the callback of the weak references */
} AllTasks;

/* The methods of the loop that SocketOp implements (sockop.c). */
typedef enum SocketOpKind { SOCK_RECV, SOCK_RECV_INTO, SOCK_SENDALL } SocketOpKind;
enum { SOCK_KINDS = SOCK_SENDALL + 1 };

/* All owned. */
typedef struct SocketOps {
    PyTypeObject *type;
    PyTypeObject *socket_type;  /* socket.socket */
    PyObject *slow[SOCK_KINDS]; /* asyncio's own functions */
    PyObject *str_fileno;
    PyObject *str_done;
    PyObject *str_set_result;
    PyObject *str_future_blocking; /* "_asyncio_future_blocking" */
    PyObject *str_transports;      /* "_transports" */
    PyObject *str_data;
    PyObject *str_ensure_no_transport; /* "_ensure_fd_no_transport" */
} SocketOps;

typedef struct LoopState {
    PyObject *module; /* borrowed: the module that owns this state */

    /* All owned. */
    PyTypeObject *loop_type;
    PyTypeObject *handle_type;
    PyTypeObject *timer_handle_type;
    PyTypeObject *threadsafe_handle_type;
    PyObject *asyncio_handle;            /* asyncio.Handle */
    PyObject *asyncio_timer_handle;      /* asyncio.TimerHandle */
    PyObject *asyncio_threadsafe_handle; /* asyncio.events._ThreadSafeHandle, or NULL */
    PyObject *future_type;               /* asyncio.Future */
    PyObject *task_type;                 /* asyncio.Task */
    PyObject *base_create_task;          /* asyncio.BaseEventLoop.create_task */
    PyObject *extract_stack;             /* asyncio.format_helpers.extract_stack */
    PyObject *get_running_loop;          /* asyncio._get_running_loop */

    PyObject *empty_args; /* () */
    /* The tuple ("context",) that asyncio's C code passes as kwnames; NULL before first seen. */
    PyObject *kw_context;
    uint64_t tasks_named; /* default names given so far (task.c) */

    /* For Tasks that start at once (eager.c). Owned. */
    PyObject
        *eager_keywords;  /* dict: their keywords other than loop, name and context */
    PyObject *enter_task; /* asyncio.tasks._enter_task, up to 3.13 */
    PyObject *leave_task;
    PyObject *str_name;
    PyTypeObject *eager_types[4]; /* borrowed, to compare with: see type_is_new() */
    AllTasks all_tasks;
    SocketOps sockops;

    PyObject *str_context;
    PyObject *str_call_exception_handler;
    PyObject *str_callback_failed; /* "_callback_failed" */
    PyObject *str_check_thread;    /* "_check_thread" */
    PyObject *str_loop;
    PyObject *str_message;
    PyObject *str_exception;
    PyObject *str_self; /* "__self__" */
    PyObject *str_done;

    FreeList free_handles;
    FreeList free_timer_handles;
} LoopState;

/* The loop layer's part of the state of `module`; borrowed. Defined in module.c. */
LoopState *loop_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int loop_setup(PyObject *module, LoopState *st);
int loop_traverse(LoopState *st, visitproc visit, void *arg);
void loop_clear(LoopState *st);

#endif
