/* Bytes objects used again. What is read from a socket becomes a bytes object, which most
 * protocols have done with when they return; then its memory serves the next one. Allocation
 * costs as much as a small read otherwise, and for large ones page faults.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_SPARE_H
#define FLUVIAL_BASE_SPARE_H

#include "base/py.h"
#include "base/slice.h"

/* A bytes object that nobody else refers to, and how many bytes it has room for. Its owner
 * embeds the struct, zeroed at first. */
typedef struct SpareBytes {
    PyObject *bytes; /* owned or NULL */
    size_t room;
} SpareBytes;

/* Makes sure that there is a spare object with room for `size` bytes, and not for much more. Its
 * memory, or NULL with MemoryError set. */
char *spare_reserve(SpareBytes *spare, size_t size);

/* Takes the object out, as one of `len` bytes: the caller's. There must be one with that room. */
SpareBytes spare_take(SpareBytes *spare, size_t len);

/* A bytes object with a copy of `data`, the caller's; `bytes` is NULL with MemoryError set when
 * there is no memory. */
SpareBytes spare_copy(SpareBytes *spare, Slice data);

/* Gives `used` (stolen, may be empty) back: it becomes the spare one when nobody else has a
 * reference. */
void spare_give(SpareBytes *spare, SpareBytes used);

void spare_clear(SpareBytes *spare);

#endif
