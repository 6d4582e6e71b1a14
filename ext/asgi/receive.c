/* `await receive()`: the events that an ASGI app gets about its request. Pieces of the body are
 * collected in one object, so that a late app gets all of them at once. Past BODY_HIGH the
 * connection stops reading until the app has received them. Thread: the loop's.
 */
#include "base/py.h"

#include "asgi/call.h"

#include "base/err.h"
#include "http/server.h"

enum { BODY_HIGH = 64 * 1024 }; /* bytes */

/* ---- The body comes in -------------------------------------------------------------------- */

/* There was no memory for a piece of the body. Ends the request, so that what follows isn't
 * mistaken for the rest. */
static void
body_lost(HttpRequest *req)
{
    http_abort(req);
    asgi_call_gone(req);
}

void
asgi_body(HttpRequest *req, Slice piece)
{
    AsgiCall *call = call_of(req)->mounted;
    if (call == NULL || call->stage == ASGI_OVER) {
        return; /* the app won't receive it any more */
    }
    if (gather_add(&call->pieces, piece) < 0) {
        PyErr_Clear(); /* MemoryError: receive() gives http.disconnect instead */
        body_lost(req);
        return;
    }
    if (call->pieces.len >= BODY_HIGH && !call->paused) {
        call->paused = true;
        http_body_pause(req);
    }
    waiting_wake(&call->readers);
}

void
asgi_body_end(HttpRequest *req)
{
    AsgiCall *call = call_of(req)->mounted;
    if (call == NULL) {
        return;
    }
    if (ring_is_linked(&call->waiting)) {
        asgi_call_start(call);
    } else {
        waiting_wake(&call->readers);
    }
}

/* ---- Events ------------------------------------------------------------------------------- */

/* {"type": "http.request", "body": body (stolen), "more_body": more} */
static PyObject *
event_request(const AsgiState *st, PyObject *body, bool more)
{
    PyObject *event = body == NULL ? NULL : PyDict_New();
    if (event != NULL
        && (PyDict_SetItem(event, st->str_type, st->str_http_request) < 0
            || PyDict_SetItem(event, st->str_body, body) < 0
            || PyDict_SetItem(event, st->str_more_body, more ? Py_True : Py_False)
                   < 0)) {
        Py_CLEAR(event);
    }
    Py_XDECREF(body);
    return event;
}

static PyObject *
event_disconnect(const AsgiState *st)
{
    PyObject *event = PyDict_New();
    if (event != NULL
        && PyDict_SetItem(event, st->str_type, st->str_http_disconnect) < 0) {
        Py_CLEAR(event);
    }
    return event;
}

/* Lets the connection read again. This also sends "100 Continue". */
static void
body_resume(AsgiCall *call)
{
    if (call->paused) {
        call->paused = false;
        http_body_resume(call->req);
    }
}

/* An event with all pieces that have arrived: a new reference, or NULL with an exception set. */
static PyObject *
pieces_take(AsgiCall *call, const AsgiState *st, bool more)
{
    bool some = call->pieces.len != 0;
    PyObject *event = event_request(st, gather_take(&call->pieces), more);
    if (event != NULL) {
        call->body_given = !more;
        body_resume(call);
    } else if (some) {
        PyObject *exc = err_take();
        body_lost(call->req);
        err_restore(exc);
    }
    return event;
}

WaitStep
asgi_http_receive(PyObject *owner, PyObject **result, WaitList **list)
{
    AsgiCall *call = (AsgiCall *)owner;
    const AsgiState *st = call->app->st;
    const HttpRequest *req = call->req;
    bool over = req == NULL || call->stage == ASGI_OVER;
    bool more = !over && req->has_body && !req->body_complete;
    if (!over && !call->body_given && (!more || call->pieces.len != 0)) {
        *result = pieces_take(call, st, more);
    } else if (over || call->gone || (call->left && call->body_given)) {
        call->told_gone = !over;
        call->hears_gone |= call->told_gone;
        *result = event_disconnect(st);
    } else {
        body_resume(call);
        *list = &call->readers;
        return WAIT_BLOCKED;
    }
    return *result == NULL ? WAIT_FAILED : WAIT_DONE;
}

static PyObject *
asgi_receive(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    AsgiCall *call = (AsgiCall *)op;
    if (!asgi_call_is_here(call)) {
        return asgi_call_later(call, asgi_receive_new(call), NULL);
    }
    return waiting_new(call->server->st, call->server->loop, &call->kind->receive, op);
}

static PyMethodDef receive_def = {"receive", asgi_receive, METH_NOARGS,
                                  "The next event of the request."};

PyObject *
asgi_receive_new(AsgiCall *call)
{
    return PyCFunction_New(&receive_def, (PyObject *)call);
}
