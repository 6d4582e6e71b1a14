/* See net_state.h. */
#include "base/py.h"

#include "net/net_state.h"

#include "net/server_tls.h"

int
net_setup(PyObject *module, NetState *st)
{
    return secure_setup(module, st);
}

int
net_traverse(NetState *st, visitproc visit, void *arg)
{
    Py_VISIT(st->secure_type);
    Py_VISIT(st->tickets_type);
    return 0;
}

void
net_clear(NetState *st)
{
    Py_CLEAR(st->secure_type);
    Py_CLEAR(st->tickets_type);
}
