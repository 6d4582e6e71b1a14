/* What the upper layers may ask of the event loop. The Python type `_core.Loop` embeds the
 * struct; `fluvial.Loop` (pysrc/fluvial/_loop/loop.py) completes it to asyncio's interface
 * (ADR 1).
 *
 * Threads: everything here belongs to the loop's thread and needs the GIL, but for what says
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

/* Whether this process is a child of the one that made the loop. Whoever calls Python several times
 * for one event, or writes to a descriptor, asks: the connections are the parent's. */
bool loop_is_forked(const Loop *loop);

/* Takes the GIL back when the loop released it to block. Keeps it until the next block. False when
 * the callback must do nothing: a callback before it forked, this is the child, and libuv hands out
 * what the parent's poll has brought. */
bool loop_enter(Loop *loop);

/* What asyncio's loop.time() counts, in nanoseconds (CLOCK_MONOTONIC). No GIL needed. */
uint64_t loop_now_ns(void);

/* Any thread, GIL or not: since when (loop_now_ns) loop_enter has been waiting for the GIL; 0
 * when it isn't. A hint for threads that could let go of it. */
uint64_t loop_gil_wanted_at(const Loop *loop);

/* Whether other threads compute in Python, so that the loop gets the GIL back late once it has
 * blocked: what its clients are to go on with should be with them before. */
bool loop_is_crowded(const Loop *loop);

/* The buffer that all streams of the loop read into; valid until the next read. No GIL needed. */
uv_buf_t loop_read_buffer(Loop *loop);

/* Bytes objects that reads use again. */
typedef struct LoopSpares {
    SpareBytes small, bulk;
} LoopSpares;
LoopSpares *loop_spares(Loop *loop);

/* The reference that an open libuv handle has to the Python object around it, kept by the loop,
 * where garbage collection can see it. Embedded in the object; zeroed while there is none. */
typedef struct LoopRef {
    Ring ring;       /* in the loop's `held` */
    PyObject *owner; /* owned */
} LoopRef;
/* Takes a reference to `owner`, which `ref` is a part of. */
void loop_hold(Loop *loop, LoopRef *ref, PyObject *owner);
/* Drops it, perhaps the last one. Does nothing when there is none. */
void loop_release(LoopRef *ref);

/* loop.call_soon(callback, arg, context=context). `arg` and `context` may be NULL: no argument,
 * the current context. All borrowed. 0, or -1 with an exception set. */
int loop_call_soon(Loop *loop, PyObject *callback, PyObject *arg, PyObject *context);

/* loop.call_exception_handler({"message": message, "exception": <the exception set now>}).
 * Clears the exception; itself never fails. For libuv callbacks, which have no caller to tell.
 * SystemExit and KeyboardInterrupt are kept instead and leave run_forever(). */
void loop_report(Loop *loop, const char *message);

/* ---- Debug mode --------------------------------------------------------------------------- */

/* Around what runs users' code outside of a handle, so that what is slow is reported as callbacks
 * are. The first gives 0 when debug mode is off; the second does nothing then. `what` (borrowed) was
 * called, or its method `name` (borrowed, may be NULL). An exception that is set stays. */
uint64_t loop_slow_begin(const Loop *loop);
void loop_slow_end(Loop *loop, uint64_t begun, PyObject *what, PyObject *name);

/* ---- Descriptors that the user may close --------------------------------------------------- */

typedef enum FdSide { FD_READER, FD_WRITER } FdSide;

/* Called from within the poll, with the GIL, as long as the descriptor is ready. `owner` is
 * borrowed and stays alive during the call. Must not raise. */
typedef void (*FdReady)(PyObject *owner);

/* The descriptor of `file` (borrowed), an int or an object with fileno(). -1 with ValueError set,
 * as asyncio does, for what is no file or is closed. */
int loop_fd_of(PyObject *file);

/* Calls ready(owner) whenever `fd` can be read (written), or has an error or hung up, in place of
 * whoever watched that side before. The loop takes a reference to `owner`, which garbage
 * collection sees. 0, or -1 with an exception set: PermissionError for a file that is always
 * ready and can't be watched (a regular file, /dev/null). */
int loop_fd_watch(Loop *loop, int fd, FdSide side, FdReady ready, PyObject *owner);

