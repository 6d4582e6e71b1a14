/* See served_file.h. A file is looked at again, by stat(2), for each request; only then is what is kept of it
 * served. Before Linux 6.13, and on many network file systems, the times of files are as coarse as a clock
 * tick or worse, so two changes within one tick look alike. Therefore what changed a moment ago is served,
 * but not kept.
 */
#include "base/py.h"

#include "files/served_file.h"

#include "app/header_pairs.h"
#include "files/beneath.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { SETTLED = 2 }; /* seconds after which a change must show in a file's times */

static bool
time_eq(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Whether nothing has changed between the two. */
static bool
status_eq(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size
           && time_eq(a->st_mtim, b->st_mtim) && time_eq(a->st_ctim, b->st_ctim);
}

static bool
is_settled(const struct stat *status)
{
    time_t last = status->st_mtim.tv_sec > status->st_ctim.tv_sec
                      ? status->st_mtim.tv_sec
                      : status->st_ctim.tv_sec;
    return time(NULL) > last + SETTLED;
}

/* ---- Siblings ----------------------------------------------------------------------------- */

/* How their names end. br is as a rule the smallest. */
static const struct {
    Coding coding;
    const char *suffix;
} siblings_known[] = {
    {CODING_BROTLI, ".br"},
    {CODING_ZSTD, ".zst"},
    {CODING_GZIP, ".gz"},
};
enum { SIBLINGS = sizeof siblings_known / sizeof *siblings_known };

unsigned
served_siblings(const ServedFile *self, Coding codings[CODINGS])
{
    unsigned n = 0;
    for (int i = 0; i < SIBLINGS; i++) {
        Coding coding = siblings_known[i].coding;
        if (self->siblings & 1U << coding) {
            codings[n++] = coding;
        }
    }
    return n;
}

static const char *
sibling_suffix(Coding coding)
{
    for (int i = 0; i < SIBLINGS; i++) {
        if (siblings_known[i].coding == coding) {
            return siblings_known[i].suffix;
        }
    }
    return "";
}

/* Whether there is a compressed sibling that isn't older than the file. An older one has outdated content. Archives
 * round times to two seconds. */
static bool
sibling_is_there(const ServedFile *self, const char *suffix)
{
    char path[PATH_MAX];
    struct stat status;
    int len =
        snprintf(path, sizeof path, "%s%s", PyBytes_AS_STRING(self->path), suffix);
    return len < (int)sizeof path && stat(path, &status) == 0 && S_ISREG(status.st_mode)
           && status.st_mtim.tv_sec + 2 >= self->status.st_mtim.tv_sec;
}

/* The siblings that are there now. Only if something in the file's directory may have changed does it look at
 * each. */
static unsigned
siblings_look(ServedFile *self)
{
    char folder[PATH_MAX];
    struct stat parent;
    const char *path = PyBytes_AS_STRING(self->path);
    int len = (int)(strrchr(path, '/') - path);
    if (snprintf(folder, sizeof folder, "%.*s", len, path) >= (int)sizeof folder
        || stat(folder, &parent) != 0) {
        return 0;
    }
    if (status_eq(&parent, &self->parent) && is_settled(&parent)) {
        return self->siblings;
    }
    self->parent = parent;
    unsigned there = 0;
    for (int i = 0; i < SIBLINGS; i++) {
        if (sibling_is_there(self, siblings_known[i].suffix)) {
            there |= 1U << siblings_known[i].coding;
        }
    }
    return there;
}

bool
served_file_is_current(ServedFile *self)
{
    struct stat now;
    return self->settled && stat(PyBytes_AS_STRING(self->path), &now) == 0
           && status_eq(&now, &self->status)
           && (!self->negotiated || siblings_look(self) == self->siblings);
}

/* ---- Opening ------------------------------------------------------------------------------ */

/* Reads the content of a small file, and closes it. SERVED_ELSEWHERE when it can't be read as a whole. */
static ServedFound
content_read(ServedFile *self)
{
    Py_ssize_t size = (Py_ssize_t)self->status.st_size;
    self->content = PyBytes_FromStringAndSize(NULL, size);
    if (self->content == NULL) {
        return SERVED_FAILED;
    }
    ssize_t n = pread(self->fd, PyBytes_AS_STRING(self->content), (size_t)size, 0);
    (void)close(self->fd);
    self->fd = -1;
    return n == size ? SERVED_HERE : SERVED_ELSEWHERE;
}

static long long
changed_ns(const ServedFile *self)
{
    const struct timespec *changed = &self->status.st_mtim;
    return (long long)changed->tv_sec * 1000000000 + changed->tv_nsec;
}

int64_t
served_file_mtime(const ServedFile *self)
{
    return (int64_t)(1e-9 * (double)changed_ns(self));
}

/* Asks Python for the header fields. 0, or -1 with an exception set. */
static int
fields_ask(ServedFile *self, const ServedPlace *place)
{
    long long ns = changed_ns(self);
    Py_ssize_t named =
        PyBytes_GET_SIZE(self->path) - (Py_ssize_t)strlen(sibling_suffix(self->coding));
    bool varies = self->coding != CODING_NONE || self->siblings != 0;
    PyObject *facts = PyObject_CallFunction(
        place->describe, "y#LdLsOi", PyBytes_AS_STRING(self->path), named,
        (long long)self->status.st_size, 1e-9 * (double)ns, ns,
        coding_name(self->coding).ptr, varies ? Py_True : Py_False, place->status);
    PyObject *pairs, *unchanged, *etag, *modified; /* all borrowed */
    int err = -1;
    if (facts != NULL
        && PyArg_ParseTuple(facts, "OOSS", &pairs, &unchanged, &etag, &modified)) {
        self->etag = Py_NewRef(etag);
        self->modified = Py_NewRef(modified);
        err = fields_from_pairs(&self->fields, pairs);
        err = err < 0 ? err : fields_from_pairs(&self->fields_unchanged, unchanged);
    }
    Py_XDECREF(facts);
    return err;
}

/* As served_file_open, for the object itself. */
static ServedFound
served_open(ServedFile *self, const ServedPlace *place, const char *below)
{
    self->fd = beneath_open(PyBytes_AS_STRING(place->directory), below, place->follow);
    if (self->fd < 0) {
        return errno == ENOENT ? SERVED_MISSING : SERVED_ELSEWHERE;
    }
    if (fstat(self->fd, &self->status) != 0 || !S_ISREG(self->status.st_mode)) {
        return S_ISDIR(self->status.st_mode) ? SERVED_DIRECTORY : SERVED_ELSEWHERE;
    }
    self->settled = is_settled(&self->status);
    self->negotiated = place->precompressed && self->coding == CODING_NONE;
    self->siblings = self->negotiated ? siblings_look(self) : 0;
    if (fields_ask(self, place) < 0) {
        return SERVED_FAILED;
    }
    return self->status.st_size <= SERVED_SMALL ? content_read(self) : SERVED_HERE;
}

ServedFound
served_file_open(const FilesState *st, const ServedPlace *place, Slice below,
                 Coding coding, ServedFile **file)
{
    ServedFile *self = (ServedFile *)st->served_type->tp_alloc(st->served_type, 0);
    if (self == NULL) {
        return SERVED_FAILED;
    }
    self->fd = -1;
    self->coding = coding;
    self->path = PyBytes_FromFormat("%s/", PyBytes_AS_STRING(place->directory));
    size_t start = self->path == NULL ? 0 : (size_t)PyBytes_GET_SIZE(self->path);
    if (self->path != NULL) {
        PyBytes_ConcatAndDel(&self->path, slice_bytes(below));
    }
    if (self->path != NULL) {
        PyBytes_ConcatAndDel(&self->path, PyBytes_FromString(sibling_suffix(coding)));
    }
    ServedFound found =
        self->path == NULL
            ? SERVED_FAILED
            : served_open(self, place, PyBytes_AS_STRING(self->path) + start);
    if (found == SERVED_HERE) {
        *file = self;
    } else {
        Py_DECREF((PyObject *)self);
    }
    return found;
}

/* ---- The type ----------------------------------------------------------------------------- */

static void
served_file_dealloc(PyObject *op)
{
    ServedFile *self = (ServedFile *)op;
    PyTypeObject *type = Py_TYPE(op);
    if (self->fd >= 0) {
        (void)close(self->fd);
    }
    Py_XDECREF(self->path);
    Py_XDECREF(self->content);
    Py_XDECREF(self->etag);
    Py_XDECREF(self->modified);
    http_fields_free(&self->fields);
    http_fields_free(&self->fields_unchanged);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot served_file_slots[] = {
    {Py_tp_doc, "A file that is kept open, or its content."},
    {Py_tp_dealloc, served_file_dealloc},
    {0, NULL},
};

static PyType_Spec served_file_spec = {
    .name = "fluvial._core.ServedFile",
    .basicsize = sizeof(ServedFile),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = served_file_slots,
};

int
served_file_setup(PyObject *module, FilesState *st)
{
    st->served_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &served_file_spec, NULL);
    return st->served_type == NULL ? -1 : 0;
}
