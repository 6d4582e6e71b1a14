/* Set-up and tear-down of the http layer's part of the module's state (see http_state.h). Runs
 * when the module is imported and freed, under the GIL.
 */
#include "base/py.h"

#include "http/http_state.h"

int
http_setup(PyObject *module, HttpState *st)
{
    st->module = module;
    return 0;
}

int
http_traverse(HttpState *Py_UNUSED(st), visitproc Py_UNUSED(visit),
              void *Py_UNUSED(arg))
{
    return 0;
}

void
http_clear(HttpState *Py_UNUSED(st))
{
}
