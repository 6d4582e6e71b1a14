/* From set_write_buffer_limits(high=None, low=None) to two numbers of bytes (see limits.h).
 */
#include "base/py.h"

#include "net/limits.h"

/* An int argument that may be None: -1 then; -2 with an exception set. */
static Py_ssize_t
limit_of(PyObject *arg)
{
    if (arg == NULL || arg == Py_None) {
        return -1;
    }
    Py_ssize_t limit = PyNumber_AsSsize_t(arg, PyExc_OverflowError);
    if (limit < 0 && !PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "high (%R) must be >= low must be >= 0", arg);
    }
    return limit < 0 ? -2 : limit;
}

int
limits_parse(PyObject *args, PyObject *kwargs, size_t *low, size_t *high)
{
    static char *const names[] = {"high", "low", NULL};
    PyObject *high_arg = NULL, *low_arg = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:set_write_buffer_limits",
                                     (char **)names, &high_arg, &low_arg)) {
        return -1;
    }
    Py_ssize_t h = limit_of(high_arg);
    Py_ssize_t l = h == -2 ? -2 : limit_of(low_arg);
    if (h == -2 || l == -2) {
        return -1;
    }
    if (h == -1) {
        h = l == -1 ? LIMITS_HIGH : 4 * l;
    }
    if (l == -1) {
        l = h / 4;
    }
    if (h < l) {
        PyErr_Format(PyExc_ValueError, "high (%zd) must be >= low (%zd) must be >= 0",
                     h, l);
        return -1;
    }
    *low = (size_t)l;
    *high = (size_t)h;
    return 0;
}
