/* The thread pool's share of the module's state.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_POOL_POOL_STATE_H
#define FLUVIAL_POOL_POOL_STATE_H

#include "base/py.h"
#include "base/strings.h"

/* The names that this folder looks up in Python objects; each is PoolState.str_<name>. */
#define POOL_STRINGS(X)                                                                \
    X(cancel)                                                                          \
    X(create_future)                                                                   \
    X(done)                                                                            \
    X(set_exception)                                                                   \
    X(set_result)

typedef struct PoolState {
    PyTypeObject *pool_type; /* owned */

    /* Interned strings, all owned. */
    POOL_STRINGS(STRING_FIELD)
} PoolState;

/* The pool's part of the state of `module`; borrowed. Defined in module.c. */
PoolState *pool_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int pool_setup(PyObject *module, PoolState *st);
int pool_traverse(PoolState *st, visitproc visit, void *arg);
void pool_clear(PoolState *st);

#endif
