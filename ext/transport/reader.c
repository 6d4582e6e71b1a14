/* Feeding asyncio's StreamReader (see reader.h): appends bytes to the reader's buffer and wakes the
 * coroutine that waits for them. Any case but the plain one is refused before anything is done, and goes
 * through asyncio's own functions.
 */
#include "base/py.h"

#include "transport/reader.h"
#include "base/names.h"

/* The Python versions with whose functions this file agrees; a test compares their source. */
#define VERSION_KNOWN (PY_VERSION_HEX < 0x03100000)

/* ---- Whether asyncio's functions are in place --------------------------------------------- */

/* Whether the classes still have the three functions. */
static bool
functions_in_place(const ReaderState *rs)
{
    PyObject *owners[] = {rs->protocol_type, rs->reader_type, rs->reader_type};
    bool same = true;
    for (size_t i = 0; same && i < READER_FUNCTIONS; i++) {
        PyObject *function = PyObject_GetAttr(owners[i], rs->names[i]);
        same = function == rs->functions[i] && function != NULL;
        Py_XDECREF(function);
    }
    if (PyErr_Occurred()) {
        PyErr_Clear(); /* a function was deleted: asyncio's own code will raise the same */
    }
    return same;
}

/* Whether the classes are unchanged since the last check. CPython gives a class another version, or
 * none (0), when it or one of its bases changes. */
static bool
classes_unchanged(const ReaderState *rs)
{
    unsigned protocol = ((PyTypeObject *)rs->protocol_type)->tp_version_tag;
    unsigned reader = ((PyTypeObject *)rs->reader_type)->tp_version_tag;
    return protocol != 0 && protocol == rs->protocol_version && reader != 0
           && reader == rs->reader_version;
}

static bool
classes_plain(ReaderState *rs)
{
    if (unlikely(!classes_unchanged(rs))) {
        rs->plain = rs->functions[0] != NULL && functions_in_place(rs);
        rs->protocol_version = ((PyTypeObject *)rs->protocol_type)->tp_version_tag;
        rs->reader_version = ((PyTypeObject *)rs->reader_type)->tp_version_tag;
    }
    return rs->plain;
}

/* Whether object.<name> is the function of that index, bound to the object. */
static bool
method_plain(const ReaderState *rs, PyObject *object, size_t index)
{
    PyObject *method = PyObject_GetAttr(object, rs->names[index]);
    bool plain = method != NULL && PyMethod_Check(method)
                 && PyMethod_GET_FUNCTION(method) == rs->functions[index]
                 && PyMethod_GET_SELF(method) == object;
    Py_XDECREF(method);
    return plain;
}

/* The protocol's StreamReader: a new reference. NULL if it has none of exactly that class, perhaps with
 * an exception set. */
static PyObject *
reader_of(const ReaderState *rs, PyObject *protocol)
{
    PyObject *ref = PyObject_GetAttr(protocol, rs->str_stream_reader_wr);
    PyObject *reader = NULL;
    if (ref != NULL && PyWeakref_CheckRef(ref)) {
#if PY_VERSION_HEX >= 0x030D0000
        (void)PyWeakref_GetRef(ref, &reader);
#else
        reader = Py_XNewRef(PyWeakref_GetObject(ref));
#endif
    }
    Py_XDECREF(ref);
    if (reader != NULL && (PyObject *)Py_TYPE(reader) != rs->reader_type) {
        Py_CLEAR(reader);
    }
    return reader;
}

bool
reader_check(TransportState *st, PyObject *protocol)
{
    ReaderState *rs = &st->reader;
    if ((PyObject *)Py_TYPE(protocol) != rs->protocol_type || !classes_plain(rs)) {
        return false;
    }
    PyObject *reader = reader_of(rs, protocol);
    bool plain = reader != NULL && method_plain(rs, protocol, READER_DATA_RECEIVED)
                 && method_plain(rs, reader, READER_FEED_DATA)
                 && method_plain(rs, reader, READER_WAKEUP_WAITER);
    Py_XDECREF(reader);
    PyErr_Clear(); /* an attribute is missing: asyncio's own code will raise the same */
    return plain;
}

/* ---- Feeding ------------------------------------------------------------------------------ */

/* The reader's buffer, if it can take `len` more bytes: a new reference. NULL if it can't, perhaps with
 * an exception set. Above twice the limit asyncio would pause the transport, which is left to it. */
static PyObject *
buffer_with_room(const ReaderState *rs, PyObject *reader, size_t len)
{
    PyObject *eof = PyObject_GetAttr(reader, rs->str_eof);
    PyObject *limit = eof == Py_False ? PyObject_GetAttr(reader, rs->str_limit) : NULL;
    Py_ssize_t bytes =
        limit != NULL && PyLong_CheckExact(limit) ? PyLong_AsSsize_t(limit) : -1;
    Py_XDECREF(eof);
    Py_XDECREF(limit);
    if (bytes < 0 || bytes > PY_SSIZE_T_MAX / 2) {
        return NULL;
    }
    PyObject *buffer = PyObject_GetAttr(reader, rs->str_buffer);
    if (buffer != NULL
        && (!PyByteArray_CheckExact(buffer)
            || (size_t)PyByteArray_GET_SIZE(buffer) + len > 2 * (size_t)bytes)) {
        Py_CLEAR(buffer);
    }
    return buffer;
}

