/* Python's raw memory for the libraries of the codings, so that it is counted where Python counts.
 * Thread: any; the GIL isn't needed.
 */
#ifndef FLUVIAL_CODING_MEMORY_H
#define FLUVIAL_CODING_MEMORY_H

#include "base/py.h"

/* z_stream.zalloc and zfree. */
void *coding_zalloc(void *opaque, unsigned n, unsigned size);
void coding_free(void *opaque, void *ptr);

/* The allocator of brotli's encoders and decoders, which free by coding_free. */
void *coding_alloc(void *opaque, size_t size);

#endif
