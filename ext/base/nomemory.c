/* The tests' way to see what happens when there is no memory: a Python module of its own, `nomemory`,
 * that makes chosen allocations fail. Only tests compile it (support/nomemory.py), with
 * FLUVIAL_TEST_HOOKS; the extension contains nothing of it, and pays nothing.
 *
 * It stands before Python's three allocators, which is where all memory of ext/ comes from (raw memory,
 * memory with the GIL, objects; coding/memory.c leads zlib and the others there, too), and before
 * OpenSSL's if it is loaded before anything else has used that. What libuv allocates isn't seen: it
 * aborts the process by itself when that fails.
 * Thread: any; without the GIL, too. All counts are atomic.
 */
#ifdef FLUVIAL_TEST_HOOKS
#include "base/py.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>

static PyMemAllocatorEx allocators[3]; /* Python's own, by PyMemAllocatorDomain */
static atomic_llong nth;               /* of the allocations since the last fail() */
static atomic_llong first_to_fail;     /* 0: none fails */
static atomic_llong last_to_fail;
static atomic_llong blocks; /* allocated and not freed, since the module was loaded */
static _Thread_local bool exempt;

enum {
    FRAMES = 64,
    NSPARED = 8,
    LONGEST = 64,
};
static char spared[NSPARED][LONGEST];
static atomic_bool only_ours;     /* spare what Python code needs itself */
static void *last_frames[FRAMES]; /* who was the last to get none */
static atomic_int nlast_frames;

