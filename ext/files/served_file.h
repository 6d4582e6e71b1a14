/* A file that StaticFiles knows: what it looked like when it was opened, the header fields that go with it,
 * and its content or, if it is large, its descriptor. A sibling is the same file in a content coding: app.js.br
 * beside app.js.
 *
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_FILES_SERVED_FILE_H
#define FLUVIAL_FILES_SERVED_FILE_H

#include "base/py.h"
#include "coding/coding.h"
#include "files/files_state.h"
#include "http/response.h"

#include <sys/stat.h>

enum {
    /* Bytes: the content of files up to this size is kept. For larger ones it costs less when the kernel copies
     * them (bench/static.py). */
    SERVED_SMALL = 12 * 1024,
};

typedef struct ServedFile {
    PyObject_HEAD
    PyObject *path;     /* owned: bytes, absolute */
    Coding coding;      /* what the file is in; of a sibling */
    bool negotiated;    /* siblings are looked for */
    unsigned siblings;  /* those that were there: a bit for each Coding */
    struct stat parent; /* of the file's directory, when they were looked for */
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

/* What `describe` says of a file: describe(path: bytes, size: int, mtime: float, mtime_ns: int, coding: str,
 * varies: bool, status: int) returns (pairs of header fields, those of a 304 response, ETag, Last-Modified). `path` is
 * without a sibling's suffix; `coding` is "identity" for the file itself. */
typedef struct ServedPlace {
    PyObject *directory; /* bytes, absolute; borrowed, as all of these */
    bool follow;         /* symbolic links may lead out of it */
    bool precompressed;  /* siblings are looked for */
    PyObject *describe;
    int status; /* of a response with the file, when all is well */
} ServedPlace;

typedef enum ServedFound {
    SERVED_FAILED = -1, /* with an exception set, `describe`'s or MemoryError */
    SERVED_ELSEWHERE,   /* this isn't a file that can be served from here */
    SERVED_HERE,
    SERVED_MISSING, /* there is nothing at the path, and all before its last "/" is there or missing, too */
    SERVED_DIRECTORY, /* it is a directory */
} ServedFound;

/* Opens the file at `below`, which is a relative path, in the directory; or its sibling in the coding. A new
 * reference in *file if it is SERVED_HERE. */
ServedFound served_file_open(const FilesState *st, const ServedPlace *place,
                             Slice below, Coding coding, ServedFile **file);

/* Whether its path still leads to the file, neither that nor the set of its siblings has changed, and a change
 * would show. */
bool served_file_is_current(ServedFile *self);

/* The codings of the siblings, the server's favourite first; their number. */
unsigned served_siblings(const ServedFile *self, Coding codings[CODINGS]);

/* When the file was changed, in seconds since 1970, as Python's stat() rounds it. */
int64_t served_file_mtime(const ServedFile *self);

#endif
