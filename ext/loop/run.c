/* The loop's iterations, and the release of the GIL while it blocks.
 *
 * An iteration polls, then runs what is due: posted nodes, timers, ready callbacks, hooks. The
 * poll blocks only when nothing is ready. libuv's callbacks run inside the poll; each begins
 * with loop_enter(), which takes the GIL back for the first one that needs it.
 */
#include "base/py.h"

#include "base/err.h"
#include "base/probe.h"
#include "loop/loop_impl.h"

#include <time.h>

enum {
    GIL_SLICE = 5, /* ms that a loop which never blocks keeps the GIL for at a time */
};

/* Waiting longer than LONG_WAIT_NS for the GIL means that another thread is running Python; assume
 * that it continues for CROWDED_NS. */
static const uint64_t LONG_WAIT_NS = 2000000, CROWDED_NS = 100000000;

/* ---- Time --------------------------------------------------------------------------------- */

uint64_t
loop_now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Moves the timers that are due into the ready queue. */
static int
loop_run_timers(Loop *self)
{
    if (self->timers.len == 0) {
        return 0;
    }
    uint64_t now = loop_now_ns();
    while (self->timers.len != 0 && self->timers.entries[0].deadline <= now) {
        TimerHandle *timer = timers_pop(&self->timers);
        int err = ready_push(&self->ready, &timer->base);
        Py_DECREF(timer);
        if (err < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- The GIL and other threads ------------------------------------------------------------ */

bool
loop_enter(Loop *self)
{
    if (unlikely(self->forked) && self->uv_open) { /* otherwise it is being closed */
        return false;
    }
    if (self->parked != NULL) {
        PyThreadState *state = self->parked;
        uint64_t wanted_at = loop_now_ns();
        self->parked = NULL;
        self->woke_at = wanted_at;
        atomic_store_explicit(&self->gil_wanted_at, wanted_at, memory_order_relaxed);
        PROBE(gil_wait, self);
        PyEval_RestoreThread(state);
        uint64_t now = loop_now_ns();
        PROBE(gil_taken, self, now - wanted_at);
        if (unlikely(now - wanted_at > LONG_WAIT_NS)) {
            self->crowded_until = now + CROWDED_NS;
        }
        self->crowded = now < self->crowded_until;
        atomic_store_explicit(&self->gil_wanted_at, 0, memory_order_relaxed);
        atomic_store_explicit(&self->blocking, false, memory_order_relaxed);
        self->gil_taken = uv_now(&self->uv);
    }
    return true;
}

void
loop_work_begin(Loop *self, uv_work_t *work, uv_work_cb run, uv_after_work_cb done)
{
    self->works++;
    int err = uv_queue_work(&self->uv, work, run, done);
    assert(err == 0); /* there is a function to call */
    (void)err;
}

bool
loop_work_end(Loop *self)
{
    bool here = loop_enter(self);
    self->works--;
    return here;
}

bool
loop_is_crowded(const Loop *self)
{
    return self->crowded;
}

uint64_t
loop_gil_wanted_at(const Loop *self)
{
    return atomic_load_explicit(&self->gil_wanted_at, memory_order_relaxed);
}

uint64_t
loop_woke_at(const Loop *self)
{
    return self->woke_at;
}

void
loop_on_uv_wake(uv_async_t *Py_UNUSED(wake))
{
    /* Only ends the poll: every iteration checks the inbox and the ready queue. */
}

/* For threads that may outlive the loop: loop.close() doesn't wait for them. */
static void
loop_wake_safely(Loop *self)
{
    uv_mutex_lock(&self->wake_lock);
    if (self->uv_open) {
        (void)uv_async_send(&self->wake);
    }
    uv_mutex_unlock(&self->wake_lock);
}

void
loop_wake(Loop *self)
{
    if (atomic_load(&self->blocking)) {
        (void)uv_async_send(&self->wake);
    }
}

bool
loop_post(Loop *self, InboxNode *node)
{
    switch (inbox_push(&self->inbox, node)) {
    case INBOX_CLOSED:
        return false;
    case INBOX_FIRST:
        if (atomic_load(&self->blocking)) {
            loop_wake_safely(self);
        }
        return true;
    case INBOX_MORE:
        return true;
    }
    Py_UNREACHABLE();
}

void
loop_run_nodes(const Loop *self, InboxNode *node)
{
    while (node != NULL && !self->forked) {
        InboxNode *next = node->next; /* read first: run() may free the node */
        node->run(node);
        node = next;
    }
}

/* ---- The poll ----------------------------------------------------------------------------- */

/* Polls the descriptors without waiting. Releases the GIL for other threads when the loop has kept
 * it for GIL_SLICE. */
static void
loop_poll_now(Loop *self)
{
    fds_before_poll(&self->fds, self);
    if (uv_now(&self->uv) - self->gil_taken >= GIL_SLICE) {
        self->parked = PyEval_SaveThread();
    }
    fds_poll(&self->fds, self, false);
    (void)loop_enter(self);
}

/* Waits in epoll: io_uring would save little (ADR 31). */
static void
loop_poll_blocking(Loop *self)
{
    uint64_t deadline = timers_next(&self->timers);
    if (deadline != ALARM_NEVER && deadline <= loop_now_ns()) {
        loop_poll_now(self);
        return;
    }
    alarm_set(&self->alarm, timers_wake_at(&self->timers));
    /* First set the flag, then check the inbox: loop_post does it in the opposite order, so that
     * one of the two threads notices the other. */
    atomic_store(&self->blocking, true);
    if (!inbox_empty(&self->inbox)) {
        atomic_store_explicit(&self->blocking, false, memory_order_relaxed);
        loop_poll_now(self);
        return;
    }
    /* uv_backend_timeout() doesn't tell whether the poll will block: it also returns 0 when a
     * descriptor's mask has changed since the last poll. */
    fds_before_poll(&self->fds, self);
    self->parked = PyEval_SaveThread();
    fds_poll(&self->fds, self, true);
    (void)loop_enter(self);
    atomic_store_explicit(&self->blocking, false, memory_order_relaxed);
}

/* ---- One iteration ------------------------------------------------------------------------ */

static int
handle_run_timed(Loop *self, Handle *handle)
{
    Py_XSETREF(self->current, Py_NewRef(handle));
    uint64_t start = loop_now_ns();
    int err = handle_run(handle);
    double seconds = (double)(loop_now_ns() - start) / 1e9;
    Py_CLEAR(self->current);
    if (err < 0) {
        return -1;
    }
    PyObject *res =
        PyObject_CallMethod((PyObject *)self, "_callback_ran", "Od", handle, seconds);
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* Runs the callbacks that are ready now. Those that they schedule run in the next iteration. */
static int
loop_run_ready(Loop *self)
{
    for (size_t n = self->ready.len; n != 0 && self->ready.len != 0; n--) {
        Handle *handle = ready_pop(&self->ready);
        int err =
            likely(!self->debug) ? handle_run(handle) : handle_run_timed(self, handle);
        handle_let_go(handle);
        if (unlikely(err < 0)) {
            return -1;
        }
    }
    return 0;
}

static void
loop_run_hooks(Loop *self)
{
    self->hooks_again = false;
    for (LoopHook *hook = self->hooks; hook != NULL && !self->forked;
         hook = self->hook_next) {
        self->hook_next = hook->next;
        hook->run(hook);
    }
}

void
loop_run_due_hooks(Loop *self)
{
    for (LoopHook *hook = self->due_hooks; hook != NULL; hook = hook->next) {
        hook->run(hook);
    }
}

static bool
loop_has_work(const Loop *self)
{
    return self->ready.len != 0 || self->stopping || self->hooks_again
           || self->fatal != NULL;
}

/* One round of callbacks between two polls, as in asyncio: a callback that reschedules itself sees
 * what a peer has sent in the meantime (ADR 21). */
static int
loop_run_due(Loop *self)
{
    InboxNode *nodes = inbox_take(&self->inbox);
    if (nodes != NULL) {
        loop_run_due_hooks(self);
        loop_run_nodes(self, nodes);
    }
    if (loop_run_timers(self) < 0) {
        return -1;
    }
    if (self->ready.len != 0) {
        loop_run_due_hooks(self);
    }
    if (loop_run_ready(self) < 0) {
        return -1;
    }
    if (unlikely(self->fds.waiting) && !self->forked) {
        fds_run_waiting(&self->fds, self);
    }
    return 0;
}

static int
loop_iterate(Loop *self)
{
    /* As in asyncio, callbacks that were ready before the poll run before those that it adds. */
    self->fds.ready_first = self->ready.len != 0;
    int err = 0;
    if (loop_has_work(self)) {
        loop_poll_now(self);
    } else {
        loop_poll_blocking(self);
        err = PyErr_CheckSignals();
    }
    if (err == 0 && self->fatal == NULL) {
        err = loop_run_due(self);
    }
    if (unlikely(err < 0 && !self->forked)) {
        /* Raised only after the hooks have run, so that they flush what they have gathered. */
        PyObject *exc = err_take();
        Py_XSETREF(self->fatal, exc);
    }
    loop_run_hooks(self);
    if (unlikely(self->forked)) { /* a callback forked, and this is the child */
        return err < 0 ? -1 : loop_check_open(self);
    }
    if (self->fatal != NULL) {
        PyObject *exc = self->fatal;
        self->fatal = NULL;
        err_restore(exc);
        return -1;
    }
    return 0;
}

PyObject *
loop_py_run(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Loop *self = (Loop *)op;
    if (loop_check_open(self) < 0) {
        return NULL;
    }
    if (self->running) {
        PyErr_SetString(PyExc_RuntimeError, "This event loop is already running");
        return NULL;
    }
    self->running = true;
    self->gil_taken = uv_now(&self->uv);
    int err;
    do {
        err = loop_iterate(self);
    } while (err == 0 && !self->stopping);
    self->running = false;
    self->stopping = false;
    ready_track(&self->ready);
    timers_track(&self->timers);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- Hooks -------------------------------------------------------------------------------- */

void
loop_hook_add(Loop *self, LoopHook *hook)
{
    hook->next = self->hooks;
    self->hooks = hook;
    /* If a hook adds this one while hooks run, it was put before their position in the list and
     * has not run yet. */
    self->hooks_again = true;
}

void
loop_due_hook_add(Loop *self, LoopHook *hook)
{
    hook->next = self->due_hooks;
    self->due_hooks = hook;
}

void
loop_due_hook_remove(Loop *self, LoopHook *hook)
{
    for (LoopHook **at = &self->due_hooks; *at != NULL; at = &(*at)->next) {
        if (*at == hook) {
            *at = hook->next;
            break;
        }
    }
}

void
loop_hooks_again(Loop *self)
{
    self->hooks_again = true;
}

void
loop_hook_remove(Loop *self, LoopHook *hook)
{
    for (LoopHook **at = &self->hooks; *at != NULL; at = &(*at)->next) {
        if (*at == hook) {
            *at = hook->next;
            break;
        }
    }
    if (self->hook_next == hook) {
        self->hook_next = hook->next;
    }
}
