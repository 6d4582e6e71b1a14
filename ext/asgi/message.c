/* See message.h. A message is a small dict that the app has just made, so one pass over it costs
 * less than a lookup of each entry.
 */
#include "base/py.h"

#include "asgi/message.h"

#include "app/header_pairs.h"

#include <uv.h>

/* The kind of a message whose type is the str `type`. */
static MessageKind
message_kind_of(PyObject *type)
{
    static const struct {
        Slice name;
        MessageKind kind;
    } kinds[] = {
        {SLICE("http.response.body"), MESSAGE_BODY},
        {SLICE("http.response.start"), MESSAGE_START},
        {SLICE("websocket.send"), MESSAGE_WS_SEND},
        {SLICE("websocket.accept"), MESSAGE_WS_ACCEPT},
        {SLICE("websocket.close"), MESSAGE_WS_CLOSE},
        {SLICE("websocket.http.response.start"), MESSAGE_WS_START},
        {SLICE("websocket.http.response.body"), MESSAGE_WS_BODY},
        {SLICE("http.response.trailers"), MESSAGE_TRAILERS},
        {SLICE("http.response.early_hint"), MESSAGE_EARLY_HINT},
        {SLICE("http.response.pathsend"), MESSAGE_PATHSEND},
        {SLICE("http.response.zerocopysend"), MESSAGE_ZEROCOPYSEND},
        {SLICE("http.response.debug"), MESSAGE_DEBUG},
    };
    if (!PyUnicode_IS_COMPACT_ASCII(type)) {
        return MESSAGE_UNKNOWN;
    }
    Slice name = slice_of(PyUnicode_DATA(type), (size_t)PyUnicode_GET_LENGTH(type));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (slice_eq(name, kinds[i].name)) {
            return kinds[i].kind;
        }
    }
    return MESSAGE_UNKNOWN;
}

/* For each key, the most frequent first: the offset of its interned str, and the offset of its value. */
#define ENTRY(name) {offsetof(AsgiState, str_##name), offsetof(Message, name)}
static const struct {
    size_t key;   /* in AsgiState */
    size_t place; /* in Message */
} entries[] = {
    ENTRY(type),          ENTRY(body),     ENTRY(more_body),   ENTRY(status),
    ENTRY(headers),       ENTRY(text),     ENTRY(bytes),       ENTRY(code),
    ENTRY(reason),        ENTRY(trailers), ENTRY(subprotocol), ENTRY(links),
    ENTRY(more_trailers),
};
#undef ENTRY
enum { ENTRIES = sizeof entries / sizeof *entries };

static PyObject **
message_entry_place(Message *m, size_t i)
{
    return (PyObject **)((char *)m + entries[i].place);
}

void
message_free(Message *m)
{
    for (size_t i = 0; i < ENTRIES; i++) {
        Py_XDECREF(*message_entry_place(m, i));
    }
}

static PyObject *
entry_key(const AsgiState *st, size_t i)
{
    return *(PyObject *const *)((const char *)st + entries[i].key);
}

/* The place for the value of `key`; NULL when no message has such an entry. Keys that are literals
 * in a program are interned, so comparing addresses is usually enough. */
static PyObject **
message_place(Message *m, PyObject *key, const AsgiState *st)
{
    size_t i = 0;
    while (i < ENTRIES && key != entry_key(st, i)) {
        i++;
    }
    if (unlikely(i == ENTRIES) && PyUnicode_CheckExact(key)) {
        for (i = 0; i < ENTRIES && PyUnicode_Compare(key, entry_key(st, i)) != 0;) {
            i++;
        }
    }
    return i == ENTRIES ? NULL : message_entry_place(m, i);
}

int
message_read(Message *m, PyObject *message, const AsgiState *st)
{
    Py_ssize_t at = 0;
    PyObject *key, *value; /* borrowed */
    while (PyDict_Check(message) && PyDict_Next(message, &at, &key, &value)) {
        PyObject **place = message_place(m, key, st);
        if (place != NULL && *place == NULL) {
            *place = Py_NewRef(value);
        }
    }
    if (m->type != NULL && PyUnicode_Check(m->type)) {
        m->kind = message_kind_of(m->type);
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "an ASGI message is a dict with a 'type', not %R",
                 message);
    return -1;
}

int
message_flag(PyObject *value)
{
    return value == NULL || value == Py_False ? 0 : PyObject_IsTrue(value);
}

