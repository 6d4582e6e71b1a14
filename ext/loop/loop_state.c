/* Set-up and tear-down of the loop layer's part of the module's state (see loop_state.h). Runs
 * when the module is imported and freed, under the GIL.
 */
#include "base/py.h"

#include "loop/loop_state.h"

int
loop_setup(PyObject *module, LoopState *st)
{
    st->module = module;
    return 0;
}

int
loop_traverse(LoopState *Py_UNUSED(st), visitproc Py_UNUSED(visit), void *Py_UNUSED(arg))
{
    return 0;
}

void
loop_clear(LoopState *Py_UNUSED(st))
{
}
