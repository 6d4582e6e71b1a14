/* A file that StaticFiles knows: what it looked like when it was opened, the header fields that go with it,
 * and its content or, if it is large, its descriptor.
 *
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_FILES_SERVED_FILE_H
#define FLUVIAL_FILES_SERVED_FILE_H

#include "base/py.h"
#include "files/files_state.h"
#include "http/response.h"

#include <sys/stat.h>

enum {
    SERVED_SMALL = 64 * 1024, /* bytes: the content of files up to this size is kept */
};

typedef struct ServedFile {
    PyObject_HEAD
    PyObject *path;     /* owned: bytes, absolute */
    struct stat status; /* when it was opened */
    int fd;             /* of a large file; -1: the content is in `content` */
    PyObject *content;  /* owned: bytes, or NULL */
    bool settled;       /* changed long enough ago for a change to show in its times */
    HttpFields fields;  /* of a response with the file */
    HttpFields fields_unchanged; /* of a 304 response */
    PyObject *etag, *modified; /* owned: bytes, the values of ETag and Last-Modified */
} ServedFile;

/* Creates FilesState.served_type: 0, or -1 with an exception set. */
int served_file_setup(PyObject *module, FilesState *st);

/* What `describe` says of a file: describe(path: bytes, size: int, mtime: float, mtime_ns: int) returns
 * (pairs of header fields, those of a 304 response, ETag, Last-Modified). */
typedef struct ServedPlace {
    PyObject *directory; /* bytes, absolute; borrowed, as all of these */
    bool follow;         /* symbolic links may lead out of it */
    PyObject *describe;
} ServedPlace;

/* Opens the file at `below`, which is a relative path, in the directory. 1 with a new reference in *file; 0
 * when this isn't a file that can be served from here; -1 with an exception set, `describe`'s or
 * MemoryError. */
int served_file_open(const FilesState *st, const ServedPlace *place, Slice below,
                     ServedFile **file);

/* Whether its path still leads to the file, and that hasn't changed. */
bool served_file_is_current(const ServedFile *self);

#endif
