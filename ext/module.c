/* fluvial._core: multi-phase initialisation of the extension. Each layer creates its own types;
 * here they are only called in order, lowest layer first.
 */
#include "base/py.h"

#include "base/module.h"
#include "state.h"

static ModuleState *
module_state(PyObject *module)
{
    return (ModuleState *)PyModule_GetState(module);
}

LoopState *
loop_state(PyObject *module)
{
    return &module_state(module)->loop;
}

NetState *
net_state(PyObject *module)
{
    return &module_state(module)->net;
}

HttpState *
http_state(PyObject *module)
{
    return &module_state(module)->http;
}

AppState *
app_state(PyObject *module)
{
    return &module_state(module)->app;
}

static int
module_exec(PyObject *module)
{
    ModuleState *st = module_state(module);
    if (loop_setup(module, &st->loop) < 0 || net_setup(module, &st->net) < 0
        || http_setup(module, &st->http) < 0 || app_setup(module, &st->app) < 0) {
        return -1;
    }
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    ModuleState *st = module_state(module);
    int err = loop_traverse(&st->loop, visit, arg);
    if (err == 0) {
        err = net_traverse(&st->net, visit, arg);
    }
    if (err == 0) {
        err = http_traverse(&st->http, visit, arg);
    }
    return err == 0 ? app_traverse(&st->app, visit, arg) : err;
}

static int
module_clear(PyObject *module)
{
    ModuleState *st = module_state(module);
    app_clear(&st->app);
    http_clear(&st->http);
    net_clear(&st->net);
    loop_clear(&st->loop);
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear((PyObject *)module);
}

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
