/* Set-up and tear-down of the app layer's part of the module's state (see app_state.h). Runs
 * when the module is imported and freed, under the GIL.
 */
#include "base/py.h"

#include "app/app_state.h"

int
app_setup(PyObject *module, AppState *st)
{
    st->module = module;
    return 0;
}

int
app_traverse(AppState *Py_UNUSED(st), visitproc Py_UNUSED(visit), void *Py_UNUSED(arg))
{
    return 0;
}

void
app_clear(AppState *Py_UNUSED(st))
{
}
