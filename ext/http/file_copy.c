/* Repeats sendfile(2) until the part is copied or the caller has something to do (see file_copy.h).
 * Elsewhere than on Linux, libuv's function of that name.
 */
#include "base/py.h"

#include "http/file_copy.h"

#include "base/system.h"

#include <errno.h>
#include <uv.h>
#if FLUVIAL_LINUX
#include <sys/sendfile.h>
#endif

enum {
    AT_ONCE = 1024 * 1024, /* most bytes in one sendfile() */
    A_TURN = 16,           /* calls of sendfile() until another job gets the thread */
};

#if !FLUVIAL_LINUX

/* sendfile(2) in Linux's form, by libuv, which knows the others' and copies where there is none. */
static ssize_t
sendfile(int socket, int file, off_t *offset, size_t size)
{
    uv_fs_t req;
    int n = uv_fs_sendfile(NULL, &req, socket, file, *offset, size, NULL);
    uv_fs_req_cleanup(&req);
    if (n < 0) {
        errno = -n;
        return -1;
    }
    *offset += n;
    return n;
}

#endif

/* The result of file_copy when sendfile() has failed with `err`. */
static FileCopied
copied_none(int err)
{
    switch (err) {
    case EAGAIN:
        return FILE_FULL;
    case EINTR:
        return FILE_TURN;
    case EBADF: /* means the file: the socket's descriptor is the caller's own */
    case EINVAL:
    case EIO:
    case EISDIR:
    case ENOMEM:
    case ENOSYS:
    case EOVERFLOW:
    case ESPIPE:
        return FILE_ENDED;
    default:
        return FILE_GONE;
    }
}

FileCopied
file_copy(int socket, FilePart *part)
{
    for (int i = 0; part->left > 0; i++) {
        if (i == A_TURN) {
            return FILE_TURN;
        }
        size_t size = part->left < AT_ONCE ? (size_t)part->left : AT_ONCE;
        ssize_t n = sendfile(socket, part->fd, &part->offset, size);
        if (n < 0) {
            return copied_none(errno);
        }
        if (n == 0) {
            return FILE_ENDED;
        }
        part->left -= n;
    }
    return FILE_COPIED;
}