/* Whether the text (borrowed) has one of the parts in `spared`. */
static bool
name_is_spared(const char *name)
{
    for (int i = 0; i < NSPARED && spared[i][0] != '\0'; i++) {
        if (strstr(name, spared[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* Whether the Python code that runs is in a file that is spared. */
static bool
code_is_spared(void)
{
    PyThreadState *thread = PyGILState_Check() ? PyThreadState_Get() : NULL;
    if (thread == NULL) {
        return false;
    }
    bool collecting = PyGC_Disable() != 0; /* not within an allocation */
    PyFrameObject *frame = PyThreadState_GetFrame(thread);
    bool is_spared = false;
    if (frame != NULL) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        const char *name = PyUnicode_AsUTF8(code->co_filename);
        is_spared = name != NULL && name_is_spared(name);
        Py_DECREF(code);
        Py_DECREF(frame);
    }
    if (collecting) {
        (void)PyGC_Enable();
    }
    return is_spared;
}

/* Whether a library in `spared` (parts of their files' names) is nearer on the stack than any function of ours. Such
 * a library crashes when malloc fails. */
static bool
caller_is_spared(void)
{
    void *frames[FRAMES];
    int n = backtrace(frames, FRAMES);
    bool is_spared = false;
    for (int i = 0; i < n && !is_spared; i++) {
        Dl_info info;
        if (dladdr(frames[i], &info) == 0 || info.dli_fname == NULL) {
            continue;
        }
        if (strstr(info.dli_fname, "/fluvial/_core") != NULL) {
            break;
        }
        is_spared = name_is_spared(info.dli_fname)
                    || (only_ours && info.dli_sname != NULL
                        && strcmp(info.dli_sname, "_PyEval_EvalFrameDefault") == 0);
    }
    if (!is_spared) {
        memcpy(last_frames, frames, (size_t)n * sizeof *frames);
        nlast_frames = n;
    }
    return is_spared;
}

static bool
allocation_fails(void)
{
    long long first = atomic_load(&first_to_fail);
    if (first == 0 || exempt) {
        return false;
    }
    long long this = atomic_fetch_add(&nth, 1) + 1;
    if (this < first || this > atomic_load(&last_to_fail)) {
        return false;
    }
    exempt = true; /* the unwinder allocates, too, the first time */
    bool fails = !caller_is_spared() && !code_is_spared();
    exempt = false;
    return fails;
}

static void *
block_counted(void *ptr)
{
    if (ptr != NULL) {
        atomic_fetch_add(&blocks, 1);
    }
    return ptr;
}

static void *
failing_malloc(void *ctx, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    return allocation_fails() ? NULL : block_counted(a->malloc(a->ctx, size));
}

static void *
failing_calloc(void *ctx, size_t n, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    return allocation_fails() ? NULL : block_counted(a->calloc(a->ctx, n, size));
}

static void *
failing_realloc(void *ctx, void *ptr, size_t size)
{
    PyMemAllocatorEx *a = ctx;
    if (allocation_fails()) {
        return NULL;
    }
    void *moved = a->realloc(a->ctx, ptr, size);
    return ptr == NULL ? block_counted(moved) : moved;
}

static void
counting_free(void *ctx, void *ptr)
{
    PyMemAllocatorEx *a = ctx;
    if (ptr != NULL) {
        atomic_fetch_sub(&blocks, 1);
    }
    a->free(a->ctx, ptr);
}

static void *
openssl_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return allocation_fails() ? NULL : block_counted(malloc(size));
}

static void
openssl_free(void *ptr, const char *file, int line)
{
    (void)file, (void)line;
    if (ptr != NULL) {
        atomic_fetch_sub(&blocks, 1);
    }
    free(ptr);
}

static void *
openssl_realloc(void *ptr, size_t size, const char *file, int line)
{
    if (ptr != NULL && size == 0) {
        openssl_free(ptr, file, line);
        return NULL;
    }
    if (allocation_fails()) {
        return NULL;
    }
    void *moved = realloc(ptr, size);
    return ptr == NULL ? block_counted(moved) : moved;
}

PyDoc_STRVAR(nomemory_fail_doc, "fail(first, count)\n\nThe allocation number `first` "
                                "from now on and the `count - 1` "
                                "after it fail; 0, 0: none fails.");

static PyObject *
nomemory_fail(PyObject *module, PyObject *args)
{
    (void)module;
    long long first;
    long long count;
    if (!PyArg_ParseTuple(args, "LL:fail", &first, &count)) {
        return NULL;
    }
    atomic_store(&first_to_fail, 0);
    atomic_store(&nth, 0);
    atomic_store(&last_to_fail, first + count - 1);
    atomic_store(&first_to_fail, first);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(nomemory_seen_doc,
             "seen()\n\nHow many allocations there were since the last fail().");

static PyObject *
nomemory_seen(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLongLong(atomic_load(&nth));
}

PyDoc_STRVAR(
    nomemory_blocks_doc,
    "blocks()\n\nHow many blocks more are allocated than when the module was loaded.");

static PyObject *
nomemory_blocks(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLongLong(atomic_load(&blocks));
}

PyDoc_STRVAR(
    nomemory_where_doc,
    "where()\n\nWho called for the allocation that failed last: (file, offset) of each "
    "frame, the innermost first.");

static PyObject *
nomemory_where(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    int n = atomic_load(&nlast_frames);
    PyObject *list = PyList_New(0);
    for (int i = 0; i < n && list != NULL; i++) {
        Dl_info info;
        if (dladdr(last_frames[i], &info) == 0 || info.dli_fname == NULL) {
            continue;
        }
        size_t offset = (size_t)((char *)last_frames[i] - (char *)info.dli_fbase);
        PyObject *frame = Py_BuildValue("(sn)", info.dli_fname, (Py_ssize_t)offset);
        if (frame == NULL || PyList_Append(list, frame) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(frame);
    }
    return list;
}

PyDoc_STRVAR(
    nomemory_exempt_doc,
    "exempt()\n\nFrom now on no allocation of this thread fails or is numbered.");

static PyObject *
nomemory_exempt(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    exempt = true;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(nomemory_spare_doc, "spare(index, part)\n\nNo allocation fails that is "
                                 "made by a library with this text in "
                                 "its file's name.");

static PyObject *
nomemory_spare(PyObject *module, PyObject *args)
{
    (void)module;
    int index;
    const char *part;
    if (!PyArg_ParseTuple(args, "is:spare", &index, &part)) {
        return NULL;
    }
    if (index < 0 || index >= NSPARED || strlen(part) >= LONGEST) {
        PyErr_SetString(PyExc_ValueError, "no room for so many, or so long a name");
        return NULL;
    }
    strcpy(spared[index], part);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(nomemory_only_ours_doc,
             "only_ours(yes)\n\nWhether only those allocations fail that are made by "
             "ext/, not by "
             "Python code: that has crashes of its own when two fail in a row.");

static PyObject *
nomemory_only_ours(PyObject *module, PyObject *yes)
{
    (void)module;
    atomic_store(&only_ours, PyObject_IsTrue(yes) == 1);
    Py_RETURN_NONE;
}

static PyMethodDef nomemory_methods[] = {
    {"fail", nomemory_fail, METH_VARARGS, nomemory_fail_doc},
    {"seen", nomemory_seen, METH_NOARGS, nomemory_seen_doc},
    {"blocks", nomemory_blocks, METH_NOARGS, nomemory_blocks_doc},
    {"spare", nomemory_spare, METH_VARARGS, nomemory_spare_doc},
    {"only_ours", nomemory_only_ours, METH_O, nomemory_only_ours_doc},
    {"where", nomemory_where, METH_NOARGS, nomemory_where_doc},
    {"exempt", nomemory_exempt, METH_NOARGS, nomemory_exempt_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef nomemory_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "nomemory",
    .m_size = -1,
    .m_methods = nomemory_methods,
};

PyMODINIT_FUNC
PyInit_nomemory(void)
{
    int openssl =
        CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free);
    PyObject *module = PyModule_Create(&nomemory_def);
    if (module == NULL || PyModule_AddIntConstant(module, "openssl", openssl) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    for (int domain = PYMEM_DOMAIN_RAW; domain <= PYMEM_DOMAIN_OBJ; domain++) {
        PyMem_GetAllocator((PyMemAllocatorDomain)domain, &allocators[domain]);
        PyMem_SetAllocator((PyMemAllocatorDomain)domain,
                           &(PyMemAllocatorEx){&allocators[domain], failing_malloc,
                                               failing_calloc, failing_realloc,
                                               counting_free});
    }
    return module;
}
#else
typedef int NomemoryIsForTests; /* ISO C wants something in each file */
#endif
