/* The queue of a streamed body (see body.h). All pieces go into one buffer, so a reader that comes
 * late gets them as one piece, with one wake-up. Past BODY_HIGH the connection stops reading until
 * a reader has emptied the buffer.
 */
#include "base/py.h"

#include "app/body.h"

#include "app/request_object.h"
#include "app/server.h"
#include "app/waiting.h"
#include "http/server.h"

enum {
    BODY_HIGH = 64 * 1024, /* bytes */
    BODY_KEEP = 64 * 1024, /* bytes of memory kept for the next pieces */
};

struct BodyQueue {
    Buf pieces; /* owned: what has not been read yet */
    bool paused;
    WaitList readers;
};

/* The queue of the call; NULL when out of memory. */
static BodyQueue *
body_queue(AppCall *call)
{
    if (call->body == NULL) {
        call->body = PyMem_Calloc(1, sizeof *call->body);
    }
    return call->body;
}

void
body_feed(HttpRequest *req, Slice piece)
{
    BodyQueue *queue = body_queue(call_of(req));
    if (queue == NULL || buf_append_slice(&queue->pieces, piece) != 0) {
        http_abort(req);
        body_gone(req);
        return;
    }
    if (queue->pieces.len >= BODY_HIGH && !queue->paused) {
        queue->paused = true;
        http_body_pause(req);
    }
    waiting_wake(&queue->readers);
}

void
body_end(HttpRequest *req)
{
    BodyQueue *queue = call_of(req)->body;
    if (queue != NULL) {
        waiting_wake(&queue->readers);
    }
}

void
body_gone(HttpRequest *req)
{
    call_of(req)->gone = true;
    body_end(req);
}

void
body_clear(AppCall *call)
{
    BodyQueue *queue = call->body;
    call->body = NULL;
    if (queue != NULL) {
        assert(queue->readers.first == NULL); /* a waiting reader holds the request */
        buf_free(&queue->pieces);
        PyMem_Free(queue);
    }
}

/* Everything that is queued, as bytes; NULL with an exception set. */
static PyObject *
body_take(HttpRequest *req, BodyQueue *queue)
{
    PyObject *bytes =
        PyBytes_FromStringAndSize(queue->pieces.ptr, (Py_ssize_t)queue->pieces.len);
    if (bytes == NULL) {
        return NULL;
    }
    buf_reset(&queue->pieces, BODY_KEEP);
    if (queue->paused) {
        queue->paused = false;
        http_body_resume(req);
    }
    return bytes;
}

/* read() of a body that isn't streamed: the whole body the first time, then b"". */
static PyObject *
body_take_whole(RequestObject *request)
{
    if (request->body_taken) {
        return PyBytes_FromStringAndSize(NULL, 0);
    }
    PyObject *body = request_cached(request, REQUEST_BODY);
    request->body_taken = body != NULL;
    return Py_XNewRef(body);
}

static WaitStep
body_attempt(PyObject *owner, PyObject **result, WaitList **list)
{
    RequestObject *request = (RequestObject *)owner;
    HttpRequest *req = request->http;
    AppCall *call = call_of(req);
    if (req->body_mode != HTTP_BODY_STREAM) {
        *result = body_take_whole(request);
        return *result == NULL ? WAIT_FAILED : WAIT_DONE;
    }
    if (call->body != NULL && call->body->pieces.len > 0) {
        *result = body_take(req, call->body);
        return *result == NULL ? WAIT_FAILED : WAIT_DONE;
    }
    if (!req->has_body || req->body_complete) {
        *result = PyBytes_FromStringAndSize(NULL, 0);
        return *result == NULL ? WAIT_FAILED : WAIT_DONE;
    }
    if (call->gone || req->response == HTTP_RESPONSE_DONE) {
        PyErr_SetNone(call_server(req)->client_disconnect);
        return WAIT_FAILED;
    }
    BodyQueue *queue = body_queue(call);
    if (queue == NULL) {
        PyErr_NoMemory();
        return WAIT_FAILED;
    }
    *list = &queue->readers;
    return WAIT_BLOCKED;
}

static const WaitOps body_ops = {.attempt = body_attempt};

PyObject *
body_read(AppState *st, PyObject *request)
{
    Loop *loop = http_server_loop(((RequestObject *)request)->http->server);
    if (loop_running(st->module) != loop) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Request.read() works on the loop's thread only; in a `def` "
                        "handler use body(), which has the whole body");
        return NULL;
    }
    return waiting_new(st, loop, &body_ops, request);
}

/* ---- The client's end --------------------------------------------------------------------- */

/* Waits in the list of the body's readers, since what wakes them includes the client's end. */
static WaitStep
gone_attempt(PyObject *owner, PyObject **result, WaitList **list)
{
    HttpRequest *req = ((RequestObject *)owner)->http;
    AppCall *call = call_of(req);
    if (call->gone || req->left || req->response == HTTP_RESPONSE_DONE) {
        *result = Py_NewRef(Py_None);
        return WAIT_DONE;
    }
    BodyQueue *queue = body_queue(call);
    if (queue == NULL) {
        PyErr_NoMemory();
        return WAIT_FAILED;
    }
    *list = &queue->readers;
    return WAIT_BLOCKED;
}

static const WaitOps gone_ops = {.attempt = gone_attempt};

PyObject *
body_until_gone(AppState *st, PyObject *request)
{
    Loop *loop = http_server_loop(((RequestObject *)request)->http->server);
    if (loop_running(st->module) != loop) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Request.until_gone() works on the loop's thread only");
        return NULL;
    }
    return waiting_new(st, loop, &gone_ops, request);
}
