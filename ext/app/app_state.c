/* Set-up and tear-down of the app layer's part of the module's state (see app_state.h). Runs
 * when the module is imported and freed, under the GIL.
 */
#include "base/py.h"

#include "app/app_state.h"
#include "asgi/app.h"
#include "asgi/call.h"
#include "app/coro.h"
#include "app/file_send.h"
#include "app/bind/plan.h"
#include "pool/pool_type.h"
#include "app/request.h"
#include "app/request_coro.h"
#include "route/router_type.h"
#include "app/sender.h"
#include "app/server.h"
#include "app/stop_guard.h"
#include "app/waiting.h"
#include "app/ws/ws_type.h"
#include "wsgi/app.h"
#include "wsgi/call.h"
#include "wsgi/input.h"
#include "base/names.h"

static int
strings_setup(AppState *st)
{
#define INTERN(name) &&(st->str_##name = PyUnicode_InternFromString(#name)) != NULL
#define INTERN_TEXT(name, text)                                                        \
    &&(st->str_##name = PyUnicode_InternFromString(text)) != NULL
    return (true APP_STRINGS(INTERN) APP_TEXTS(INTERN_TEXT)) ? 0 : -1;
#undef INTERN
#undef INTERN_TEXT
}

int
app_setup(PyObject *module, AppState *st)
{
    st->module = module;
    if (strings_setup(st) < 0
        || name_import(&st->cancelled_error, "asyncio", "CancelledError") < 0
        || router_type_setup(module, st) < 0 || waiting_setup(module, st) < 0
        || request_setup(module, st) < 0 || websocket_setup(module, st) < 0
        || sender_setup(module, st) < 0 || file_send_setup(module, st) < 0
        || pool_type_setup(module, st) < 0 || plan_setup(module, st) < 0
        || request_coro_setup(module, st) < 0 || coro_setup(module, st) < 0
        || server_setup(module, st) < 0 || asgi_app_setup(module, st) < 0
        || asgi_call_setup(module, st) < 0 || asgi_socket_setup(module, st) < 0
        || wsgi_app_setup(module, st) < 0 || wsgi_call_setup(module, st) < 0
        || wsgi_input_setup(module, st) < 0 || stop_guard_setup(module) < 0) {
        return -1;
    }
    return 0;
}

int
app_traverse(AppState *st, visitproc visit, void *arg)
{
    Py_VISIT(st->router_type);
    Py_VISIT(st->request_type);
    Py_VISIT(st->websocket_type);
    Py_VISIT(st->sender_type);
    Py_VISIT(st->file_send_type);
    Py_VISIT(st->waiting_type);
    Py_VISIT(st->waiting_done);
    Py_VISIT(st->pool_type);
    Py_VISIT(st->param_type);
    Py_VISIT(st->plan_type);
    Py_VISIT(st->request_coro_type);
    Py_VISIT(st->coro_type);
    Py_VISIT(st->server_type);
    Py_VISIT(st->asgi_app_type);
    Py_VISIT(st->asgi_call_type);
    Py_VISIT(st->asgi_socket_type);
    Py_VISIT(st->wsgi_app_type);
    Py_VISIT(st->wsgi_call_type);
    Py_VISIT(st->wsgi_input_type);
    Py_VISIT(st->cancelled_error);
    return 0;
}

void
app_clear(AppState *st)
{
    Py_CLEAR(st->router_type);
    Py_CLEAR(st->request_type);
    Py_CLEAR(st->websocket_type);
    Py_CLEAR(st->sender_type);
    Py_CLEAR(st->file_send_type);
    Py_CLEAR(st->waiting_type);
    Py_CLEAR(st->waiting_done);
    Py_CLEAR(st->pool_type);
    Py_CLEAR(st->param_type);
    Py_CLEAR(st->plan_type);
    Py_CLEAR(st->coro_type);
    Py_CLEAR(st->request_coro_type);
    Py_CLEAR(st->server_type);
    Py_CLEAR(st->asgi_app_type);
    Py_CLEAR(st->asgi_socket_type);
    Py_CLEAR(st->asgi_call_type);
    Py_CLEAR(st->wsgi_app_type);
    Py_CLEAR(st->wsgi_call_type);
    Py_CLEAR(st->wsgi_input_type);
    Py_CLEAR(st->cancelled_error);
#define RELEASE(name) Py_CLEAR(st->str_##name);
#define RELEASE_TEXT(name, text) Py_CLEAR(st->str_##name);
    APP_STRINGS(RELEASE)
    APP_TEXTS(RELEASE_TEXT)
#undef RELEASE
#undef RELEASE_TEXT
}
