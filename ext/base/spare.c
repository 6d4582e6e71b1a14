/* Reuse of bytes objects (see spare.h). A bytes object may be changed only while no other code can
 * use it: while its only reference is ours.
 */
#include "base/py.h"

#include "base/spare.h"

enum {
    SMALLEST = 512, /* bytes; for smaller objects, Python's own allocator is as fast */
};

/* Whether an object with room for `room` bytes may hold `size` bytes. An object that is kept must not
 * waste more than half of its memory. */
static bool
spare_fits(size_t room, size_t size)
{
    return size <= room && room <= 2 * size;
}

/* Sets the length of `bytes`, which has no other references, to `len`. */
static void
bytes_renew(PyObject *bytes, size_t len)
{
    assert(Py_REFCNT(bytes) == 1);
    PyBytesObject *object = (PyBytesObject *)bytes;
    Py_SET_SIZE(object, (Py_ssize_t)len);
    object->ob_sval[len] = '\0';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    object->ob_shash = -1; /* not computed yet */
#pragma GCC diagnostic pop
}

char *
spare_reserve(SpareBytes *spare, size_t size)
{
    if (spare->bytes == NULL || !spare_fits(spare->room, size)) {
        spare_clear(spare);
        spare->bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
        spare->room = size;
    }
    return spare->bytes == NULL ? NULL : PyBytes_AS_STRING(spare->bytes);
}

SpareBytes
spare_take(SpareBytes *spare, size_t len)
{
    assert(spare->bytes != NULL && len <= spare->room);
    SpareBytes taken = *spare;
    *spare = (SpareBytes){NULL, 0};
    bytes_renew(taken.bytes, len);
    return taken;
}

SpareBytes
spare_copy(SpareBytes *spare, Slice data)
{
    if (data.len < SMALLEST || spare->bytes == NULL
        || !spare_fits(spare->room, data.len)) {
        PyObject *bytes = PyBytes_FromStringAndSize(data.ptr, (Py_ssize_t)data.len);
        return (SpareBytes){bytes, data.len};
    }
    SpareBytes taken = spare_take(spare, data.len);
    memcpy(PyBytes_AS_STRING(taken.bytes), data.ptr, data.len);
    return taken;
}

void
spare_give(SpareBytes *spare, SpareBytes used)
{
    PyObject *old = used.bytes;
#ifndef Py_GIL_DISABLED /* there, Py_REFCNT doesn't count other threads' references */
    if (used.bytes != NULL && used.room >= SMALLEST && Py_REFCNT(used.bytes) == 1) {
        old = spare->bytes;
        *spare = used;
    }
#endif
    Py_XDECREF(old);
}

void
spare_clear(SpareBytes *spare)
{
    PyObject *bytes = spare->bytes;
    *spare = (SpareBytes){NULL, 0};
    Py_XDECREF(bytes);
}
