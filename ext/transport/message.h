/* Receiving several datagrams: by one system call on Linux, by one each elsewhere.
 * Thread: any.
 */
#ifndef FLUVIAL_TRANSPORT_MESSAGE_H
#define FLUVIAL_TRANSPORT_MESSAGE_H

#include "base/system.h"

#include <sys/socket.h>

#if FLUVIAL_LINUX

typedef struct mmsghdr Message;

/* Receives up to `max` datagrams without waiting. Returns their number, or -1 with errno. */
static inline int
messages_receive(int fd, Message *messages, int max)
{
    return recvmmsg(fd, messages, (unsigned)max, MSG_DONTWAIT, NULL);
}

#else

typedef struct Message {
    struct msghdr msg_hdr;
    unsigned msg_len; /* of the datagram that was received */
} Message;

/* An error after the first datagram is left to the next call, which meets it again. */
static inline int
messages_receive(int fd, Message *messages, int max)
{
    for (int i = 0; i < max; i++) {
        ssize_t n = recvmsg(fd, &messages[i].msg_hdr, MSG_DONTWAIT);
        if (n < 0) {
            return i > 0 ? i : -1;
        }
        messages[i].msg_len = (unsigned)n;
    }
    return max;
}

#endif

#endif
