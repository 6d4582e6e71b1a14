/* See wsgi_state.h. */
#include "base/py.h"

#include "wsgi/wsgi_state.h"

#include "wsgi/app.h"
#include "wsgi/call.h"
#include "wsgi/input.h"

int
wsgi_setup(PyObject *module, WsgiState *st)
{
    bool interned = true WSGI_STRINGS(STRING_INTERN) WSGI_TEXTS(TEXT_INTERN);
    if (!interned || wsgi_app_setup(module, st) < 0 || wsgi_call_setup(module, st) < 0
        || wsgi_input_setup(module, st) < 0) {
        return -1;
    }
    return 0;
}

int
wsgi_traverse(WsgiState *st, visitproc visit, void *arg)
{
    Py_VISIT(st->wsgi_app_type);
    Py_VISIT(st->wsgi_call_type);
    Py_VISIT(st->wsgi_input_type);
    return 0;
}

void
wsgi_clear(WsgiState *st)
{
    Py_CLEAR(st->wsgi_app_type);
    Py_CLEAR(st->wsgi_call_type);
    Py_CLEAR(st->wsgi_input_type);
    WSGI_STRINGS(STRING_CLEAR)
    WSGI_TEXTS(TEXT_CLEAR)
}
