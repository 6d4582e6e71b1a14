/* Set-up, traversal and release of the pool's part of the module's state (see pool_state.h). */
#include "base/py.h"

#include "pool/pool_state.h"

#include "pool/pool_type.h"

int
pool_setup(PyObject *module, PoolState *st)
{
    bool interned = true POOL_STRINGS(STRING_INTERN);
    if (!interned || pool_type_setup(module, st) < 0) {
        return -1;
    }
    return 0;
}

int
pool_traverse(PoolState *st, visitproc visit, void *arg)
{
    Py_VISIT(st->pool_type);
    return 0;
}

void
pool_clear(PoolState *st)
{
    Py_CLEAR(st->pool_type);
    POOL_STRINGS(STRING_CLEAR)
}