/* The lists and their items belong to the app. Iterating over one, or the repr() of another, may
 * run the app's code and change them. So the functions below own a reference to what they read. */

/* The item as bytes: a new reference, or NULL with TypeError set. */
static PyObject *
item_bytes(PyObject *sequence, Py_ssize_t i)
{
    PyObject *item = Py_NewRef(PySequence_Fast_GET_ITEM(sequence, i));
    if (!PyBytes_Check(item)) {
        PyErr_Format(PyExc_TypeError, "header names and values are bytes, not %R",
                     item);
        Py_CLEAR(item);
    }
    return item;
}

/* Adds `pair` (borrowed, a list or tuple of two) as a header field. 0, or -1 with an exception set. */
static int
message_add_pair(HttpFields *fields, PyObject *pair)
{
    PyObject *name = item_bytes(pair, 0);
    /* An error for the name may have run code that changed the pair, but then the pair isn't read again. */
    PyObject *value = name == NULL ? NULL : item_bytes(pair, 1);
    int err = -1;
    if (value != NULL) {
        err = http_fields_add(fields, bytes_slice(name), bytes_slice(value));
        if (err == UV_EINVAL) {
            PyErr_Format(PyExc_ValueError, "malformed header %R: %R", name, value);
        } else if (err != 0) {
            PyErr_NoMemory();
        }
    }
    Py_XDECREF(name);
    Py_XDECREF(value);
    return err == 0 ? 0 : -1;
}

static int
message_add_fields(HttpFields *fields, PyObject *header)
{
    PyObject *pair = PySequence_Fast(header, "a header is a pair of bytes");
    int err = -1;
    if (pair != NULL && PySequence_Fast_GET_SIZE(pair) == 2) {
        err = message_add_pair(fields, pair);
    } else if (pair != NULL) {
        PyErr_Format(PyExc_TypeError, "a header is a pair of bytes, not %R", header);
    }
    Py_XDECREF(pair);
    return err;
}

int
message_headers(const Message *m, HttpFields *fields)
{
    if (m->headers == NULL) {
        return 0;
    }
    PyObject *list = PySequence_Fast(m->headers, "'headers' must be iterable");
    int err = list == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; err == 0 && i < PySequence_Fast_GET_SIZE(list); i++) {
        PyObject *header = Py_NewRef(PySequence_Fast_GET_ITEM(list, i));
        err = message_add_fields(fields, header);
        Py_DECREF(header);
    }
    Py_XDECREF(list);
    return err;
}

PyObject *
message_body(const Message *m)
{
    PyObject *body = m->body;
    if (likely(body != NULL && PyBytes_Check(body))) {
        return Py_NewRef(body);
    }
    if (body == NULL) {
        return PyBytes_FromStringAndSize(NULL, 0);
    }
    if (PyByteArray_Check(body) || PyMemoryView_Check(body)) {
        return PyBytes_FromObject(body);
    }
    PyErr_Format(PyExc_TypeError, "'body' must be bytes, not %.100s",
                 Py_TYPE(body)->tp_name);
    return NULL;
}

int
message_status(const Message *m)
{
    PyObject *value = m->status;
    if (value == NULL || !PyLong_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "http.response.start needs an integer 'status', not %R",
                     value == NULL ? Py_None : value);
        return -1;
    }
    int overflow;
    long status = PyLong_AsLongAndOverflow(value, &overflow);
    if (overflow != 0 || status < 200 || status > 599) {
        PyErr_Format(PyExc_ValueError, "'status' must be 200 to 599, not %R", value);
        return -1;
    }
    return (int)status;
}

int
message_links(const Message *m, HttpFields *fields)
{
    PyObject *list = m->links == NULL
                         ? PyList_New(0)
                         : PySequence_Fast(m->links, "'links' must be iterable");
    int err = list == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; err == 0 && i < PySequence_Fast_GET_SIZE(list); i++) {
        PyObject *link = item_bytes(list, i);
        err = link == NULL ? -1
                           : http_fields_add(fields, SLICE("link"), bytes_slice(link));
        if (err == UV_EINVAL) {
            PyErr_Format(PyExc_ValueError, "malformed link %R", link);
        } else if (link != NULL && err != 0) {
            PyErr_NoMemory();
        }
        Py_XDECREF(link);
    }
    Py_XDECREF(list);
    return err == 0 ? 0 : -1;
}
