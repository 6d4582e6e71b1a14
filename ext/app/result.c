/* See result.h. Only this file knows what the attributes of a Response object mean. It holds no state
 * between calls. Thread: the loop's, with the GIL; result_encode also a worker's.
 */
#include "base/py.h"

#include "app/result.h"

#include "app/header_pairs.h"
#include "app/sender.h"
#include "app/server.h"
#include "base/err.h"
#include "http/response.h"

static const CallNext ALL_DONE = {CALL_DONE, NULL};

static bool
is_response(const AppServer *server, PyObject *obj)
{
    return PyObject_TypeCheck(obj, server->response_type);
}

/* ---- Data --------------------------------------------------------------------------------- */

bool
result_is_data(HttpRequest *req, const Plan *plan, PyObject *result)
{
    if (plan != NULL && plan->wrap != NULL) {
        return false;
    }
    return PyDict_CheckExact(result)
           || (!is_response(call_server(req), result) && !PyCoro_CheckExact(result));
}

PyObject *
result_encode(HttpRequest *req, const Plan *plan, PyObject *result)
{
    if (plan != NULL && plan->encode != NULL) {
        return PyObject_CallOneArg(plan->encode, result);
    }
    AppServer *server = call_server(req);
    PyObject *body = PyObject_CallOneArg(server->encode, result);
    if (likely(body != NULL) || server->encode_fallback == NULL
        || !PyErr_ExceptionMatches(PyExc_Exception)) {
        return body;
    }
    PyErr_Clear(); /* the fallback meets the same value, and raises what it can't encode */
    return PyObject_CallOneArg(server->encode_fallback, result);
}

void
result_respond_json(HttpRequest *req, const Plan *plan, PyObject *body)
{
    assert(PyBytes_CheckExact(body));
    HttpHead head = {
        .status = plan == NULL ? 200 : plan->status,
        .content_type = SLICE("application/json"),
        .checked = true,
    };
    if (http_status_is_bodyless(head.status)) {
        head.content_type.len = 0;
    }
    Slice text = slice_of(PyBytes_AS_STRING(body), (size_t)PyBytes_GET_SIZE(body));
    (void)http_respond(req, &head, text, body);
}

void
result_respond_busy(HttpRequest *req)
{
    (void)http_respond_busy(req);
    const HttpRefusal refusal = {503, "Too many calls wait for a thread",
                                 "thread_queue"};
    server_tell_refused(call_server(req), &req->peer, &refusal);
}

void
result_respond_late(HttpRequest *req)
{
    (void)http_respond_busy(req);
    const HttpRefusal refusal = {
        503, "The request has waited for a thread for too long", "queue_time"};
    server_tell_refused(call_server(req), &req->peer, &refusal);
}

static int
bytes_check(PyObject *obj)
{
    if (!PyBytes_CheckExact(obj)) {
        PyErr_Format(PyExc_TypeError, "the JSON encoder must return bytes, not %.100s",
                     Py_TYPE(obj)->tp_name);
        return -1;
    }
    return 0;
}

/* ---- Response objects --------------------------------------------------------------------- */

