/* Converts the arguments of set_write_buffer_limits(high=None, low=None) to two numbers of bytes (see
 * write_limits.h).
 */
#include "base/py.h"

#include "transport/write_limits.h"

/* Bytes: the largest limit, which is never reached. */
static const Py_ssize_t LIMITS_MOST = PY_SSIZE_T_MAX / 2;

/* A number of bytes. It may be a float, such as math.inf, which is rounded down. At most LIMITS_MOST is
 * returned for a float. -1 may mean that an exception is set. */
static Py_ssize_t
limit_bytes_of(PyObject *arg)
{
    if (PyIndex_Check(arg)) {
        return PyNumber_AsSsize_t(arg, NULL);
    }
    double number = PyFloat_AsDouble(arg);
    if (number < 0 || PyErr_Occurred()) {
        return -1;
    }
    return number < (double)LIMITS_MOST ? (Py_ssize_t)number : LIMITS_MOST;
}

/* A numeric argument. -1 if it is None or missing; -2 with an exception set. */
static Py_ssize_t
limit_of(PyObject *arg)
{
    if (arg == NULL || arg == Py_None) {
        return -1;
    }
    Py_ssize_t limit = Py_MIN(limit_bytes_of(arg), LIMITS_MOST);
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
        h = l == -1 ? LIMITS_HIGH : Py_MIN(l, LIMITS_MOST / 4) * 4;
        h = Py_MAX(h, l);
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
