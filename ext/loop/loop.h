/* The event loop's interface for the upper layers. The Python type `_core.Loop` embeds the
 * struct; `fluvial.Loop` (pysrc/fluvial/_loop/loop.py) adds what is missing of asyncio's
 * interface (ADR 1).
 *
 * Threads: call everything here on the loop's thread and with the GIL, unless a comment says
 * otherwise. A libuv callback that touches Python begins with loop_enter().
 */
#ifndef FLUVIAL_LOOP_LOOP_H
#define FLUVIAL_LOOP_LOOP_H

#include "base/py.h"
#include "base/ring.h"
#include "base/spare.h"
#include "loop/inbox.h"

#include <uv.h>

typedef struct Loop Loop;

/* The libuv loop inside; borrowed, alive until loop.close(). */
uv_loop_t *loop_uv(Loop *loop);

bool loop_is_closed(const Loop *loop);

/* Whether this process is a forked child of the one that made the loop. The connections belong to
 * the parent. Check this before writing to a descriptor, and again between several calls into
 * Python for one event, since each of them may fork. */
bool loop_is_forked(const Loop *loop);

/* Takes the GIL back if the loop released it to block; it is then held until the next blocking
 * poll. False when the callback must do nothing: an earlier callback of the same poll forked, this
 * is the child, and libuv is still delivering the events that the parent polled. */
bool loop_enter(Loop *loop);

/* The clock of asyncio's loop.time(), in nanoseconds (CLOCK_MONOTONIC). No GIL needed. */
uint64_t loop_now_ns(void);

/* Any thread, GIL or not: the time (loop_now_ns) at which loop_enter began to wait for the GIL, or
 * 0 when it isn't waiting. A hint for threads that could release the GIL. */
uint64_t loop_gil_wanted_at(const Loop *loop);
/* loop_now_ns() at which the last poll that blocked has ended. The loop's thread. */
uint64_t loop_woke_at(const Loop *loop);

/* Whether other threads are running Python code, so that the loop will get the GIL back late after
 * it has blocked. Send what clients are waiting for before that. */
bool loop_is_crowded(const Loop *loop);

/* The buffer that all streams of the loop read into; valid until the next read. No GIL needed. */
uv_buf_t loop_read_buffer(Loop *loop);

/* Bytes objects that reads reuse. */
typedef struct LoopSpares {
    SpareBytes small, bulk;
} LoopSpares;
LoopSpares *loop_spares(Loop *loop);

/* The reference from an open libuv handle to the Python object that contains it. The loop keeps
 * these references in a list so that garbage collection can see them. A LoopRef is embedded in the
 * object, and zeroed while no reference is held. */
typedef struct LoopRef {
    Ring ring;       /* in the loop's `held` */
    PyObject *owner; /* owned */
} LoopRef;
/* Takes a reference to `owner`, the object that contains `ref`. */
void loop_hold(Loop *loop, LoopRef *ref, PyObject *owner);
/* Drops the reference, which may be the last one. Does nothing when none is held. */
void loop_release(LoopRef *ref);

/* loop.call_soon(callback, arg, context=context). A NULL `arg` means no argument, a NULL `context`
 * the current context. All borrowed. 0, or -1 with an exception set. */
int loop_call_soon(Loop *loop, PyObject *callback, PyObject *arg, PyObject *context);

/* A step of a task was called in `context`, and has left the exception that is set. Whether it will be called
 * again because there was no memory for it (see owed_step.c); the exception is cleared then. */
bool loop_step_again(Loop *loop, PyObject *step, PyObject *context);

/* loop.call_exception_handler({"message": message, "exception": <the current exception>}).
 * Clears the exception and never fails. For libuv callbacks, which cannot raise to a caller.
 * SystemExit and KeyboardInterrupt are not reported but raised from run_forever(). */
void loop_report(Loop *loop, const char *message);

/* ---- Debug mode --------------------------------------------------------------------------- */

/* Called before and after user code that runs outside of a handle, so that slow code is reported
 * as slow callbacks are. When debug mode is off, the first returns 0 and the second does nothing.
 * `what` (borrowed) is the object that was called, or whose method `name` (borrowed, may be NULL)
 * was called. A current exception stays set. */
uint64_t loop_slow_begin(const Loop *loop);
void loop_slow_end(Loop *loop, uint64_t begun, PyObject *what, PyObject *name);

/* ---- Descriptors that the user may close --------------------------------------------------- */

typedef enum FdSide { FD_READER, FD_WRITER } FdSide;

/* Called within each poll, with the GIL, while the descriptor is ready. `owner` is borrowed and
 * stays alive during the call. Must not raise. */
typedef void (*FdReady)(PyObject *owner);

/* The descriptor of `file` (borrowed), an int or an object with fileno(). -1 with ValueError set,
 * as in asyncio, when it isn't a file or is closed. */
int loop_fd_of(PyObject *file);

/* Calls ready(owner) whenever `fd` is readable (or writable, for FD_WRITER), has an error or was
 * hung up. This replaces the previous watcher of that side. The loop takes a reference to `owner`,
 * which garbage collection sees. 0, or -1 with an exception set: PermissionError for a file that
 * is always ready and can't be watched (a regular file, /dev/null). */
