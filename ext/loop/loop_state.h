/* The loop layer's share of the module's state: its types, imports and interned strings. */
#ifndef FLUVIAL_LOOP_LOOP_STATE_H
#define FLUVIAL_LOOP_LOOP_STATE_H

#include "base/py.h"

typedef struct LoopState {
    PyObject *module; /* borrowed: the module that owns this state */
} LoopState;

/* The loop layer's part of the state of `module`; borrowed. Defined in module.c. */
LoopState *loop_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int loop_setup(PyObject *module, LoopState *st);
int loop_traverse(LoopState *st, visitproc visit, void *arg);
void loop_clear(LoopState *st);

#endif
