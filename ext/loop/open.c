/* The opening and closing of the libuv loop, and what the loop reports: errors that nobody else can handle, and
 * code that ran for long.
 */
#include "base/py.h"

#include "base/err.h"
#include "loop/loop_impl.h"

enum {
    READ_BUFFER = 256 * 1024, /* bytes; only the pages that reads fill use memory */
};

/* ---- Opening and closing ------------------------------------------------------------------ */

int
loop_open(Loop *self)
{
    int err = uv_mutex_init(&self->wake_lock);
    if (err != 0) {
        goto fail;
    }
    err = uv_loop_init(&self->uv);
    if (err != 0) {
        goto fail_loop;
    }
    err = uv_async_init(&self->uv, &self->wake, loop_on_uv_wake);
    if (err != 0) {
        goto fail_wake;
    }
    self->wake.data = NULL;
    err = alarm_open(&self->alarm, &self->uv);
    if (err != 0) {
        goto fail_alarm;
    }
    self->uv_open = true;
    return 0;
fail_alarm:
    uv_close((uv_handle_t *)&self->wake, NULL);
    (void)uv_run(&self->uv, UV_RUN_ONCE);
fail_wake:
    (void)uv_loop_close(&self->uv);
fail_loop:
    uv_mutex_destroy(&self->wake_lock);
fail:
    (void)err_set(err);
    return -1;
}

static void
handle_close(uv_handle_t *handle, void *Py_UNUSED(arg))
{
    const LoopHandleOps *ops = handle->data;
    if (uv_is_closing(handle)) {
        return;
    }
    if (ops != NULL) {
        ops->close(handle);
    } else {
        uv_close(handle, NULL);
    }
}

void
loop_shut(Loop *self)
{
    if (!self->uv_open) {
        return;
    }
    loop_run_nodes(self, inbox_close(&self->inbox));
    uv_mutex_lock(&self->wake_lock);
    self->uv_open = false;
    uv_mutex_unlock(&self->wake_lock);
    ready_clear(&self->ready);
    timers_clear(&self->timers);
    fds_close(&self->fds);
    alarm_close(&self->alarm);
    /* Close callbacks can't open handles, because the loop already counts as closed. Pending work
     * of libuv's threads (getaddrinfo, fs) must end before its loop can be closed. */
    do {
        uv_walk(&self->uv, handle_close, NULL);
        self->parked = PyEval_SaveThread();
        (void)uv_run(&self->uv, UV_RUN_ONCE);
        (void)loop_enter(self);
    } while (uv_loop_close(&self->uv) == UV_EBUSY);
    uv_mutex_destroy(&self->wake_lock);
    PyMem_RawFree(self->read_buffer);
    self->read_buffer = NULL;
    spare_clear(&self->spares.small);
    spare_clear(&self->spares.bulk);
}

uv_loop_t *
loop_uv(Loop *self)
{
    return &self->uv;
}

LoopSpares *
loop_spares(Loop *self)
{
    return &self->spares;
}

bool
loop_is_forked(const Loop *self)
{
    return self->forked;
}

bool
loop_is_closed(const Loop *self)
{
    return self->closed;
}

uv_buf_t
loop_read_buffer(Loop *self)
{
    if (self->read_buffer == NULL) {
        self->read_buffer = PyMem_RawMalloc(READ_BUFFER);
    }
    return uv_buf_init(self->read_buffer, self->read_buffer == NULL ? 0 : READ_BUFFER);
}

/* ---- Reports ------------------------------------------------------------------------------ */

void
loop_report(Loop *self, const char *message)
{
    if (err_is_fatal()) {
        PyObject *exc = err_take();
        Py_XSETREF(self->fatal, exc);
        return;
    }
    LoopState *st = self->st;
    PyObject *exc = err_take();
    PyObject *context =
        Py_BuildValue("{OsOO}", st->str_message, message, st->str_exception, exc);
    Py_DECREF(exc);
    PyObject *res = NULL;
    if (context != NULL) {
        PyObject *argv[] = {(PyObject *)self, context};
        res = PyObject_VectorcallMethod(st->str_call_exception_handler, argv, 2, NULL);
        Py_DECREF(context);
    }
    if (res != NULL) {
        Py_DECREF(res);
    } else if (err_is_fatal()) {
        exc = err_take();
        Py_XSETREF(self->fatal, exc);
    } else {
        PyErr_WriteUnraisable((PyObject *)self);
    }
}

uint64_t
loop_slow_begin(const Loop *self)
{
    return likely(!self->debug) ? 0 : loop_now_ns();
}

void
loop_slow_end(Loop *self, uint64_t begun, PyObject *what, PyObject *name)
{
    if (likely(begun == 0)) {
        return;
    }
    double seconds = (double)(loop_now_ns() - begun) / 1e9;
    PyObject *raised = PyErr_Occurred() ? err_take() : NULL;
    PyObject *res = PyObject_CallMethod((PyObject *)self, "_code_ran", "OOd", what,
                                        name == NULL ? Py_None : name, seconds);
    if (res == NULL) {
        loop_report(self, "Could not report slow code");
    }
    Py_XDECREF(res);
    if (raised != NULL) {
        err_restore(raised);
    }
}
