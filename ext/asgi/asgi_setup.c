/* See asgi_state.h. */
#include "base/py.h"

#include "asgi/asgi_state.h"

#include "asgi/app.h"
#include "asgi/call.h"

int
asgi_setup(PyObject *module, AsgiState *st)
{
    bool interned = true ASGI_STRINGS(STRING_INTERN) ASGI_TEXTS(TEXT_INTERN);
    if (!interned || asgi_app_setup(module, st) < 0 || asgi_call_setup(module, st) < 0
        || asgi_socket_setup(module, st) < 0) {
        return -1;
    }
    return 0;
}

int
asgi_traverse(AsgiState *st, visitproc visit, void *arg)
{
    Py_VISIT(st->asgi_app_type);
    Py_VISIT(st->asgi_call_type);
    Py_VISIT(st->asgi_socket_type);
    return 0;
}

void
asgi_clear(AsgiState *st)
{
    recycle_end(&st->calls);
    Py_CLEAR(st->asgi_app_type);
    Py_CLEAR(st->asgi_call_type);
    Py_CLEAR(st->asgi_socket_type);
    ASGI_STRINGS(STRING_CLEAR)
    ASGI_TEXTS(TEXT_CLEAR)
}
