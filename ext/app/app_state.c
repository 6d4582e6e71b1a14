/* Set-up and tear-down of the app layer's part of the module's state (see app_state.h). Runs
 * when the module is imported and freed, under the GIL.
 */
#include "base/py.h"

#include "app/app_state.h"
#include "app/pool_type.h"
#include "app/router_type.h"

int
app_setup(PyObject *module, AppState *st)
{
    st->module = module;
    if (router_type_setup(module, st) < 0 || pool_type_setup(module, st) < 0) {
        return -1;
    }
    return 0;
}

int
app_traverse(AppState *st, visitproc visit, void *arg)
{
    Py_VISIT(st->router_type);
    Py_VISIT(st->request_type);
    Py_VISIT(st->sender_type);
    Py_VISIT(st->waiting_type);
    Py_VISIT(st->pool_type);
    return 0;
}

void
app_clear(AppState *st)
{
    Py_CLEAR(st->router_type);
    Py_CLEAR(st->request_type);
    Py_CLEAR(st->sender_type);
    Py_CLEAR(st->waiting_type);
    Py_CLEAR(st->pool_type);
    Py_CLEAR(st->str_cancel);
    Py_CLEAR(st->str_create_future);
    Py_CLEAR(st->str_done);
    Py_CLEAR(st->str_set_exception);
    Py_CLEAR(st->str_set_result);
}
