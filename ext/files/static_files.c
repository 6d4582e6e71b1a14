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
    bool follow, precompressed, html;
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

/* The file at the path, or its sibling in a coding, kept or opened now. As served_file_open. `below` is the key,
 * too: see static_key. */
static ServedFound
kept_find(StaticFiles *self, PyObject *below, Coding coding, int status,
          ServedFile **file)
{
    PyObject *kept = PyDict_GetItemWithError(self->kept, below); /* borrowed */
    if (kept != NULL && served_file_is_current((ServedFile *)kept)) {
        *file = (ServedFile *)Py_NewRef(kept);
        return SERVED_HERE;
    }
    if (kept_drop(self, below) < 0) {
        return SERVED_FAILED;
    }
    const ServedPlace place = {self->directory, self->follow, self->precompressed,
                               self->describe, status};
    const char *path = PyBytes_AS_STRING(below); /* a key's path ends at its NUL */
    ServedFound found =
        served_file_open(self->st, &place, slice_of(path, strlen(path)), coding, file);
    if (found == SERVED_HERE && kept_add(self, below, *file) < 0) {
        Py_CLEAR(*file);
        return SERVED_FAILED;
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

/* Which file is sent. */
typedef struct Wanted {
    Slice path, tail; /* in a row: its path below the directory */
    int status;       /* 404 for what is sent in the place of a missing file */
} Wanted;

/* Looks at the request. False when it isn't the plain case. With `html` a directory, whose path ends with a slash
 * or is empty, stands for its index.html. */
static bool
static_wants(const StaticFiles *self, HttpRequest *req, Wanted *wanted)
{
    bool reads = req->method == HTTP_GET || req->method == HTTP_HEAD;
    if (!reads || req->has_body || req->upgrade >= 0) {
        return false;
    }
    Slice path = call_path(req);
    size_t skipped = (size_t)PyBytes_GET_SIZE(self->prefix) + 1;
    if (path.len < skipped || (path.len == skipped && !self->html)) {
        return false;
    }
    path = slice_of(path.ptr + skipped, path.len - skipped);
    *wanted = (Wanted){path, SLICE(""), 200};
    if (path.len == 0) {
        wanted->tail = SLICE("index.html");
        return true;
    }
    if (self->html && path.ptr[path.len - 1] == '/') {
        wanted->path.len--;
        wanted->tail = SLICE("/index.html");
    }
    return is_plain_path(wanted->path);
}

/* The cache's key for the file. It is the path alone for the file itself. Otherwise a NUL follows, so that it can't
 * equal a path. A new reference, or NULL with MemoryError set. */
static PyObject *
static_key(const Wanted *wanted, Coding coding)
{
    size_t path = wanted->path.len, tail = wanted->tail.len;
    size_t more = coding == CODING_NONE && wanted->status == 200 ? 0 : 3;
    PyObject *key = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(path + tail + more));
    if (key != NULL) {
        char *text = PyBytes_AS_STRING(key);
        memcpy(text, wanted->path.ptr, path);
        memcpy(text + path, wanted->tail.ptr, tail);
        if (more != 0) {
            text[path + tail] = '\0';
            text[path + tail + 1] = (char)('0' + coding);
            text[path + tail + 2] = wanted->status == 200 ? '+' : '-';
        }
    }
    return key;
}

/* As kept_find. */
static ServedFound
static_find(StaticFiles *self, const Wanted *wanted, Coding coding, ServedFile **file)
{
    PyObject *key = static_key(wanted, coding);
    ServedFound found = key == NULL
                            ? SERVED_FAILED
                            : kept_find(self, key, coding, wanted->status, file);
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

/* The file, or in its place the sibling that the client likes best. As kept_find. */
static ServedFound
static_negotiate(StaticFiles *self, HttpRequest *req, const Wanted *wanted,
                 ServedFile **file)
{
    ServedFound found = static_find(self, wanted, CODING_NONE, file);
    Coding coding = found == SERVED_HERE ? static_coding(req, *file) : CODING_NONE;
    if (coding == CODING_NONE) {
        return found;
    }
    ServedFile *sibling = NULL;
    found = static_find(self, wanted, coding, &sibling);
    if (found == SERVED_HERE) {
        Py_SETREF(*file, sibling);
    }
    if (found == SERVED_FAILED) {
        Py_CLEAR(*file);
        return SERVED_FAILED;
    }
    return SERVED_HERE;
}

/* Responds with 404.html, if there is one. As static_respond. */
static int
static_respond_missing(StaticFiles *self, HttpRequest *req)
{
    const Wanted wanted = {SLICE("404.html"), SLICE(""), 404};
    ServedFile *file = NULL;
    ServedFound found = static_negotiate(self, req, &wanted, &file);
    if (found == SERVED_HERE) {
        file_answer_missing(self->st, req, file);
        Py_DECREF((PyObject *)file);
    }
    return found == SERVED_FAILED ? -1 : found == SERVED_HERE;
}

/* Redirects to a directory, if it has an index.html. As static_respond. */
static int
static_respond_directory(StaticFiles *self, HttpRequest *req, Slice path)
{
    const Wanted wanted = {path, SLICE("/index.html"), 200};
    ServedFile *index = NULL;
    ServedFound found = static_find(self, &wanted, CODING_NONE, &index);
    Py_XDECREF((PyObject *)index);
    if (found == SERVED_MISSING) {
        return static_respond_missing(self, req);
    }
    return found == SERVED_FAILED ? -1
                                  : found == SERVED_HERE && file_answer_redirect(req);
}

/* Responds if it can: 1 when it has, 0 when the other Mount must, -1 with an exception set. */
static int
static_respond(StaticFiles *self, HttpRequest *req)
{
    Wanted wanted;
    if (!static_wants(self, req, &wanted)) {
        return 0;
    }
    ServedFile *file = NULL;
    ServedFound found = static_negotiate(self, req, &wanted, &file);
    if (found == SERVED_HERE) {
        int done = file_answer(self->st, req, file);
        Py_DECREF((PyObject *)file);
        return done;
    }
    if (found == SERVED_DIRECTORY && self->html && wanted.tail.len == 0) {
        return static_respond_directory(self, req, wanted.path);
    }
    if (found == SERVED_MISSING && self->html) {
        return static_respond_missing(self, req);
    }
    return found == SERVED_FAILED ? -1 : 0;
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
    Wanted wanted;
    return static_wants(self, req, &wanted) ? HTTP_BODY_DISCARD
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
    static const char *const names[] = {
        "app",           "prefix",   "directory", "html",   "follow",
        "precompressed", "describe", "files",     "memory", NULL};
    StaticFiles *self = (StaticFiles *)op;
    PyObject *app, *prefix, *directory, *describe; /* all borrowed */
    int html, follow, precompressed;
    long long memory;
    Py_ssize_t files;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O$SSpppOnL:StaticFiles", (char **)names, &app, &prefix,
            &directory, &html, &follow, &precompressed, &describe, &files, &memory)) {
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
    self->html = html != 0;
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
