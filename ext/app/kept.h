/* A cache of Python objects for values that many requests share: names of methods and of header
 * fields, addresses of clients. The ASGI and the WSGI bridge have one such cache for each app.
 *
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_KEPT_H
#define FLUVIAL_APP_KEPT_H

#include "base/py.h"
#include "base/slice.h"
#include "http/request.h"
#include "net/addr.h"

enum {
    KEPT_METHODS = 64,  /* llhttp's numbers are below */
    KEPT_CLIENTS = 256, /* places; a power of two */
    KEPT_NAMES = 128,   /* likewise */
    KEPT_NAME_MAX = 40, /* bytes: longer names are not kept */
};

typedef struct KeptName {
    char name[KEPT_NAME_MAX];
    uint8_t len;      /* 0: the place is free */
    PyObject *object; /* owned */
} KeptName;

typedef struct KeptClient {
    NetAddr addr;
    PyObject *object; /* owned; NULL: the place is free */
} KeptClient;

/* Starts zeroed. What it holds is in no cycle, so it needs no traversal. */
typedef struct Kept {
    PyObject *methods[KEPT_METHODS]; /* owned: str, or NULL */
    KeptName names[KEPT_NAMES];
    KeptClient clients[KEPT_CLIENTS];
} Kept;

/* The name of the request's method, a str; borrowed. NULL with an exception set. */
PyObject *kept_method(Kept *kept, const HttpRequest *req);

/* What `make` returns for a field's name: a new reference, or NULL with an exception set. All calls
 * for one cache pass the same `make`. */
PyObject *kept_name(Kept *kept, Slice name, PyObject *(*make)(Slice name));

/* What `make` returns for the address of the request's client, which came over TCP; borrowed. NULL with
 * an exception set. */
PyObject *kept_client(Kept *kept, const HttpRequest *req,
                      PyObject *(*make)(const NetName *name));

/* Releases everything. */
void kept_clear(Kept *kept);

#endif
