/* Copies a part of a file to a socket inside the kernel, with sendfile(2).
 * Thread: any, without the GIL: it may block on the file. It never blocks on the socket, which is in
 * non-blocking mode.
 */
#ifndef FLUVIAL_HTTP_FILE_COPY_H
#define FLUVIAL_HTTP_FILE_COPY_H

#include "base/py.h"

#include <sys/types.h>

enum {
    FILE_SMALL = 64 * 1024
}; /* bytes: up to this size, reading the file costs less than lending the socket */

typedef struct FilePart {
    int fd;       /* borrowed */
    off_t offset; /* of the next byte; the descriptor's own position isn't used */
    int64_t left; /* bytes */
} FilePart;

typedef enum FileCopied {
    FILE_COPIED, /* all of it */
    FILE_TURN,   /* as much as one call may copy; there is more */
    FILE_FULL,   /* the socket takes no more for now */
    FILE_ENDED,  /* stopped early: the file is shorter, or the kernel can't copy it */
    FILE_GONE,   /* the socket is no longer connected */
} FileCopied;

/* Copies as much as it can, and advances `part` by that much. */
FileCopied file_copy(int socket, FilePart *part);

#endif
