/* See replay.h. */
#include "base/py.h"

#include "app/replay.h"

#include "base/err.h"

PySendResult
replay_send(Replay *self, PyObject **result)
{
    PyObject *value = self->value;
    self->ready = false;
    self->value = NULL;
    if (self->sent == PYGEN_ERROR) {
        err_restore(value);
    } else {
        *result = value;
    }
    return self->sent;
}

PySendResult
replay_throw(Replay *self, PyObject *args, PyObject **result)
{
    PyObject *exc = err_thrown(args);
    PySendResult sent = replay_send(self, result);
    if (sent == PYGEN_NEXT && exc != NULL) {
        Py_XSETREF(self->thrown, exc);
        return PYGEN_NEXT;
    }
    if (sent == PYGEN_RETURN && exc != NULL) {
        Py_CLEAR(*result); /* as in a Task that was cancelled right before its end */
        err_restore(exc);
        return PYGEN_ERROR;
    }
    Py_XDECREF(exc);
    return sent;
}

void
replay_clear(Replay *self)
{
    self->ready = false;
    Py_CLEAR(self->value);
    Py_CLEAR(self->thrown);
}
