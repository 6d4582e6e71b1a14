/* Schedules connection_made() of protocols, calls them, and reports failures of protocols and transports to
 * the loop (see protocol.h).
 */
#include "base/py.h"

#include "transport/protocol.h"
#include "base/err.h"

int
protocol_begin(const TransportState *st, Loop *loop, PyObject *transport,
               PyObject *protocol, PyObject *context, PyObject *waiter)
{
    PyObject *made = PyObject_GetAttr(protocol, st->str_connection_made);
    PyObject *begin = PyObject_GetAttr(transport, st->str_begin);
    int err = -1;
    if (made != NULL && begin != NULL) {
        err = loop_call_soon(loop, made, transport, context);
        if (err == 0) {
            err = loop_call_soon(loop, begin, waiter, context);
        }
    }
    Py_XDECREF(made);
    Py_XDECREF(begin);
    return err;
}

PyObject *
protocol_call(Loop *loop, PyObject *context, PyObject *name, PyObject **argv,
              size_t nargs)
{
    if (PyContext_Enter(context) < 0) {
        return NULL;
    }
    PyObject *protocol =
        Py_NewRef(argv[0]); /* set_protocol() may replace it meanwhile */
    loop_run_due_hooks(loop);
    uint64_t begun = loop_slow_begin(loop);
    PyObject *res = PyObject_VectorcallMethod(name, argv, nargs, NULL);
    loop_slow_end(loop, begun, protocol, name);
    Py_DECREF(protocol);
    if (PyContext_Exit(context) < 0) {
        Py_CLEAR(res);
    }
    return res;
}

PyObject *
protocol_failed(Loop *loop, const char *method, PyObject *transport, PyObject *protocol,
                const char *message)
{
    if (err_is_fatal()) {
        loop_report(loop, message);
        return NULL;
    }
    PyObject *exc = err_take();
    PyObject *res = PyObject_CallMethod((PyObject *)loop, method, "OOsO", transport,
                                        protocol, message, exc);
    if (res == NULL) {
        loop_report(loop, message);
    }
    Py_XDECREF(res);
    return exc;
}

void
protocol_report(Loop *loop, PyObject *transport, PyObject *protocol,
                const char *message)
{
    Py_XDECREF(protocol_failed(loop, "_protocol_failed", transport, protocol, message));
}

void
protocol_pause(const TransportState *st, Loop *loop, PyObject *transport,
               PyObject *protocol)
{
    Py_INCREF(protocol); /* it may replace itself by set_protocol() */
    /* Called from write(), perhaps within the transport's own context, which can't be entered twice. */
    PyObject *res = PyObject_CallMethodNoArgs(protocol, st->str_pause_writing);
    if (res == NULL) {
        protocol_report(loop, transport, protocol, "protocol.pause_writing() failed");
    }
    Py_XDECREF(res);
    Py_DECREF(protocol);
}

void
protocol_resume(const TransportState *st, Loop *loop, PyObject *context,
                PyObject *transport, PyObject *protocol)
{
    PyObject *argv[] = {protocol};
    Py_INCREF(protocol); /* as above */
    PyObject *res = protocol_call(loop, context, st->str_resume_writing, argv, 1);
    if (res == NULL) {
        protocol_report(loop, transport, protocol, "protocol.resume_writing() failed");
    }
    Py_XDECREF(res);
    Py_DECREF(protocol);
}
