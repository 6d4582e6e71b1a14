/* Growth and release of Buf (see buf.h). Raw memory only, so any thread may call with or
 * without the GIL.
 */
#include "base/py.h"

#include "base/buf.h"

#include <uv.h>

enum { BUF_SMALLEST = 256 };

int
buf_reserve_slow(Buf *buf, size_t more)
{
    if (more > (size_t)PY_SSIZE_T_MAX - buf->len) {
        return UV_ENOMEM;
    }
    size_t need = buf->len + more;
    size_t cap = buf->cap < BUF_SMALLEST ? BUF_SMALLEST : buf->cap + buf->cap / 2;
    if (cap < need) {
        cap = need;
    }
    char *ptr = PyMem_RawRealloc(buf->ptr, cap);
    if (ptr == NULL) {
        return UV_ENOMEM;
    }
    buf->ptr = ptr;
    buf->cap = cap;
    return 0;
}

void
buf_free(Buf *buf)
{
    PyMem_RawFree(buf->ptr);
    *buf = (Buf){NULL, 0, 0};
}

void
buf_reset(Buf *buf, size_t keep)
{
    if (buf->cap > keep) {
        buf_free(buf);
    }
    buf->len = 0;
}

void
buf_consume(Buf *buf, size_t n)
{
    assert(n <= buf->len);
    buf->len -= n;
    if (n != 0 && buf->len != 0) {
        memmove(buf->ptr, buf->ptr + n, buf->len);
    }
}
