/* The worker's half of a request to a WSGI app (see call.h): calls the app, iterates over its
 * result, and closes that in any case. What the app raises ends the request and is logged. That
 * includes SystemExit and KeyboardInterrupt, since the worker's thread doesn't belong to the app.
 */
#include "base/py.h"

#include "wsgi/call.h"

#include "wsgi/environ.h"
#include "base/context.h"
#include "base/err.h"

/* ---- Reports ------------------------------------------------------------------------------ */

void
wsgi_report(WsgiCall *call, const char *what, PyObject *exc)
{
    if (mount_report(call->app->report, call->req, what, exc) < 0) {
        PyErr_WriteUnraisable(call->app->report);
    }
}

/* Logs the exception that is set, and clears it. When the client has gone, a ConnectionError is not
 * logged: write() and wsgi.input raise it then, so the app isn't at fault. */
static void
run_report_raised(WsgiCall *call, const char *what)
{
    PyObject *exc = err_take();
    if (!call->gone || !PyErr_GivenExceptionMatches(exc, PyExc_ConnectionError)) {
        wsgi_report(call, what, exc);
    }
    Py_DECREF(exc);
}

/* ---- The response ------------------------------------------------------------------------- */

static bool
is_plain_sequence(PyObject *result)
{
    return PyList_CheckExact(result) || PyTuple_CheckExact(result);
}

/* Whether `result` says that it has one item, which is then the whole body. 1 or 0; -1 with an exception
 * set that is not an Exception. */
static int
has_one_item(PyObject *result)
{
    const PyTypeObject *type = Py_TYPE(result);
    if ((type->tp_as_sequence == NULL || type->tp_as_sequence->sq_length == NULL)
        && (type->tp_as_mapping == NULL || type->tp_as_mapping->mp_length == NULL)) {
        return 0;
    }
    Py_ssize_t length = PyObject_Size(result);
    if (length >= 0) {
        return length == 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyErr_Clear(); /* PEP 3333 doesn't demand len(): without it the length is unknown */
    return 0;
}

static int
run_send_items(WsgiCall *call, PyObject *result)
{
    int one = has_one_item(result);
    PyObject *iterator = one < 0 ? NULL : PyObject_GetIter(result);
    if (iterator == NULL) {
        return -1;
    }
    WsgiSent sent = WSGI_SENT_MORE;
    while (sent == WSGI_SENT_MORE) {
        PyObject *piece = PyIter_Next(iterator);
        if (piece == NULL) {
            break;
        }
        if (one > 0 && PyBytes_Check(piece) && PyBytes_GET_SIZE(piece) != 0) {
            wsgi_state_length(call, (int64_t)PyBytes_GET_SIZE(piece));
        }
        sent = wsgi_send(call, piece);
        Py_DECREF(piece);
    }
    Py_DECREF(iterator);
    if (sent == WSGI_SENT_FAILED || PyErr_Occurred()) {
        return -1;
    }
    return sent == WSGI_SENT_ENOUGH ? 0 : wsgi_finish(call);
}

static int
run_send_result(WsgiCall *call, PyObject *result)
{
    if (is_plain_sequence(result)) {
        call->returning = true;
        WsgiSent sent = wsgi_send_all(call, result);
        return sent == WSGI_SENT_MORE ? wsgi_finish(call) : (int)sent < 0 ? -1 : 0;
    }
    if (PyObject_TypeCheck(result, (PyTypeObject *)call->app->file_type)) {
        int done = wsgi_send_file(call, result);
        if (done != 0) {
            return done < 0 ? -1 : 0;
        }
    }
    return run_send_items(call, result);
}

/* ---- The call ----------------------------------------------------------------------------- */

static void
run_close_result(WsgiCall *call, PyObject *result)
{
    if (is_plain_sequence(result)) {
        return;
    }
    PyObject *close = PyObject_GetAttr(result, call->app->st->str_close);
    if (close == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear(); /* close() is optional in PEP 3333 */
        return;
    }
    PyObject *done = close == NULL ? NULL : PyObject_CallNoArgs(close);
    if (done == NULL) {
        run_report_raised(call, "close() of what the app returned raised an exception");
    }
    Py_XDECREF(done);
    Py_XDECREF(close);
}

void
wsgi_find_route(WsgiCall *call, PyObject *env, PyObject *result)
{
    if (call->app->route_of == NULL || call->route != NULL) {
        return;
    }
    PyObject *argv[] = {NULL, env, result};
    PyObject *route = PyObject_Vectorcall(call->app->route_of, argv + 1,
                                          2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (route == NULL) {
        run_report_raised(call, "the route of a request could not be read");
    } else if (PyUnicode_CheckExact(route)) {
        call->route = Py_NewRef(route);
    }
    Py_XDECREF(route);
}

/* app(environ, start_response): a new reference, or NULL with an exception set. */
static PyObject *
run_app(WsgiCall *call, PyObject *env)
{
    PyObject *argv[] = {NULL, env, wsgi_start_response_new(call)};
    if (argv[2] == NULL) {
        return NULL;
    }
    call->given = env;
    PyObject *result = PyObject_Vectorcall(call->app->app, argv + 1,
                                           2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    call->given = NULL;
    Py_DECREF(argv[2]);
    return result;
}

static void
run_call(WsgiCall *call)
{
    PyObject *env = wsgi_environ_new(call);
    PyObject *result = env == NULL ? NULL : run_app(call, env);
    Py_CLEAR(call->environ);
    if (result != NULL) {
        wsgi_find_route(call, env, result);
    }
    if (result == NULL || run_send_result(call, result) < 0) {
        run_report_raised(call, "the app raised an exception");
        wsgi_fail(call);
    }
    if (result != NULL) {
        run_close_result(call, result);
        Py_DECREF(result);
    }
    Py_XDECREF(env);
}

void
wsgi_run(PoolJob *job)
{
    WsgiCall *call = container_of(job, WsgiCall, job);
    PyObject *context = context_enter_copy(call->server->context);
    if (context == NULL) {
        run_report_raised(call, "no context could be made for the request");
        wsgi_fail(call);
        return;
    }
    run_call(call);
    context_leave(context);
    Py_DECREF(context);
}
