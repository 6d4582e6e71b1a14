/* See beneath.h. The struct and the numbers are openat2(2)'s: the kernel headers that wheels are built
 * with are older than it.
 */
#include "base/py.h"

#include "files/beneath.h"

#include "base/system.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#if FLUVIAL_LINUX
#include <sys/syscall.h>
#endif

/* Not blocking, since a FIFO without a writer would stop the loop. */
enum { READING = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

#if FLUVIAL_LINUX

enum {
    OPENAT2 = 437, /* on all architectures */
    NO_MAGIC_LINKS = 0x02,
    BENEATH = 0x08,
};

typedef struct OpenHow {
    uint64_t flags, mode, resolve;
} OpenHow;

int
beneath_open(const char *directory, const char *path, bool follow)
{
    int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return -1;
    }
    OpenHow how = {.flags = READING, .resolve = BENEATH | NO_MAGIC_LINKS};
    int fd = follow ? openat(dir, path, READING)
                    : (int)syscall(OPENAT2, dir, path, &how, sizeof how);
    int err = errno;
    (void)close(dir);
    errno = err;
    return fd;
}

#else

int
beneath_open(const char *Py_UNUSED(directory), const char *Py_UNUSED(path),
             bool Py_UNUSED(follow))
{
    errno = ENOSYS;
    return -1;
}

#endif
