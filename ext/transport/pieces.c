/* The queue of what a transport couldn't write yet (see pieces.h).
 */
#include "base/py.h"

#include "transport/pieces.h"

/* `data` as a bytes object. If it is bytes, it is returned itself, and *sent stays. Otherwise the bytes
 * from `*sent` on are copied, and *sent becomes 0. */
static PyObject *
piece_bytes(PyObject *data, size_t *sent)
{
    if (PyBytes_CheckExact(data)) {
        return Py_NewRef(data);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    /* The object may have become shorter since it was sent from. */
    Py_ssize_t from = Py_MIN((Py_ssize_t)*sent, view.len);
    PyObject *bytes =
        PyBytes_FromStringAndSize((const char *)view.buf + from, view.len - from);
    PyBuffer_Release(&view);
    *sent = 0;
    return bytes;
}

int
pieces_append(Pieces *q, PyObject *data, size_t sent, PyObject *addr)
{
    Piece *piece = PyMem_Malloc(sizeof(*piece));
    if (piece == NULL) {
        (void)PyErr_NoMemory();
        return -1;
    }
    PyObject *bytes = piece_bytes(data, &sent);
    if (bytes == NULL) {
        PyMem_Free(piece);
        return -1;
    }
    *piece = (Piece){.data = bytes, .addr = Py_XNewRef(addr), .sent = sent};
    if (q->last == NULL) {
        q->first = piece;
    } else {
        q->last->next = piece;
    }
    q->last = piece;
    q->bytes += piece_len(piece) + q->overhead;
    return 0;
}

void
pieces_pop(Pieces *q)
{
    Piece *piece = q->first;
    q->first = piece->next;
    if (q->first == NULL) {
        q->last = NULL;
    }
    q->bytes -= piece_len(piece) + q->overhead;
    Py_DECREF(piece->data);
    Py_XDECREF(piece->addr);
    PyMem_Free(piece);
}

void
pieces_consume(Pieces *q, size_t n)
{
    assert(q->overhead == 0 && n <= q->bytes);
    while (n != 0) {
        size_t len = piece_len(q->first);
        if (n < len) {
            q->first->sent += n;
            q->bytes -= n;
            return;
        }
        pieces_pop(q);
        n -= len;
    }
}

void
pieces_clear(Pieces *q)
{
    while (q->first != NULL) {
        pieces_pop(q);
    }
}

int
pieces_traverse(const Pieces *q, visitproc visit, void *arg)
{
    for (const Piece *piece = q->first; piece != NULL; piece = piece->next) {
        Py_VISIT(piece->data);
        Py_VISIT(piece->addr);
    }
    return 0;
}
