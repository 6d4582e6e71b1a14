/* Set-up and tear-down of the net layer's part of the module's state (see net_state.h). Runs
 * when the module is imported and freed, under the GIL.
 */
#include "base/py.h"

#include "net/net_state.h"

int
net_setup(PyObject *module, NetState *st)
{
    st->module = module;
    return 0;
}

int
net_traverse(NetState *Py_UNUSED(st), visitproc Py_UNUSED(visit), void *Py_UNUSED(arg))
{
    return 0;
}

void
net_clear(NetState *Py_UNUSED(st))
{
}
