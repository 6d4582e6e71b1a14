/* See net_state.h. */
#include "base/py.h"

#include "net/net_state.h"

#include "net/server_tls.h"
#include "net/server_tls_dev.h"

int
net_setup(PyObject *module, NetState *st)
{
    return secure_setup(module, st) < 0 ? -1 : secure_dev_setup(module);
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
