/* Lists of free blocks for HTTP/2 (see h2_mem.h), one for each multiple of H2_MEM_STEP bytes. A block begins with a head
 * that names its list, since nghttp2 frees without a size. Larger blocks come from the allocator and go back to it.
 * The loop's thread.
 */
#include "base/py.h"

#include "http/h2_mem.h"

#include <stdalign.h>
#include <stddef.h>

enum {
    H2_MEM_STEP = 64, /* bytes, a block's head among them */
    H2_MEM_LISTS = 9,
#ifdef __SANITIZE_ADDRESS__
    H2_MEM_KEPT = 0, /* or it would not notice who uses a freed block */
#else
    H2_MEM_KEPT = 256, /* free blocks in a list, at most: 0.7 MiB of all */
#endif
};

typedef struct MemHead MemHead;
struct MemHead {
    alignas(max_align_t) MemHead *next; /* of a free block */
    uint32_t list;                      /* its number; H2_MEM_LISTS: none */
};

struct H2Mem {
    unsigned refs;
    struct {
        MemHead *first; /* owned */
        unsigned n;
    } lists[H2_MEM_LISTS];
};

H2Mem *
h2_mem_new(void)
{
    H2Mem *mem = PyMem_RawCalloc(1, sizeof(*mem));
    if (mem != NULL) {
        mem->refs = 1;
    }
    return mem;
}

H2Mem *
h2_mem_ref(H2Mem *mem)
{
    mem->refs++;
    return mem;
}

void
h2_mem_unref(H2Mem *mem)
{
    if (mem == NULL || --mem->refs != 0) {
        return;
    }
    for (unsigned i = 0; i < H2_MEM_LISTS; i++) {
        while (mem->lists[i].first != NULL) {
            MemHead *head = mem->lists[i].first;
            mem->lists[i].first = head->next;
            PyMem_RawFree(head);
        }
    }
    PyMem_RawFree(mem);
}

void *
h2_mem_get(H2Mem *mem, size_t size)
{
    if (size > PY_SSIZE_T_MAX - sizeof(MemHead)) {
        return NULL;
    }
    size_t whole = size + sizeof(MemHead);
    size_t list = (whole - 1) / H2_MEM_STEP;
    if (list < H2_MEM_LISTS && mem->lists[list].first != NULL) {
        MemHead *head = mem->lists[list].first;
        mem->lists[list].first = head->next;
        mem->lists[list].n--;
        return head + 1;
    }
    bool listed = list < H2_MEM_LISTS;
    MemHead *head = PyMem_RawMalloc(listed ? (list + 1) * H2_MEM_STEP : whole);
    if (head == NULL) {
        return NULL;
    }
    head->list = listed ? (uint32_t)list : H2_MEM_LISTS;
    return head + 1;
}

void
h2_mem_put(H2Mem *mem, void *block)
{
    if (block == NULL) {
        return;
    }
    MemHead *head = (MemHead *)block - 1;
    if (head->list == H2_MEM_LISTS || mem->lists[head->list].n == H2_MEM_KEPT) {
        PyMem_RawFree(head);
        return;
    }
    head->next = mem->lists[head->list].first;
    mem->lists[head->list].first = head;
    mem->lists[head->list].n++;
}

/* ---- nghttp2's ------------------------------------------------------------------------------- */

static void *
mem_malloc(size_t size, void *mem)
{
    return h2_mem_get(mem, size);
}

static void
mem_free(void *block, void *mem)
{
    h2_mem_put(mem, block);
}

static void *
mem_calloc(size_t n, size_t size, void *mem)
{
    size_t whole;
    if (__builtin_mul_overflow(n, size, &whole)) {
        return NULL;
    }
    void *block = h2_mem_get(mem, whole);
    return block == NULL ? NULL : memset(block, 0, whole);
}

/* Of a block in no list the size isn't known: such a one stays outside the lists. */
static void *
mem_realloc(void *block, size_t size, void *mem)
{
    if (block == NULL) {
        return h2_mem_get(mem, size);
    }
    MemHead *head = (MemHead *)block - 1;
    if (size > PY_SSIZE_T_MAX - sizeof(MemHead)) {
        return NULL;
    }
    if (head->list == H2_MEM_LISTS) {
        MemHead *moved = PyMem_RawRealloc(head, sizeof(MemHead) + size);
        return moved == NULL ? NULL : moved + 1;
    }
    size_t room = ((size_t)head->list + 1) * H2_MEM_STEP - sizeof(MemHead);
    if (size <= room) {
        return block;
    }
    void *larger = h2_mem_get(mem, size);
    if (larger != NULL) {
        memcpy(larger, block, room);
        h2_mem_put(mem, block);
    }
    return larger;
}

nghttp2_mem
h2_mem_for_session(H2Mem *mem)
{
    return (nghttp2_mem){.mem_user_data = mem,
                         .malloc = mem_malloc,
                         .free = mem_free,
                         .calloc = mem_calloc,
                         .realloc = mem_realloc};
}
