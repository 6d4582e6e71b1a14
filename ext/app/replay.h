/* How a coroutine's step has ended, for the Task that was made in the meantime and has yet to take it (ADR 26).
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_REPLAY_H
#define FLUVIAL_APP_REPLAY_H

#include "base/py.h"

typedef struct Replay {
    bool ready; /* am_send and throw() give this next */
    PySendResult sent;
    PyObject *value;  /* owned: what was yielded or returned, or the exception */
    PyObject *thrown; /* owned: what the Task has thrown in that step; or NULL */
} Replay;

/* What am_send gives: *result is a new reference, or NULL with the exception set. */
PySendResult replay_send(Replay *self, PyObject **result);
/* The same for throw(*args). What was yielded is given all the same, and the exception kept in `thrown`. */
PySendResult replay_throw(Replay *self, PyObject *args, PyObject **result);

void replay_clear(Replay *self);

#endif
