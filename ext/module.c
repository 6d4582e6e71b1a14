/* fluvial._core: multi-phase initialisation of the extension. Each layer creates its own types; this
 * file calls the layers' set-up functions in order, lowest layer first.
 */
#include "base/py.h"

#include "base/module.h"
#include "coding/coding_state.h"
#include "state.h"

static ModuleState *
module_state(PyObject *module)
{
    return (ModuleState *)PyModule_GetState(module);
}

RouteState *
route_state(PyObject *module)
{
    return &module_state(module)->route;
}

LoopState *
loop_state(PyObject *module)
{
    return &module_state(module)->loop;
}

PoolState *
pool_state(PyObject *module)
{
    return &module_state(module)->pool;
}

NetState *
net_state(PyObject *module)
{
    return &module_state(module)->net;
}

TransportState *
transport_state(PyObject *module)
{
    return &module_state(module)->transport;
}

AppState *
app_state(PyObject *module)
{
    return &module_state(module)->app;
}

AsgiState *
asgi_state(PyObject *module)
{
    return &module_state(module)->asgi;
}

FilesState *
files_state(PyObject *module)
{
    return &module_state(module)->files;
}

WsgiState *
wsgi_state(PyObject *module)
{
    return &module_state(module)->wsgi;
}

static int
module_exec(PyObject *module)
{
    ModuleState *st = module_state(module);
    if (coding_setup(module) < 0 || route_setup(module, &st->route) < 0
        || loop_setup(module, &st->loop) < 0 || pool_setup(module, &st->pool) < 0
        || net_setup(module, &st->net) < 0
        || transport_setup(module, &st->transport) < 0
        || app_setup(module, &st->app) < 0 || asgi_setup(module, &st->asgi) < 0
        || wsgi_setup(module, &st->wsgi) < 0 || files_setup(module, &st->files) < 0) {
        return -1;
    }
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    ModuleState *st = module_state(module);
    int err = 0;
    err = err != 0 ? err : route_traverse(&st->route, visit, arg);
    err = err != 0 ? err : loop_traverse(&st->loop, visit, arg);
    err = err != 0 ? err : pool_traverse(&st->pool, visit, arg);
    err = err != 0 ? err : net_traverse(&st->net, visit, arg);
    err = err != 0 ? err : transport_traverse(&st->transport, visit, arg);
    err = err != 0 ? err : app_traverse(&st->app, visit, arg);
    err = err != 0 ? err : asgi_traverse(&st->asgi, visit, arg);
    err = err != 0 ? err : files_traverse(&st->files, visit, arg);
    err = err != 0 ? err : wsgi_traverse(&st->wsgi, visit, arg);
    return err;
}

static int
module_clear(PyObject *module)
{
    ModuleState *st = module_state(module);
    files_clear(&st->files);
    wsgi_clear(&st->wsgi);
    asgi_clear(&st->asgi);
    app_clear(&st->app);
    transport_clear(&st->transport);
    net_clear(&st->net);
    pool_clear(&st->pool);
    loop_clear(&st->loop);
    route_clear(&st->route);
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear((PyObject *)module);
}

/* Without Py_mod_multiple_interpreters, sub-interpreters that share the GIL may load the module,
 * and others are refused (ADR 23). */
static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "fluvial._core",
    .m_doc = "The core of Fluvial: event loop, HTTP server, router and dispatch.",
    .m_size = sizeof(ModuleState),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyObject *
module_of_type(PyTypeObject *type)
{
    return PyType_GetModuleByDef(type, &module_def);
}

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
