/* Tells Python what is where in the memory of metrics.h. Thread: any, with the GIL.
 */
#include "base/py.h"

#include "app/serve/metrics_layout.h"

#include "http/metrics.h"

static PyObject *
metrics_py_layout(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    static const struct {
        const char *name;
        int at;
    } words[] = {
        {"capacity", METRICS_CAPACITY},
        {"entered", METRICS_ENTERED},
        {"slots", METRICS_SLOTS},
        {"parent", METRICS_SLOTS + 1},
        {"head", METRICS_HEAD},
        {"series", METRICS_SERIES},
        {"method", METRICS_METHOD},
        {"histogram", METRICS_HISTOGRAM},
        {"accepted", METRICS_ACCEPTED},
        {"rejected", METRICS_REJECTED},
        {"tls_done", METRICS_TLS_DONE},
        {"tls_failed", METRICS_TLS_FAILED},
        {"received", METRICS_RECEIVED},
        {"sent", METRICS_SENT},
        {"websockets_total", METRICS_WEBSOCKETS_TOTAL},
        {"jobs", METRICS_JOBS},
        {"jobs_refused", METRICS_JOBS_REFUSED},
        {"lag", METRICS_LAG},
        {"wait", METRICS_WAIT},
        {"gauges", METRICS_GAUGES},
        {"open", METRICS_OPEN},
        {"in_flight", METRICS_IN_FLIGHT},
        {"websockets", METRICS_WEBSOCKETS},
        {"threads", METRICS_THREADS},
        {"threads_busy", METRICS_THREADS_BUSY},
        {"threads_limit", METRICS_THREADS_LIMIT},
        {"queued", METRICS_QUEUED},
        {"pid", METRICS_PID},
        {"ready", METRICS_READY},
        {"threads_most", METRICS_THREADS_MOST},
        {"owner", METRICS_OWNER},
        {"slot", METRICS_SLOT},
    };
    PyObject *layout = PyDict_New();
    for (size_t i = 0; layout != NULL && i < sizeof words / sizeof *words; i++) {
        PyObject *at = PyLong_FromLong(words[i].at);
        if (at == NULL || PyDict_SetItemString(layout, words[i].name, at) < 0) {
            Py_CLEAR(layout);
        }
        Py_XDECREF(at);
    }
    return layout;
}

static PyObject *
metrics_py_size(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned short slots;
    unsigned int capacity;
    if (!PyArg_ParseTuple(args, "HI:metrics_size", &slots, &capacity)) {
        return NULL;
    }
    return PyLong_FromSize_t(metrics_size(slots, capacity));
}

static PyObject *
metrics_py_bounds(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject *bounds = PyTuple_New(METRICS_BOUNDS);
    for (unsigned i = 0; bounds != NULL && i < METRICS_BOUNDS; i++) {
        PyObject *bound = PyLong_FromUnsignedLongLong(metrics_bound(i));
        if (bound == NULL) {
            Py_CLEAR(bounds);
        } else {
            PyTuple_SET_ITEM(bounds, (Py_ssize_t)i, bound);
        }
    }
    return bounds;
}

static PyMethodDef metrics_layout_def[] = {
    {"metrics_layout", metrics_py_layout, METH_NOARGS, NULL},
    {"metrics_size", metrics_py_size, METH_VARARGS, NULL},
    {"metrics_bounds", metrics_py_bounds, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

int
metrics_layout_setup(PyObject *module)
{
    return PyModule_AddFunctions(module, metrics_layout_def);
}
