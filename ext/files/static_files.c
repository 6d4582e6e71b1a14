/* See static_files.h. What is served here is the plain case: GET and HEAD of an existing regular file, at once
 * or as 304. Everything else is passed on unchanged to the other Mount, which is the same StaticFiles as an
 * ASGI app (ADR 25): directories, missing files, ranges, dates that must be compared.
 */
#include "base/py.h"

#include "files/static_files.h"

#include "app/app_state.h"
#include "app/call.h"
#include "app/header_pairs.h"
#include "base/made.h"
#include "coding/coding.h"
#include "files/file_answer.h"
#include "files/file_turns.h"
#include "files/served_file.h"
#include "http/compressor.h"
#include "http/response.h"

#include <llhttp.h>

typedef struct StaticFiles {
    Mount mount;
    bool initialised; /* __init__ was called */
    FilesState *st;   /* borrowed from the module, which the type keeps alive */
    Mount *app;       /* owned: responds to what isn't served here */
    PyObject *prefix; /* owned: bytes, where the app is mounted */
    PyObject *directory, *describe; /* owned: see ServedPlace */
    bool follow, precompressed;
    PyObject *
        kept; /* owned: dict of path below (see static_key) → ServedFile, the oldest first */
    Py_ssize_t most_files;
    int64_t most_bytes;
    int64_t bytes; /* of the contents in `kept` */
} StaticFiles;

/* ---- What is kept ------------------------------------------------------------------------- */

static int64_t
kept_size(const ServedFile *file)
{
    return file->content == NULL ? 0 : (int64_t)PyBytes_GET_SIZE(file->content);
}

/* Drops what is kept for the path, if anything is. 0, or -1 with an exception set. */
static int
kept_drop(StaticFiles *self, PyObject *below)
{
    PyObject *file = PyDict_GetItemWithError(self->kept, below); /* borrowed */
    if (file == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    self->bytes -= kept_size((ServedFile *)file);
    return PyDict_DelItem(self->kept, below);
}

static bool
kept_is_full(const StaticFiles *self, const ServedFile *more)
{
    return PyDict_GET_SIZE(self->kept) != 0
           && (PyDict_GET_SIZE(self->kept) >= self->most_files
               || self->bytes + kept_size(more) > self->most_bytes);
}

/* Keeps the file, in the place of the oldest ones if there are too many. 0, or -1 with an exception set. */
static int
kept_add(StaticFiles *self, PyObject *below, ServedFile *file)
{
    if (!file->settled || self->most_files == 0 || kept_size(file) > self->most_bytes) {
        return 0;
    }
    while (kept_is_full(self, file)) {
        Py_ssize_t at = 0;
        PyObject *oldest = NULL;
        (void)PyDict_Next(self->kept, &at, &oldest, NULL);
        Py_INCREF(oldest);
        int err = kept_drop(self, oldest);
        Py_DECREF(oldest);
        if (err < 0) {
            return -1;
        }
    }
    if (PyDict_SetItem(self->kept, below, (PyObject *)file) < 0) {
        return -1;
    }
    self->bytes += kept_size(file);
    return 0;
}

/* The file at the path, or its sibling in a coding, kept or opened now. 1 with a new reference in *file, 0 when
 * it can't be served from here, -1 with an exception set. `below` is the key, too: see static_key. */
static int
kept_find(StaticFiles *self, PyObject *below, Coding coding, ServedFile **file)
{
    PyObject *kept = PyDict_GetItemWithError(self->kept, below); /* borrowed */
    if (kept != NULL && served_file_is_current((ServedFile *)kept)) {
        *file = (ServedFile *)Py_NewRef(kept);
        return 1;
    }
    if (kept_drop(self, below) < 0) {
        return -1;
    }
    const ServedPlace place = {self->directory, self->follow, self->precompressed,
                               self->describe};
    const char *path = PyBytes_AS_STRING(below); /* a key's path ends at its NUL */
    int found =
        served_file_open(self->st, &place, slice_of(path, strlen(path)), coding, file);
    if (found == 1 && kept_add(self, below, *file) < 0) {
        Py_CLEAR(*file);
        return -1;
    }
    return found;
}

/* ---- The request -------------------------------------------------------------------------- */

/* Whether the path, which is below the mount, names a file in one way only: no empty segment, "." or "..",
 * no NUL, and no "\" for systems where it is a slash. */
static bool
is_plain_path(Slice path)
{
    size_t start = 0;
    for (size_t i = 0; i <= path.len; i++) {
        char c = i == path.len ? '/' : path.ptr[i];
        if (c == '\0' || c == '\\') {
            return false;
        }
        if (c == '/') {
            size_t len = i - start;
            bool dots = len != 0 && len <= 2 && path.ptr[start] == '.'
                        && path.ptr[i - 1] == '.';
            if (len == 0 || dots) {
                return false;
            }
            start = i + 1;
        }
    }
    return true;
}

/* The path below the mount; empty when the request isn't the plain case. */
static Slice
static_path(const StaticFiles *self, HttpRequest *req)
{
    const Slice none = {NULL, 0};
    bool reads = req->method == HTTP_GET || req->method == HTTP_HEAD;
    if (!reads || req->has_body || req->upgrade >= 0) {
        return none;
    }
    Slice path = call_path(req);
    size_t skipped = (size_t)PyBytes_GET_SIZE(self->prefix) + 1;
    if (path.len <= skipped) {
        return none;
    }
    path = slice_of(path.ptr + skipped, path.len - skipped);
    return is_plain_path(path) ? path : none;
}

/* The cache's key for the path. A compressed sibling's key has a NUL, so that it can't equal a path. A new reference,
 * or NULL with MemoryError set. */
static PyObject *
static_key(Slice path, Coding coding)
{
    if (coding == CODING_NONE) {
        return slice_bytes(path);
    }
    PyObject *key = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)path.len + 2);
    if (key != NULL) {
        char *text = PyBytes_AS_STRING(key);
        memcpy(text, path.ptr, path.len);
        text[path.len] = '\0';
        text[path.len + 1] = (char)('0' + coding);
    }
    return key;
}

