/* See memory.h. */
#include "base/py.h"

#include "coding/memory.h"

void *
coding_zalloc(void *Py_UNUSED(opaque), unsigned n, unsigned size)
{
    return PyMem_RawMalloc((size_t)n * size);
}

void *
coding_alloc(void *Py_UNUSED(opaque), size_t size)
{
    return PyMem_RawMalloc(size);
}

void
coding_free(void *Py_UNUSED(opaque), void *ptr)
{
    PyMem_RawFree(ptr);
}
