/* Memory for HTTP/2: what each request allocates a few pieces of, by nghttp2 and by us, is kept in lists for the next
 * one. All connections of a server share an H2Mem, which is counted: the server has one reference, each H2Conn another.
 * Thread: the loop's, one at a time; the GIL is not needed.
 */
#ifndef FLUVIAL_HTTP_H2_MEM_H
#define FLUVIAL_HTTP_H2_MEM_H

#include "base/py.h"

#include <nghttp2/nghttp2.h>

typedef struct H2Mem H2Mem;

/* One reference; NULL when out of memory. */
H2Mem *h2_mem_new(void);
H2Mem *h2_mem_ref(H2Mem *mem);
/* Frees the lists with the last reference. */
void h2_mem_unref(H2Mem *mem);

/* As malloc and free: `block` may be NULL. Any H2Mem of the server may free what it has given, and nothing else. */
void *h2_mem_get(H2Mem *mem, size_t size);
void h2_mem_put(H2Mem *mem, void *block);

/* For nghttp2: its allocator, which it copies. `mem` is borrowed, for as long as the session lives. */
nghttp2_mem h2_mem_for_session(H2Mem *mem);

#endif