/* As kept_find, by the request's path. */
static int
static_find(StaticFiles *self, Slice path, Coding coding, ServedFile **file)
{
    PyObject *key = static_key(path, coding);
    int found = key == NULL ? -1 : kept_find(self, key, coding, file);
    Py_XDECREF(key);
    return found;
}

/* The coding of the sibling that the client likes best; CODING_NONE when the file itself is as good. */
static Coding
static_coding(const HttpRequest *req, const ServedFile *file)
{
    Coding there[CODINGS];
    unsigned n = served_siblings(file, there);
    return n == 0 ? CODING_NONE : http_accepted_coding(req, there, n);
}

/* Puts the sibling that the client likes best in the file's place. As kept_find. */
static int
static_negotiate(StaticFiles *self, HttpRequest *req, Slice path, ServedFile **file)
{
    Coding coding = static_coding(req, *file);
    ServedFile *sibling = NULL;
    int found = coding == CODING_NONE ? 0 : static_find(self, path, coding, &sibling);
    if (found == 1) {
        Py_SETREF(*file, sibling);
    }
    return found < 0 ? -1 : 1;
}

/* Responds if it can: 1 when it has, 0 when the other Mount must, -1 with an exception set. */
static int
static_respond(StaticFiles *self, HttpRequest *req)
{
    Slice path = static_path(self, req);
    if (path.len == 0) {
        return 0;
    }
    ServedFile *file = NULL;
    int found = static_find(self, path, CODING_NONE, &file);
    if (found == 1) {
        found = static_negotiate(self, req, path, &file);
    }
    if (found != 1) {
        Py_XDECREF((PyObject *)file);
        return found;
    }
    found = file_answer(self->st, req, file);
    Py_DECREF((PyObject *)file);
    return found;
}

/* ---- What dispatch.c calls ---------------------------------------------------------------- */

/* The request is the other Mount's from now on. */
static HttpBodyMode
static_pass_on(HttpRequest *req, const StaticFiles *self)
{
    call_of(req)->mount = self->app;
    return self->app->ops->head(req);
}

