/* The write queue of a transport: bytes objects that couldn't be written yet, the oldest first. A
 * datagram's piece also has its destination address.
 *
 * A zeroed Pieces is empty and valid.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_TRANSPORT_PIECES_H
#define FLUVIAL_TRANSPORT_PIECES_H

#include "base/py.h"

typedef struct Piece Piece;
struct Piece {
    Piece *next;
    PyObject *data; /* owned: bytes */
    PyObject *addr; /* owned or NULL */
    size_t sent;    /* bytes of `data` that are written */
};

typedef struct Pieces {
    Piece *first, *last;
    size_t bytes;    /* unsent bytes of all pieces, plus their overhead */
    size_t overhead; /* bytes that are counted for each piece in addition */
} Pieces;

/* Appends `data` (borrowed; a bytes-like object, of which `sent` bytes are written) for `addr`
 * (borrowed, or NULL). Copies objects other than bytes. 0, or -1 with an exception set. */
int pieces_append(Pieces *q, PyObject *data, size_t sent, PyObject *addr);

/* Removes and releases the oldest piece. */
void pieces_pop(Pieces *q);

/* Drops the first `n` bytes, and the pieces that are then empty. */
void pieces_consume(Pieces *q, size_t n);

void pieces_clear(Pieces *q);
int pieces_traverse(const Pieces *q, visitproc visit, void *arg);

static inline bool
pieces_empty(const Pieces *q)
{
    return q->first == NULL;
}

static inline const char *
piece_ptr(const Piece *piece)
{
    return PyBytes_AS_STRING(piece->data) + piece->sent;
}

static inline size_t
piece_len(const Piece *piece)
{
    return (size_t)PyBytes_GET_SIZE(piece->data) - piece->sent;
}

#endif