static int
buffer_append(PyObject *buffer, Slice data)
{
    Py_ssize_t size = PyByteArray_GET_SIZE(buffer);
    if (PyByteArray_Resize(buffer, size + (Py_ssize_t)data.len) < 0) {
        return -1;
    }
    memcpy(PyByteArray_AS_STRING(buffer) + size, data.ptr, data.len);
    return 0;
}

/* StreamReader._wakeup_waiter. */
static int
waiter_wake(const ReaderState *rs, PyObject *reader)
{
    PyObject *waiter = PyObject_GetAttr(reader, rs->str_waiter);
    if (waiter == NULL || waiter == Py_None) {
        Py_XDECREF(waiter);
        return waiter == NULL ? -1 : 0;
    }
    PyObject *res = NULL;
    if (PyObject_SetAttr(reader, rs->str_waiter, Py_None) == 0) {
        res = PyObject_CallMethodNoArgs(waiter, rs->str_cancelled);
    }
    int cancelled = res == NULL ? -1 : PyObject_IsTrue(res);
    if (cancelled == 0) {
        Py_SETREF(res, PyObject_CallMethodOneArg(waiter, rs->str_set_result, Py_None));
    }
    int err = cancelled < 0 || res == NULL ? -1 : 0;
    Py_XDECREF(res);
    Py_DECREF(waiter);
    return err;
}

ReaderFed
reader_feed(TransportState *st, PyObject *protocol, Slice data)
{
    ReaderState *rs = &st->reader;
    if (!classes_plain(rs)) {
        return READER_REFUSED;
    }
    PyObject *reader = reader_of(rs, protocol);
    PyObject *buffer = reader == NULL ? NULL : buffer_with_room(rs, reader, data.len);
    ReaderFed fed = READER_FED;
    if (buffer == NULL) {
        PyErr_Clear(); /* data_received() does the same look-ups and will raise it again */
        fed = READER_REFUSED;
    } else if (buffer_append(buffer, data) < 0 || waiter_wake(rs, reader) < 0) {
        fed = READER_FAILED;
    }
    Py_XDECREF(buffer);
    Py_XDECREF(reader);
    return fed;
}

/* ---- Set-up ------------------------------------------------------------------------------- */

/* Whether the function was defined in asyncio.streams: it may have been replaced before. */
static bool
is_asyncios(PyObject *function, PyObject *streams)
{
    return function != NULL && PyFunction_Check(function)
           && PyFunction_GET_GLOBALS(function) == PyModule_GetDict(streams);
}

static int
reader_setup_names(ReaderState *rs)
{
    const struct {
        PyObject **to;
        const char *text;
    } names[] = {
        {&rs->names[READER_DATA_RECEIVED], "data_received"},
        {&rs->names[READER_FEED_DATA], "feed_data"},
        {&rs->names[READER_WAKEUP_WAITER], "_wakeup_waiter"},
        {&rs->str_stream_reader_wr, "_stream_reader_wr"},
        {&rs->str_buffer, "_buffer"},
        {&rs->str_limit, "_limit"},
        {&rs->str_eof, "_eof"},
        {&rs->str_waiter, "_waiter"},
        {&rs->str_cancelled, "cancelled"},
        {&rs->str_set_result, "set_result"},
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        if (name_intern(names[i].to, names[i].text) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Keeps the three functions, if they are asyncio's own. */
static int
reader_setup_functions(ReaderState *rs)
{
    PyObject *streams = PyImport_ImportModule("asyncio.streams");
    if (streams == NULL) {
        return -1;
    }
    PyObject *owners[] = {rs->protocol_type, rs->reader_type, rs->reader_type};
    bool ours = VERSION_KNOWN;
    for (size_t i = 0; i < READER_FUNCTIONS; i++) {
        rs->functions[i] = PyObject_GetAttr(owners[i], rs->names[i]);
        ours = is_asyncios(rs->functions[i], streams) && ours;
    }
    Py_DECREF(streams);
    PyErr_Clear(); /* a function is missing, so `ours` is false: reader_feed won't be used */
    if (!ours) {
        Py_CLEAR(rs->functions[0]);
    }
    return 0;
}

int
reader_setup(TransportState *st)
{
    ReaderState *rs = &st->reader;
    if (reader_setup_names(rs) < 0
        || name_import(&rs->protocol_type, "asyncio", "StreamReaderProtocol") < 0
        || name_import(&rs->reader_type, "asyncio", "StreamReader") < 0) {
        return -1;
    }
    return reader_setup_functions(rs);
}

int
reader_traverse(TransportState *st, visitproc visit, void *arg)
{
    Py_VISIT(st->reader.protocol_type);
    Py_VISIT(st->reader.reader_type);
    for (size_t i = 0; i < READER_FUNCTIONS; i++) {
        Py_VISIT(st->reader.functions[i]);
    }
    return 0;
}

void
reader_clear(TransportState *st)
{
    ReaderState *rs = &st->reader;
    for (size_t i = 0; i < READER_FUNCTIONS; i++) {
        Py_CLEAR(rs->functions[i]);
        Py_CLEAR(rs->names[i]);
    }
    Py_CLEAR(rs->protocol_type);
    Py_CLEAR(rs->reader_type);
    Py_CLEAR(rs->str_stream_reader_wr);
    Py_CLEAR(rs->str_buffer);
    Py_CLEAR(rs->str_limit);
    Py_CLEAR(rs->str_eof);
    Py_CLEAR(rs->str_waiter);
    Py_CLEAR(rs->str_cancelled);
    Py_CLEAR(rs->str_set_result);
}
