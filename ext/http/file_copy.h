/* A part of a file to a socket by the kernel, sendfile(2). Any thread, without the GIL: it may block
 * on the file, never on the socket, which is in non-blocking mode.
 * Thread: any; without the GIL, because it may block.
 */
#ifndef FLUVIAL_HTTP_FILE_COPY_H
#define FLUVIAL_HTTP_FILE_COPY_H

#include "base/py.h"

#include <sys/types.h>

enum {
    FILE_SMALL = 64 * 1024
}; /* bytes: reading them costs less than lending a socket */

typedef struct FilePart {
    int fd;       /* borrowed */
    off_t offset; /* of the next byte; the descriptor's own position doesn't count */
    int64_t left; /* bytes */
} FilePart;

typedef enum FileCopied {
    FILE_COPIED, /* all of it */
    FILE_TURN,   /* enough for one call; there is more */
    FILE_FULL,   /* the socket takes no more for now */
    FILE_ENDED,  /* before its end: the file is shorter, or the kernel can't copy it */
    FILE_GONE,   /* the socket is connected no more */
} FileCopied;

/* Copies as much as it can, and moves the part's beginning past that. */
FileCopied file_copy(int socket, FilePart *part);

#endif
