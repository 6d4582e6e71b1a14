/* Descriptors that no child process inherits: one system call on Linux, several elsewhere, where a
 * child that is started by another thread in between does inherit them.
 * Thread: any.
 */
#ifndef FLUVIAL_BASE_FD_H
#define FLUVIAL_BASE_FD_H

#include "base/system.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#if FLUVIAL_LINUX

/* accept(2): the new socket doesn't block. -1 with errno. */
static inline int
fd_accept(int listener, struct sockaddr *name, socklen_t *len)
{
    return accept4(listener, name, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* Makes `number` another name of the open file `fd`; what it named before is closed. -1 with errno. */
static inline int
fd_replace(int fd, int number)
{
    return dup3(fd, number, O_CLOEXEC);
}

#else

static inline int
fd_accept(int listener, struct sockaddr *name, socklen_t *len)
{
    int fd = accept(listener, name, len);
    if (fd >= 0) {
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    return fd;
}

static inline int
fd_replace(int fd, int number)
{
    int res = dup2(fd, number);
    if (res >= 0) {
        (void)fcntl(number, F_SETFD, FD_CLOEXEC);
    }
    return res;
}

#endif

#endif