static HttpBodyMode
static_head(HttpRequest *req)
{
    const StaticFiles *self = (StaticFiles *)call_of(req)->mount;
    return static_path(self, req).len != 0 ? HTTP_BODY_DISCARD
                                           : static_pass_on(req, self);
}

static void
static_request(HttpRequest *req, Mount *mount)
{
    StaticFiles *self = (StaticFiles *)mount;
    int done = static_respond(self, req);
    if (done < 0) {
        PyErr_WriteUnraisable(
            (PyObject *)self); /* the app meets it again, and responds */
    }
    if (done <= 0) {
        (void)static_pass_on(req, self);
        self->app->ops->request(req, self->app);
    }
}

static void
static_body(HttpRequest *Py_UNUSED(req), Slice Py_UNUSED(piece))
{
}

static void
static_body_end(HttpRequest *Py_UNUSED(req))
{
}

static const MountOps static_ops = {
    .head = static_head,
    .request = static_request,
    .body = static_body,
    .body_end = static_body_end,
    .gone = file_turns_gone,
    .writable = file_turns_writable,
    .websockets = true, /* they are passed on */
};

/* ---- The type ----------------------------------------------------------------------------- */

static int
static_fill(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"app",    "prefix",        "directory",
                                        "follow", "precompressed", "describe",
                                        "files",  "memory",        NULL};
    StaticFiles *self = (StaticFiles *)op;
    PyObject *app, *prefix, *directory, *describe; /* all borrowed */
    int follow, precompressed;
    long long memory;
    Py_ssize_t files;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O$SSppOnL:StaticFiles",
                                     (char **)names, &app, &prefix, &directory, &follow,
                                     &precompressed, &describe, &files, &memory)) {
        return -1;
    }
    PyObject *module = PyType_GetModule(Py_TYPE(op));
    Mount *mount = mount_check(app_state(module), app);
    if (mount == NULL) {
        return -1;
    }
    self->st = files_state(module);
    self->kept = PyDict_New();
    if (self->kept == NULL) {
        return -1;
    }
    self->app = (Mount *)Py_NewRef((PyObject *)mount);
    self->prefix = Py_NewRef(prefix);
    self->directory = Py_NewRef(directory);
    self->describe = Py_NewRef(describe);
    self->follow = follow != 0;
    self->precompressed = precompressed != 0;
    self->most_files = files;
    self->most_bytes = memory;
    self->mount.ops = &static_ops;
    return 0;
}

static PyObject *
static_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return object_made(type, args, kwargs, static_fill);
}

static int
static_init(PyObject *op, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return object_init_once(op, &((StaticFiles *)op)->initialised);
}

/* The dict needs no visit: what it holds is in no cycle. */
static int
static_traverse(PyObject *op, visitproc visit, void *arg)
{
    StaticFiles *self = (StaticFiles *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT((PyObject *)self->app);
    Py_VISIT(self->describe);
    return 0;
}

static int
static_clear(PyObject *op)
{
    StaticFiles *self = (StaticFiles *)op;
    Py_CLEAR(self->describe);
    return 0;
}

static void
static_dealloc(PyObject *op)
{
    StaticFiles *self = (StaticFiles *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)static_clear(op);
    Py_XDECREF((PyObject *)self->app);
    Py_XDECREF(self->prefix);
    Py_XDECREF(self->directory);
    Py_XDECREF(self->kept);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot static_slots[] = {
    {Py_tp_doc, "Serves files below a directory, for Server's `mounts`."},
    {Py_tp_new, static_new},
    {Py_tp_init, static_init},
    {Py_tp_traverse, static_traverse},
    {Py_tp_clear, static_clear},
    {Py_tp_dealloc, static_dealloc},
    {0, NULL},
};

static PyType_Spec static_spec = {
    .name = "fluvial._core.StaticFiles",
    .basicsize = sizeof(StaticFiles),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = static_slots,
};

int
static_files_setup(PyObject *module, FilesState *st)
{
    PyObject *base = (PyObject *)app_state(module)->mount_type; /* borrowed */
    st->static_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &static_spec, base);
    return st->static_type == NULL ? -1 : PyModule_AddType(module, st->static_type);
}
