/* The end of a call to an ASGI app (see call.h): what becomes of the response when the app returns, raises, or left
 * it incomplete.
 */
#include "base/py.h"

#include "asgi/call.h"

#include "asgi/scope.h"
#include "base/err.h"
#include "http/ws/ws.h"

/* `server` and `app` stay, because `receive` and `send` may still be called long after the end. */
void
asgi_call_release(RequestCoro *base)
{
    AsgiCall *self = (AsgiCall *)base;
    HttpRequest *req = self->req;
    if (req != NULL) {
        /* Does something only if the coroutine is dropped before its end. */
        self->kind->end(self, true);
        self->req = NULL;
        call_of(req)->mounted = NULL;
        Py_CLEAR(call_of(req)->request); /* made by asgi_call_recover */
        http_request_unref(req);
        waiting_wake(&self->readers); /* other tasks of the app may wait */
        waiting_wake(&self->writers);
    }
    gather_free(&self->pieces);
    http_fields_free(&self->fields);
    Py_CLEAR(self->base.coro);
    Py_CLEAR(self->task);
    Py_CLEAR(self->scope);
}

/* Logs what went wrong with the request. `exc` (borrowed) may be NULL. */
static void
asgi_call_report(AsgiCall *self, const char *what, PyObject *exc)
{
    if (mount_report(self->app->report, self->req, what, exc) < 0) {
        loop_report(self->server->loop,
                    "The failure of an ASGI app could not be logged");
    }
}

/* Whether the client is there and its response isn't complete. */
static bool
asgi_call_is_owed(const AsgiCall *self)
{
    return http_request_is_open(self->req) && self->req->response != HTTP_RESPONSE_DONE;
}

/* If the app has ended before its response was complete: responds with 500, when nothing has been
 * written; else breaks the response off, so that the client notices. */
void
asgi_http_end(AsgiCall *self, bool Py_UNUSED(failed))
{
    if (!asgi_call_is_owed(self)) {
        return;
    }
    if (self->req->response == HTTP_RESPONSE_NONE) {
        (void)http_respond_error(self->req, 500);
    } else {
        http_abort(self->req);
    }
}

const char *
asgi_http_fault(AsgiCall *self)
{
    static const char *const left_out[] = {
        [ASGI_START] =
            "the app returned without a response: no http.response.start came",
        [ASGI_BODY] = "the app returned without a response: no http.response.body "
                      "followed http.response.start",
        [ASGI_STREAM] = "the app returned in the middle of its response: no "
                        "http.response.body had more_body=False",
        [ASGI_TRAILERS] = "the app returned in the middle of its response: no "
                          "http.response.trailers followed the body",
    };
    bool over = self->stage == ASGI_OVER || self->told_gone || !asgi_call_is_owed(self);
    return over ? NULL : left_out[self->stage];
}

static void
asgi_call_returned(AsgiCall *self)
{
    const char *fault = self->kind->fault(self);
    if (fault != NULL) {
        asgi_call_report(self, fault, NULL);
    }
    self->kind->end(self, fault != NULL);
}

enum { GONE_DEPTH = 100 }; /* exceptions that are looked at in a chain */

static bool is_gone_error(const AsgiCall *self, PyObject *exc, int depth);

/* Whether is_gone_error() is true for all exceptions of the group (borrowed). */
static bool
is_gone_group(const AsgiCall *self, PyObject *group, int depth)
{
    PyObject *all = PyObject_GetAttrString(group, "exceptions");
    bool gone = all != NULL && PyTuple_Check(all);
    for (Py_ssize_t i = 0; gone && i < PyTuple_GET_SIZE(all); i++) {
        gone = is_gone_error(self, PyTuple_GET_ITEM(all, i), depth);
    }
    if (all == NULL) {
        loop_report(self->server->loop,
                    "The exceptions of an ExceptionGroup could not be read");
    }
    Py_XDECREF(all);
    return gone;
}

/* Whether `exc` (borrowed) only means that the client has gone, so that nothing is wrong with the
 * app. That is what send() raises, an exception whose cause or context it is, or a group that has
 * nothing else. Looks at `depth` exceptions at most. */
static bool
is_gone_error(const AsgiCall *self, PyObject *exc, int depth)
{
    bool found = false;
    Py_INCREF(exc);
    for (; exc != NULL && !found && depth > 0; depth--) {
        if (PyErr_GivenExceptionMatches(exc, PyExc_BaseExceptionGroup)) {
            found = is_gone_group(self, exc, depth - 1);
            break;
        }
        found = PyErr_GivenExceptionMatches(exc, self->app->gone_error) != 0;
        PyObject *cause = PyException_GetCause(exc);
        PyObject *next = cause != NULL ? cause : PyException_GetContext(exc);
        Py_SETREF(exc, next);
    }
    Py_XDECREF(exc);
    return found;
}

/* Some exceptions state what the response is (HTTPException). For such an `exc` (borrowed): a new
 * reference to the coroutine that sends the response. Else NULL, without an exception. */
static PyObject *
asgi_call_recover(AsgiCall *self, PyObject *exc)
{
    if (asgi_is_socket(self) || self->stage != ASGI_START || !asgi_call_is_owed(self)) {
        return NULL;
    }
    PyObject *send = NULL, *coro = NULL;
    PyObject *request = call_request(self->req);
    if (request == NULL) {
        goto done;
    }
    send = asgi_send_new(self);
    if (send == NULL) {
        goto done;
    }
    coro = PyObject_CallFunctionObjArgs(self->app->recover, request, send, exc, NULL);
done:
    Py_XDECREF(send);
    Py_XDECREF(request);
    if (coro == NULL) {
        loop_report(self->server->loop,
                    "No response could be made for the failure of an ASGI app");
    } else if (coro == Py_None) {
        Py_CLEAR(coro);
    }
    return coro;
}

bool
asgi_call_raised(AsgiCall *self)
{
    PyObject *exc = err_take();
    bool gone = is_gone_error(self, exc, GONE_DEPTH);
    PyObject *next = gone ? NULL : asgi_call_recover(self, exc);
    if (next != NULL) {
        Py_XSETREF(self->base.coro, next);
    } else {
        if (!gone) {
            asgi_call_report(self, "the app raised an exception", exc);
        }
        self->kind->end(self, true);
    }
    Py_DECREF(exc);
    return next != NULL;
}

static PySendResult
asgi_call_settle(RequestCoro *base, PyObject *result)
{
    AsgiCall *self = (AsgiCall *)base;
    if (result != NULL) {
        Py_DECREF(result);
        asgi_call_returned(self);
    } else if (request_coro_lets_through(self->server->st)) {
        PyObject *exc = err_take();
        self->kind->end(self, true);
        base->ops->release(base);
        err_restore(exc);
        return PYGEN_ERROR;
    } else if (asgi_call_raised(self)) {
        return PYGEN_NEXT;
    }
    base->ops->release(base);
    return PYGEN_RETURN;
}

/* RequestCoroOps.suspended. A client that has sent FIN gets the held head now, see HttpOps.on_eof. */
static void
asgi_call_suspended(RequestCoro *base)
{
    AsgiCall *self = (AsgiCall *)base;
    if (self->req != NULL && unlikely(self->req->eof)) {
        asgi_send_held(self);
    }
}

static const HttpRequest *
asgi_call_owed(const RequestCoro *base)
{
    return ((const AsgiCall *)base)->req;
}

const RequestCoroOps asgi_call_ops = {
    .settle = asgi_call_settle,
    .suspended = asgi_call_suspended,
    .request = asgi_call_owed,
    .release = asgi_call_release,
};
