/* The loop in the child of a fork: it counts as closed, and every use of it is an error.
 *
 * The child shares the parent's epoll sets, timerfd and eventfd, so a single epoll_ctl in the child
 * would change what the parent waits for. The child's loop therefore gets empty sets of its own at
 * once, which it only closes. The contents of its queues are forgotten, not released: destructors and
 * callbacks of the parent's work must not run in the child.
 *
 * After a fork within one of libuv's callbacks, libuv continues in the child with the events of that
 * poll. By then LoopHandleOps.forked has disabled the handles, and loop_enter returns false.
 * Runs in the only thread of the child.
 */
#include "base/py.h"

#include "loop/loop_impl.h"

/* libuv's threads exist only in the parent, so their work is never finished in the child. */
static void
works_forget(Loop *self)
{
    self->uv.active_reqs.count -= self->works;
    self->works = 0;
    (void)uv_mutex_init(&self->uv.wq_mutex); /* a thread may have held it */
    self->uv.wq.next = self->uv.wq.prev = &self->uv.wq;
}

static void
handle_forked(uv_handle_t *handle, void *Py_UNUSED(arg))
{
    const LoopHandleOps *ops = handle->data;
    if (ops != NULL && ops->forked != NULL && !uv_is_closing(handle)) {
        ops->forked(handle);
    }
}

PyObject *
loop_py_forked(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Loop *self = (Loop *)op;
    if (!self->uv_open || self->forked) {
        Py_RETURN_NONE;
    }
    self->forked = true;
    self->closed = true;
    /* The thread that ran the loop exists in the child only if it is the one that forked. */
    bool elsewhere = self->running && !loop_runs_here(self);
    self->running = self->running && !elsewhere;
    self->parked = NULL;
    atomic_store(&self->blocking, false);
    (void)uv_mutex_init(&self->wake_lock); /* another thread may have held it */
    (void)inbox_close(&self->inbox);
    self->ready = (ReadyQueue){0};
    timers_forget(&self->timers);
    alarm_forked(&self->alarm);
    fds_forked(&self->fds);
    (void)uv_loop_fork(&self->uv); /* if it fails, libuv has no epoll set at all */
    works_forget(self);
    if (!elsewhere) { /* otherwise the fork may have interrupted a change of libuv's lists */
        uv_walk(&self->uv, handle_forked, NULL);
    }
    Py_CLEAR(self->thread_id);
    Py_RETURN_NONE;
}