/* Ends it; does nothing when somebody else (or nobody) watches that side now. The caller holds
 * `owner`. Never fails, also when the descriptor was closed behind the loop's back. */
void loop_fd_unwatch(Loop *loop, int fd, FdSide side, const PyObject *owner);

/* ---- libuv handles ----------------------------------------------------------------------- */

/* How loop.close() closes a handle that is still open. Every handle's `data` points to one
 * (static), or is NULL: then it is closed with uv_close and no callback, which is right only
 * for memory that outlives the loop. `close` is called on open handles and must uv_close. */
typedef struct LoopHandleOps {
    void (*close)(uv_handle_t *handle);
    /* Called in the child of a fork, perhaps within the handle's own callback: nothing of the
     * parent's may be read or written through it any more. NULL when its callbacks only run Python,
     * which loop_enter prevents. */
    void (*forked)(uv_handle_t *handle);
} LoopHandleOps;

/* ---- libuv's threads ---------------------------------------------------------------------- */

/* uv_queue_work(): run(work) on one of libuv's threads, without the GIL, then done(work, 0) on the
 * loop's, which begins with loop_work_end in place of loop_enter. loop.close() waits for it. */
void loop_work_begin(Loop *loop, uv_work_t *work, uv_work_cb run,
                     uv_after_work_cb done);
bool loop_work_end(Loop *loop);

/* ---- Hooks before the loop blocks -------------------------------------------------------- */

/* Called, with the GIL held, once per iteration after the ready callbacks have run and before
 * the poll: the place to flush what an iteration gathered (jobs for threads, log lines). The
 * struct is the caller's and must stay valid until loop_hook_remove. A hook may schedule
 * callbacks, remove itself, and add others, which run in the next iteration. Hooks also run before
 * an exception leaves run_forever(). */
typedef struct LoopHook LoopHook;
struct LoopHook {
    void (*run)(LoopHook *hook);
    LoopHook *next; /* the loop's */
};
void loop_hook_add(Loop *loop, LoopHook *hook);
void loop_hook_remove(Loop *loop, LoopHook *hook);
/* A hook that is called after the poll, when callbacks are about to run: those of other threads, of timers,
 * and those that are ready. */
void loop_due_hook_add(Loop *loop, LoopHook *hook);
void loop_due_hook_remove(Loop *loop, LoopHook *hook);
/* For a hook that leaves something to do: the loop doesn't block before hooks have run again. */
void loop_hooks_again(Loop *loop);

/* ---- Other threads ----------------------------------------------------------------------- */

/* Any thread, GIL or not: node->run(node) is called later on the loop's thread, with the GIL.
 * In order per thread. Wakes the loop only when it blocks or is about to. False, and nothing
 * is queued, when the loop is closed. The node is the caller's, in use until run is called;
 * the caller keeps the loop alive. loop.close() runs what is queued. */
bool loop_post(Loop *loop, InboxNode *node);

/* ---- Tasks ------------------------------------------------------------------------------- */

/* Makes an asyncio.Task of `coro` (borrowed; anything that asyncio takes for a coroutine), named
 * `name` (a str, borrowed), in `context` (borrowed; nobody is in it), and runs its first step before
 * returning, with the task as asyncio.current_task(). Nothing goes through the ready queue for a coroutine
 * that never suspends, and asyncio.all_tasks() has the task only once it does. Must be called
 * from the loop's thread outside any task's step. Returns the task, or NULL with an exception
 * set when no task could be made; an exception that the coroutine raises stays in the task. */
PyObject *loop_task_eager(Loop *loop, PyObject *coro, PyObject *name,
                          PyObject *context);
/* The same in a copy of `base` (borrowed), which nobody is in. */
PyObject *loop_task_eager_apart(Loop *loop, PyObject *coro, PyObject *name,
                                PyObject *base);

/* The loop that runs in this thread, borrowed, when it is one of ours; else NULL without an
 * exception. */
Loop *loop_running(PyObject *module);

/* Whether the loop runs, and in this thread. */
bool loop_runs_here(const Loop *loop);

/* `obj` as a Loop when it is one; else NULL with TypeError set. Borrowed. */
Loop *loop_check(PyObject *module, PyObject *obj);

#endif