int loop_fd_watch(Loop *loop, int fd, FdSide side, FdReady ready, PyObject *owner);

/* Ends the watch; does nothing when another owner, or none, watches that side now. The caller
 * holds `owner`. Never fails, even when the descriptor was closed without the loop's knowledge. */
void loop_fd_unwatch(Loop *loop, int fd, FdSide side, const PyObject *owner);

/* ---- libuv handles ----------------------------------------------------------------------- */

/* How loop.close() closes a handle that is still open. Every handle's `data` points to a static
 * LoopHandleOps or is NULL. With NULL, the handle is closed by uv_close without a callback, which
 * is right only for memory that outlives the loop. */
typedef struct LoopHandleOps {
    /* Called on open handles only; must call uv_close. */
    void (*close)(uv_handle_t *handle);
    /* Called in the child of a fork, perhaps within the handle's own callback. Afterwards the
     * child must not read or write the parent's data through the handle. NULL when the handle's
     * callbacks only run Python, which loop_enter already prevents. */
    void (*forked)(uv_handle_t *handle);
} LoopHandleOps;

/* ---- libuv's threads ---------------------------------------------------------------------- */

/* uv_queue_work(): run(work) on one of libuv's threads, without the GIL, then done(work, 0) on the
 * loop's thread. `done` begins with loop_work_end instead of loop_enter. loop.close() waits for
 * the work. */
void loop_work_begin(Loop *loop, uv_work_t *work, uv_work_cb run,
                     uv_after_work_cb done);
bool loop_work_end(Loop *loop);

/* ---- Hooks before the loop blocks -------------------------------------------------------- */

/* Called once per iteration with the GIL held, after the ready callbacks have run and before the
 * poll. Use it to flush what an iteration gathered (jobs for threads, log lines). The struct
 * belongs to the caller and must stay valid until loop_hook_remove. A hook may schedule callbacks,
 * remove itself, and add others, which run in the next iteration. Hooks also run before an
 * exception is raised from run_forever(). */
typedef struct LoopHook LoopHook;
struct LoopHook {
    void (*run)(LoopHook *hook);
    LoopHook *next; /* used by the loop */
};
void loop_hook_add(Loop *loop, LoopHook *hook);
void loop_hook_remove(Loop *loop, LoopHook *hook);
/* A hook that is called when others' code is about to run: after the poll before posted nodes, timers
 * and ready callbacks, and during it before the method of a protocol, by loop_run_due_hooks(). */
void loop_due_hook_add(Loop *loop, LoopHook *hook);
void loop_due_hook_remove(Loop *loop, LoopHook *hook);
void loop_run_due_hooks(Loop *loop);
/* For a hook that has not finished its work: the hooks run again before the loop blocks. */
void loop_hooks_again(Loop *loop);

/* ---- Other threads ----------------------------------------------------------------------- */

/* Any thread, GIL or not: node->run(node) is called later on the loop's thread, with the GIL.
 * Nodes of one thread run in the order in which they were posted. Wakes the loop only when it
 * blocks or is about to. False, and nothing is queued, when the loop is closed. The node belongs to
 * the caller and is in use until `run` is called; the caller also keeps the loop alive.
 * loop.close() runs the nodes that are still queued. */
bool loop_post(Loop *loop, InboxNode *node);

/* ---- Tasks ------------------------------------------------------------------------------- */

/* A Task that was made for a step which had begun before (eager.c). */
typedef struct LateTask {
    PyObject *task; /* owned; NULL: nobody needed it */
    PyObject *
        step; /* owned: takes the Task's own first step; NULL: it takes that by itself */
} LateTask;

/* The first step of `coro` (borrowed: whatever asyncio accepts as a coroutine) on the loop's thread, outside
 * any task's step. loop_step_enter enters `context` (borrowed; not entered by anyone); the caller then sends
 * None to the coroutine, and calls loop_step_leave. In between asyncio.current_task() is an asyncio.Task of
 * the coroutine, named `name` (a str, borrowed), in that context. asyncio.all_tasks() has it when the
 * coroutine has suspended, or was asked for. Once its own first step is taken, the Task sends to `coro`
 * again, which must then do what it did before.
 *
 * loop_step_enter returns 0; 1 when the Task in *late has taken the step already, as from Python 3.14 on; or
 * -1 with an exception set. */
int loop_step_enter(Loop *loop, PyObject *coro, PyObject *name, PyObject *context,
                    LateTask *late);
/* Leaves the context. *late has the Task if the coroutine has `suspended` or if it was asked for. 0, or -1
 * with an exception set when no task could be made. */
int loop_step_leave(Loop *loop, PyObject *coro, bool suspended, LateTask *late);

/* The running loop of this thread, borrowed, if it is one of ours; else NULL without an
 * exception. */
Loop *loop_running(PyObject *module);

/* Whether the loop is running in this thread. */
bool loop_runs_here(const Loop *loop);

/* `obj` (borrowed) as a Loop if it is one; else NULL with TypeError set. */
Loop *loop_check(PyObject *module, PyObject *obj);

#endif
