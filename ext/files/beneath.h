/* Opens a file below a directory, so that neither ".." nor a symbolic link leads out of it: openat2(2) with
 * RESOLVE_BENEATH. The kernel resolves the whole path at once, so nothing can be exchanged in between.
 * Thread: any.
 */
#ifndef FLUVIAL_FILES_BENEATH_H
#define FLUVIAL_FILES_BENEATH_H

#include "base/py.h"

/* The descriptor of the file at `path` below `directory`, open for reading; -1 with errno. EXDEV when the
 * path leads out of it, ENOSYS where the system has no such call. With `follow`, symbolic links may lead
 * out. */
int beneath_open(const char *directory, const char *path, bool follow);

#endif
