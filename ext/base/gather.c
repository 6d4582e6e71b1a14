/* Growth of a Gather (see gather.h). The first piece gets exactly the memory that it needs, because
 * most Gathers are taken before a second piece comes. Later the memory grows by half.
 */
#include "base/py.h"

#include "base/gather.h"

/* Makes room for `more` bytes. */
static int
gather_reserve(Gather *gather, size_t more)
{
    size_t size = gather->bytes == NULL ? 0 : (size_t)PyBytes_GET_SIZE(gather->bytes);
    if (size - gather->len >= more) {
        return 0;
    }
    if (more > (size_t)PY_SSIZE_T_MAX - gather->len) {
        gather_free(gather);
        PyErr_NoMemory();
        return -1;
    }
    if (gather->bytes == NULL) {
        /* Without bytes to copy, CPython returns a new object and never a shared one. */
        gather->bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)more);
        return gather->bytes == NULL ? -1 : 0;
    }
    size_t want = Py_MAX(gather->len + more, size + size / 2);
    if (_PyBytes_Resize(&gather->bytes, (Py_ssize_t)want) < 0) {
        gather->len = 0;
        return -1;
    }
    return 0;
}

int
gather_add(Gather *gather, Slice piece)
{
    if (piece.len == 0) {
        return 0;
    }
    if (gather_reserve(gather, piece.len) < 0) {
        return -1;
    }
    memcpy(PyBytes_AS_STRING(gather->bytes) + gather->len, piece.ptr, piece.len);
    gather->len += piece.len;
    return 0;
}

PyObject *
gather_take(Gather *gather)
{
    PyObject *bytes = gather->bytes;
    size_t len = gather->len;
    *gather = (Gather){.bytes = NULL};
    if (bytes == NULL) {
        return PyBytes_FromStringAndSize(NULL, 0);
    }
    if (len != (size_t)PyBytes_GET_SIZE(bytes)) {
        (void)_PyBytes_Resize(&bytes, (Py_ssize_t)len);
    }
    return bytes;
}
