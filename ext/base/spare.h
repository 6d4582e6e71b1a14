/* Reuse of bytes objects. Data that is read from a socket becomes a bytes object, which most
 * protocols no longer reference when they return; its memory is then used for the next read.
 * Otherwise the allocation would cost as much as a small read, and page faults for large ones.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_BASE_SPARE_H
#define FLUVIAL_BASE_SPARE_H

#include "base/py.h"
#include "base/slice.h"

/* A bytes object without other references, and the number of bytes that it has room for. The owner
 * embeds the struct, initially zeroed. */
typedef struct SpareBytes {
    PyObject *bytes; /* owned or NULL */
    size_t room;
} SpareBytes;

/* Makes sure that there is a spare object with room for `size` bytes, and not for much more. Returns
 * its memory, or NULL with MemoryError set. */
char *spare_reserve(SpareBytes *spare, size_t size);

/* Takes the spare object out, with its length set to `len`; the caller owns it. There must be a spare
 * object with that much room. */
SpareBytes spare_take(SpareBytes *spare, size_t len);

/* A bytes object with a copy of `data`, owned by the caller; or `bytes` is NULL with MemoryError
 * set. */
SpareBytes spare_copy(SpareBytes *spare, Slice data);

/* Gives `used` (stolen, may be empty) back: it becomes the spare object if there are no other
 * references to it. */
void spare_give(SpareBytes *spare, SpareBytes used);

void spare_clear(SpareBytes *spare);

#endif
