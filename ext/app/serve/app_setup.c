/* Set-up and tear-down of the app layer's part of the module's state (see app_state.h). Runs
 * when the module is imported and freed, under the GIL.
 */
#include "base/py.h"

#include "app/app_state.h"

#include "app/coro.h"
#include "app/file_send.h"
#include "app/mount.h"
#include "app/bind/param_type.h"
#include "app/plain_json.h"
#include "app/plan_type.h"
#include "app/request_type.h"
#include "app/request_coro.h"
#include "app/sender.h"
#include "app/shape.h"
#include "app/serve/metrics_layout.h"
#include "app/serve/server_type.h"
#include "app/stop_guard.h"
#include "app/waiting.h"
#include "app/ws/ws_type.h"
#include "base/names.h"
#include "http/server.h"

int
app_setup(PyObject *module, AppState *st)
{
    st->module = module;
    st->pool = pool_state(module);
    st->route = route_state(module);
    bool interned = true APP_STRINGS(STRING_INTERN);
    if (!interned || name_import(&st->cancelled_error, "asyncio", "CancelledError") < 0
        || mount_setup(module, st) < 0 || waiting_setup(module, st) < 0
        || request_setup(module, st) < 0 || websocket_setup(module, st) < 0
        || sender_setup(module, st) < 0 || file_send_setup(module, st) < 0
        || param_setup(module, &st->param_type) < 0 || plan_setup(module, st) < 0
        || request_coro_setup(module, st) < 0 || coro_setup(module, st) < 0
        || server_setup(module, st) < 0 || stop_guard_setup(module) < 0
        || metrics_layout_setup(module) < 0 || plain_json_setup(module) < 0
        || shape_setup(module) < 0
        || PyModule_AddStringConstant(module, "nghttp2_version", http_nghttp2_version())
               < 0) {
        return -1;
    }
    route_state(module)->target_type = st->plan_type;
    return 0;
}

int
app_traverse(AppState *st, visitproc visit, void *arg)
{
    Py_VISIT(st->request_type);
    Py_VISIT(st->websocket_type);
    Py_VISIT(st->sender_type);
    Py_VISIT(st->file_send_type);
    Py_VISIT(st->waiting_type);
    Py_VISIT(st->waiting_done);
    Py_VISIT(st->mount_type);
    Py_VISIT(st->param_type);
    Py_VISIT(st->plan_type);
    Py_VISIT(st->request_coro_type);
    Py_VISIT(st->coro_type);
    Py_VISIT(st->server_type);
    Py_VISIT(st->cancelled_error);
    return 0;
}

void
app_clear(AppState *st)
{
    if (st->module != NULL) {
        route_state(st->module)->target_type = NULL; /* it was borrowed from here */
    }
    recycle_end(&st->coros);
    Py_CLEAR(st->request_type);
    Py_CLEAR(st->websocket_type);
    Py_CLEAR(st->sender_type);
    Py_CLEAR(st->file_send_type);
    Py_CLEAR(st->waiting_type);
    Py_CLEAR(st->waiting_done);
    Py_CLEAR(st->mount_type);
    Py_CLEAR(st->param_type);
    Py_CLEAR(st->plan_type);
    Py_CLEAR(st->request_coro_type);
    Py_CLEAR(st->coro_type);
    Py_CLEAR(st->server_type);
    Py_CLEAR(st->cancelled_error);
    APP_STRINGS(STRING_CLEAR)
}
