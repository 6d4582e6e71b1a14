/* See mount.h. What the mounts do is in asgi/ and wsgi/. */
#include "base/py.h"

#include "app/mount.h"

Mount *
mount_check(const AppState *st, PyObject *obj)
{
    if ((PyObject_TypeCheck(obj, st->asgi_app_type)
         || PyObject_TypeCheck(obj, st->wsgi_app_type))
        && ((Mount *)obj)->ops != NULL) {
        return (Mount *)obj;
    }
    PyErr_Format(PyExc_TypeError, "expected an AsgiApp or a WsgiApp, not %R", obj);
    return NULL;
}