static int
status_read(AppServer *server, PyObject *response)
{
    PyObject *value = PyObject_GetAttr(response, server->st->str_status_code);
    if (value == NULL) {
        return -1;
    }
    long status = PyLong_AsLong(value);
    Py_DECREF(value);
    if (status == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (status < 200 || status > 599) {
        PyErr_Format(PyExc_ValueError, "status_code must be 200 to 599, not %ld",
                     status);
        return -1;
    }
    return (int)status;
}

/* Writes a Response that has its whole body. 0, or -1 with an exception set. */
static int
response_write(HttpRequest *req, PyObject *response, PyObject *body)
{
    AppServer *server = call_server(req);
    if (!PyBytes_Check(body)) {
        PyErr_Format(PyExc_TypeError, "Response.body must be bytes or None, not %.100s",
                     Py_TYPE(body)->tp_name);
        return -1;
    }
    int status = status_read(server, response);
    if (status < 0) {
        return -1;
    }
    PyObject *headers = PyObject_GetAttr(response, server->st->str_raw_headers);
    int err = headers == NULL ? -1 : fields_from_pairs(&server->fields, headers);
    Py_XDECREF(headers);
    if (err < 0) {
        return -1;
    }
    HttpHead head = {.status = status, .fields = &server->fields};
    (void)http_respond(req, &head, bytes_slice(body), body);
    return 0;
}

/* The coroutine response.respond(request, sender); NULL with an exception set. */
static PyObject *
response_stream(HttpRequest *req, PyObject *response)
{
    AppServer *server = call_server(req);
    PyObject *request = call_request(req);
    PyObject *sender = request == NULL ? NULL : sender_new(server->st, req);
    PyObject *coro = NULL;
    if (sender != NULL) {
        PyObject *args[] = {response, request, sender};
        coro = PyObject_VectorcallMethod(server->st->str_respond, args, 3, NULL);
    }
    Py_XDECREF(request);
    Py_XDECREF(sender);
    return coro;
}

/* Writes or starts a Response. 0 with *next set, or -1 with an exception set. */
static int
result_respond_object(HttpRequest *req, PyObject *response, CallNext *next)
{
    PyObject *body = PyObject_GetAttr(response, call_server(req)->st->str_body);
    if (body == NULL) {
        return -1;
    }
    int err = 0;
    if (body == Py_None) {
        *next = (CallNext){CALL_STREAM, response_stream(req, response)};
        err = next->coro == NULL ? -1 : 0;
    } else {
        *next = ALL_DONE;
        err = response_write(req, response, body);
    }
    Py_DECREF(body);
    return err;
}

PyObject *
result_as_response(HttpRequest *req, const Plan *plan, PyObject *result)
{
    AppServer *server = call_server(req);
    if (is_response(server, result)) {
        return Py_NewRef(result);
    }
    if (plan->wrap != NULL) {
        return PyObject_CallOneArg(plan->wrap, result);
    }
    PyObject *body = result_encode(req, plan, result);
    if (body == NULL) {
        return NULL;
    }
    PyObject *response =
        PyObject_CallFunction((PyObject *)server->response_type, "OiOs", body,
                              plan->status, Py_None, "application/json");
    Py_DECREF(body);
    return response;
}

/* ---- Texts -------------------------------------------------------------------------------- */

/* Whether the result is the whole body of a response whose class adds nothing but a content type. */
static bool
result_is_text(const Plan *plan, PyObject *result)
{
    return plan != NULL && plan->text != NULL
           && (PyUnicode_CheckExact(result) || PyBytes_CheckExact(result));
}

/* Responds with a str, in UTF-8, or bytes. 0, or -1 with an exception set. */
static int
result_respond_text(HttpRequest *req, const Plan *plan, PyObject *result)
{
    const HttpHead head = {.status = plan->status,
                           .content_type = bytes_slice(plan->text),
                           .checked = true};
    Slice text;
    if (PyBytes_CheckExact(result)) {
        text = bytes_slice(result);
    } else {
        Py_ssize_t len;
        const char *utf8 = PyUnicode_AsUTF8AndSize(result, &len);
        if (utf8 == NULL) {
            return -1;
        }
        text = slice_of(utf8, (size_t)len);
    }
    (void)http_respond(req, &head, text, result);
    return 0;
}

/* ---- Results ------------------------------------------------------------------------------ */

/* Responds with any result. 0 with *next set, or -1 with an exception set. */
static int
result_respond_any(HttpRequest *req, const Plan *plan, PyObject *result, CallNext *next)
{
    AppServer *server = call_server(req);
    *next = ALL_DONE;
    if (unlikely(result_is_text(plan, result))) {
        return result_respond_text(req, plan, result);
    }
    if (result_is_data(req, plan, result)) {
        PyObject *body = result_encode(req, plan, result);
        int err = body == NULL ? -1 : bytes_check(body);
        if (err == 0) {
            result_respond_json(req, plan, body);
        }
        Py_XDECREF(body);
        return err;
    }
    if (is_response(server, result)) {
        return result_respond_object(req, result, next);
    }
    if (PyCoro_CheckExact(result)) {
        *next = (CallNext){CALL_HANDLER, Py_NewRef(result)};
        return 0;
    }
    PyObject *response = PyObject_CallOneArg(plan->wrap, result);
    int err = -1;
    if (response != NULL && !is_response(server, response)) {
        PyErr_Format(PyExc_TypeError,
                     "the response class must make a Response, not %.100s",
                     Py_TYPE(response)->tp_name);
    } else if (response != NULL) {
        err = result_respond_object(req, response, next);
    }
    Py_XDECREF(response);
    return err;
}

CallNext
result_respond(HttpRequest *req, const Plan *plan, CallStage stage, PyObject *result)
{
    CallNext next;
    if (result_respond_any(req, plan, result, &next) < 0) {
        return result_respond_exception(req, stage);
    }
    if (next.stage == CALL_HANDLER && stage == CALL_ERROR) {
        next.stage = CALL_ERROR;
    }
    return next;
}

/* ---- Exceptions --------------------------------------------------------------------------- */

/* The last resort, when handling an exception raised another one, which is set: reports it and responds
 * with 500. */
static void
result_give_up(HttpRequest *req)
{
    loop_report(call_server(req)->loop, "An exception handler failed");
    if (req->response == HTTP_RESPONSE_NONE) {
        (void)http_respond_error(req, 500);
    } else {
        http_abort(req);
    }
}

/* Calls on_error(request, exc): a Response, a coroutine, or NULL with an exception set. */
static PyObject *
error_handled(HttpRequest *req, PyObject *exc)
{
    PyObject *request = call_request(req);
    if (request == NULL) {
        return NULL;
    }
    PyObject *args[] = {request, exc};
    PyObject *result = PyObject_Vectorcall(call_server(req)->on_error, args, 2, NULL);
    Py_DECREF(request);
    return result;
}

/* Closes `result` if it is a coroutine, since nobody will await it. */
static void
result_drop(HttpRequest *req, PyObject *result)
{
    if (PyCoro_CheckExact(result)) {
        PyObject *closed = PyObject_CallMethod(result, "close", NULL);
        if (closed == NULL) {
            loop_report(call_server(req)->loop,
                        "The coroutine of an exception handler could not be closed");
        }
        Py_XDECREF(closed);
    }
}

CallNext
result_respond_exception(HttpRequest *req, CallStage stage)
{
    if (stage == CALL_ERROR) {
        result_give_up(req);
        return ALL_DONE;
    }
    PyObject *exc = err_take();
    PyObject *result = error_handled(req, exc);
    Py_DECREF(exc);
    CallNext next = ALL_DONE;
    if (result == NULL) {
        result_give_up(req);
    } else if (req->response == HTTP_RESPONSE_STREAMING) {
        http_abort(req); /* too late for another response; on_error has logged why */
        result_drop(req, result);
    } else if (PyCoro_CheckExact(result)) {
        next = (CallNext){CALL_ERROR, Py_NewRef(result)};
    } else if (result_respond_any(req, NULL, result, &next) < 0) {
        result_give_up(req);
    }
    Py_XDECREF(result);
    return next;
}
