/* The loop's pulse: a timer that writes the time into memory which another process reads. While the loop's
 * thread runs a callback, or waits for the GIL, the time stands still. The callback needs no GIL. Each
 * pulse owns its memory, which is freed when libuv has closed the timer. The loop's thread.
 */
#include "base/py.h"

#include "loop/loop_impl.h"

#include "base/err.h"

#include <stdatomic.h>

typedef struct Pulse {
    uv_timer_t timer;
    Loop *loop;     /* borrowed: it closes the timer before it ends */
    Py_buffer cell; /* owned: 8 bytes, aligned; loop_now_ns() of the last beat */
} Pulse;

static void
pulse_beat(uv_timer_t *timer)
{
    Pulse *pulse = container_of(timer, Pulse, timer);
    atomic_store_explicit((_Atomic uint64_t *)pulse->cell.buf, loop_now_ns(),
                          memory_order_relaxed);
}

static void
pulse_on_closed(uv_handle_t *handle)
{
    Pulse *pulse = container_of((uv_timer_t *)handle, Pulse, timer);
    if (loop_enter(pulse->loop)) {
        PyBuffer_Release(&pulse->cell);
        PyMem_RawFree(pulse);
    }
}

static void
pulse_close(uv_handle_t *handle)
{
    uv_close(handle, pulse_on_closed);
}

/* The cell is the parent's from now on. */
static void
pulse_forked(uv_handle_t *handle)
{
    (void)uv_timer_stop((uv_timer_t *)handle);
}

static const LoopHandleOps pulse_ops = {.close = pulse_close, .forked = pulse_forked};

static int
pulse_check_cell(const Py_buffer *cell)
{
    if (cell->len == sizeof(uint64_t)
        && (uintptr_t)cell->buf % _Alignof(uint64_t) == 0) {
        return 0;
    }
    PyErr_SetString(PyExc_ValueError, "a pulse needs a cell of 8 aligned bytes");
    return -1;
}

PyObject *
loop_py_pulse(PyObject *op, PyObject *args)
{
    Loop *self = (Loop *)op;
    Py_buffer cell;
    double seconds;
    if (loop_check_open(self) < 0
        || !PyArg_ParseTuple(args, "w*d:_pulse", &cell, &seconds)) {
        return NULL;
    }
    Pulse *pulse =
        pulse_check_cell(&cell) < 0 ? NULL : PyMem_RawCalloc(1, sizeof(*pulse));
    if (pulse == NULL) {
        PyBuffer_Release(&cell);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    *pulse = (Pulse){.loop = self, .cell = cell};
    (void)uv_timer_init(&self->uv, &pulse->timer);
    pulse->timer.data = (void *)&pulse_ops;
    uint64_t ms = seconds < 0.001 ? 1 : (uint64_t)(seconds * 1000);
    pulse_beat(&pulse->timer);
    (void)uv_timer_start(&pulse->timer, pulse_beat, ms, ms);
    Py_RETURN_NONE;
}
