/* What becomes of a loop in the child of a fork: it counts as closed, and every use of it is an error.
 *
 * The child shares the parent's epoll sets, timerfd and eventfd: a single epoll_ctl there would change
 * what the parent waits for. So the child's loop gets sets of its own at once, which are there to be
 * closed. What waits in its queues is forgotten, not released: destructors and callbacks of the
 * parent's work have no business in the child. A fork within one of libuv's callbacks returns to
 * libuv, which goes on with what that poll has brought: handles are deaf by then (LoopHandleOps.forked),
 * and loop_enter says no. Runs in the child's only thread.
 */
#include "base/py.h"

#include "loop/loop_impl.h"

/* The thread that ran the loop exists in the child only when it is the one that forked. */
static bool
runs_in_this_thread(const Loop *self)
{
    PyObject *id = self->thread_id;
    return id != NULL && PyLong_Check(id)
           && PyLong_AsUnsignedLong(id) == PyThread_get_thread_ident();
}

/* libuv's threads have stayed with the parent: what they had to do is never done here. */
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
    bool elsewhere = self->running && !runs_in_this_thread(self);
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
    if (!elsewhere) { /* else libuv's lists may be in the middle of a change */
        uv_walk(&self->uv, handle_forked, NULL);
    }
    Py_CLEAR(self->thread_id);
    Py_RETURN_NONE;
}
