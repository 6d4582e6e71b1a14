/* What happens once per connection in TLS for asyncio: the steps of handshake and shutdown (see
 * asyncio_tls.h). They are those of asyncio.sslproto.SSLProtocol, whose own methods are called for the
 * rest: debug mode, failures, exceeded limits.
 */
#include "base/py.h"

#include "base/err.h"
#include "loop/loop.h"
#include "transport/asyncio_tls.h"

/* ---- Calls -------------------------------------------------------------------------------- */

static bool
is_none(const PyObject *obj)
{
    return obj == NULL || obj == Py_None;
}

/* 0, or -1 if `res` (stolen) is NULL. */
static int
done_or_error(PyObject *res)
{
    Py_XDECREF(res);
    return res == NULL ? -1 : 0;
}

/* Calls the Python method self.<name>(arg). `arg` is borrowed. */
static int
self_call(Tls *self, PyObject *name, PyObject *arg)
{
    return done_or_error(PyObject_CallMethodOneArg((PyObject *)self, name, arg));
}

/* The same for a method without arguments. */
static int
self_do(Tls *self, PyObject *name)
{
    return done_or_error(PyObject_CallMethodNoArgs((PyObject *)self, name));
}

/* Whether the loop is in debug mode, in which asyncio logs the steps: 1 or 0; -1 on error. */
static int
tls_debug(Tls *self)
{
    PyObject *loop = is_none(self->loop) ? Py_None : self->loop;
    PyObject *res = PyObject_CallMethodNoArgs(loop, self->st->tls.str_get_debug);
    int debug = res == NULL ? -1 : PyObject_IsTrue(res);
    Py_XDECREF(res);
    return debug;
}

/* *timer = loop.call_later(limit, self.<check>) */
static int
timer_start(Tls *self, PyObject **timer, PyObject *limit, PyObject *check)
{
    PyObject *method = PyObject_GetAttr((PyObject *)self, check);
    if (method == NULL) {
        return -1;
    }
    PyObject *argv[] = {self->loop, is_none(limit) ? Py_None : limit, method};
    PyObject *handle =
        PyObject_VectorcallMethod(self->st->tls.str_call_later, argv, 3, NULL);
    Py_DECREF(method);
    if (handle == NULL) {
        return -1;
    }
    Py_XSETREF(*timer, handle);
    return 0;
}

static int
timer_cancel(Tls *self, PyObject **timer)
{
    PyObject *handle = *timer;
    *timer = NULL;
    if (is_none(handle)) {
        Py_XDECREF(handle);
        return 0;
    }
    int err =
        done_or_error(PyObject_CallMethodNoArgs(handle, self->st->tls.str_cancel));
    Py_DECREF(handle);
    return err;
}

/* ---- States ------------------------------------------------------------------------------- */

int
tls_set_state(Tls *self, PyObject *state)
{
    const TlsSteps *st = &self->st->tls;
    PyObject *from = self->state;
    bool allowed = state == st->unwrapped
                   || (from == st->unwrapped && state == st->do_handshake)
                   || (from == st->do_handshake && state == self->st->tls_wrapped)
                   || (from == self->st->tls_wrapped && state == self->st->tls_flushing)
                   || (from == self->st->tls_flushing && state == st->shutdown);
    if (!allowed) {
        PyErr_Format(PyExc_RuntimeError, "cannot switch state from %S to %S",
                     is_none(from) ? Py_None : from, state);
        return -1;
    }
    Py_XSETREF(self->state, Py_NewRef(state));
    return 0;
}

/* ---- Handshake ---------------------------------------------------------------------------- */

/* Sets only `ssl_object` for get_extra_info(). Other facts are looked up when they are requested. */
static int
tls_note_handshake(Tls *self)
{
    const TlsSteps *st = &self->st->tls;
    PyObject *extra = PyObject_GetAttr((PyObject *)self, st->str_extra);
    PyObject *sslobj =
        extra == NULL ? NULL : PyObject_GetAttr((PyObject *)self, st->str_sslobj);
    int err = sslobj == NULL ? -1 : PyObject_SetItem(extra, st->str_ssl_object, sslobj);
    Py_XDECREF(extra);
    Py_XDECREF(sslobj);
    return err;
}

static int
tls_app_connection_made(Tls *self)
{
    const TlsSteps *st = &self->st->tls;
    if (self->app_state != st->app_init) {
        return 0;
    }
    Py_XSETREF(self->app_state, Py_NewRef(st->app_made));
    PyObject *transport =
        PyObject_CallMethodNoArgs((PyObject *)self, st->str_get_app_transport);
    if (transport == NULL) {
        return -1;
    }
    PyObject *app =
        Py_NewRef(is_none(self->app_protocol) ? Py_None : self->app_protocol);
    PyObject *res =
        PyObject_CallMethodOneArg(app, self->st->str_connection_made, transport);
    Py_DECREF(app);
    Py_DECREF(transport);
    return done_or_error(res);
}

static int
tls_handshake_done(Tls *self)
{
    const TlsSteps *st = &self->st->tls;
    int debug = tls_debug(self);
    if (debug != 0) {
        return debug < 0 ? -1 : self_call(self, st->str_on_handshake_complete, Py_None);
    }
    if (timer_cancel(self, &self->handshake_timer) < 0
        || tls_set_state(self, self->st->tls_wrapped) < 0
        || tls_note_handshake(self) < 0 || tls_app_connection_made(self) < 0) {
        return -1;
    }
    if (!is_none(self->waiter) && self_do(self, st->str_wakeup_waiter) < 0) {
        return -1;
    }
    return tls_read(self);
}

/* A step has raised the exception that is set. If the peer only has to send more: 0. If TLS has failed,
 * the method `told` of asyncio's class gets the exception. Other exceptions stay set: -1. */
static int
tls_not_done(Tls *self, PyObject *told)
{
    if (PyErr_ExceptionMatches(self->st->tls_again)) {
        PyErr_Clear(); /* no error: the step is repeated when bytes have arrived */
        return tls_flush(self);
    }
    if (!PyErr_ExceptionMatches(self->st->tls.ssl_error)) {
        return -1;
    }
    PyObject *exc = err_take();
    int err = self_call(self, told, exc);
    Py_DECREF(exc);
    return err;
}

int
tls_handshake(Tls *self)
{
    const TlsSteps *st = &self->st->tls;
    if (self->server_side) { /* a server has nothing to do before the client begins */
        Py_ssize_t pending = tls_incoming(self);
        if (pending <= 0) {
            return (int)pending;
        }
    }
    PyObject *res = PyObject_CallMethodNoArgs(self->records, st->str_do_handshake);
    if (res != NULL) {
        Py_DECREF(res);
        return tls_handshake_done(self);
    }
    return tls_not_done(self, st->str_on_handshake_complete);
}

int
tls_begin(Tls *self, PyObject *transport)
{
    const TlsSteps *st = &self->st->tls;
    Py_XSETREF(self->transport, Py_NewRef(transport));
    int debug = tls_debug(self);
    if (debug != 0) {
        return debug < 0 ? -1 : self_do(self, st->str_start_handshake);
    }
    if (tls_set_state(self, st->do_handshake) < 0
        || timer_start(self, &self->handshake_timer, self->handshake_limit,
                       st->str_check_handshake_timeout)
               < 0) {
        return -1;
    }
    return tls_handshake(self);
}

/* ---- Shutdown ----------------------------------------------------------------------------- */

int
tls_call_eof_received(Tls *self)
{
    const TlsSteps *st = &self->st->tls;
    if (self->app_state != st->app_made) {
        return 0;
    }
    Py_XSETREF(self->app_state, Py_NewRef(st->app_eof));
    PyObject *app =
        Py_NewRef(is_none(self->app_protocol) ? Py_None : self->app_protocol);
    PyObject *res = PyObject_CallMethodNoArgs(app, self->st->str_eof_received);
    Py_DECREF(app);
    int keep = res == NULL ? -1 : PyObject_IsTrue(res);
    Py_XDECREF(res);
    if (keep == 0) {
        return 0;
    }
    if (keep > 0) {
        return self_do(self, st->str_warn_kept_open);
    }
    if (err_is_fatal()) {
        return -1;
    }
    PyObject *exc = err_take();
    res = PyObject_CallMethod((PyObject *)self, "_fatal_error", "Os", exc,
                              "Error calling eof_received()");
    Py_DECREF(exc);
    return done_or_error(res);
}

static int
tls_shutdown_done(Tls *self)
{
    PyObject *below = self->transport;
    if (timer_cancel(self, &self->shutdown_timer) < 0) {
        return -1;
    }
    if (is_none(below)) {
        return 0; /* the connection was lost meanwhile */
    }
    PyObject *close = PyObject_GetAttr(below, self->st->str_close);
    PyObject *res = NULL;
    if (close != NULL) {
        res = PyObject_CallMethodOneArg(self->loop, self->st->tls.str_call_soon, close);
        Py_DECREF(close);
    }
    return done_or_error(res);
}

/* Exchanges close_notify, unless the transport below has already reached its end. */
int
tls_shut_down(Tls *self)
{
    const TlsSteps *st = &self->st->tls;
    if (!self->eof_received) {
        PyObject *sslobj = PyObject_GetAttr((PyObject *)self, st->str_sslobj);
        PyObject *res =
            sslobj == NULL ? NULL : PyObject_CallMethodNoArgs(sslobj, st->str_unwrap);
        Py_XDECREF(sslobj);
        if (res == NULL) {
            return tls_not_done(self, st->str_on_shutdown_complete);
        }
        Py_DECREF(res);
    }
    if (tls_flush(self) < 0 || tls_call_eof_received(self) < 0) {
        return -1;
    }
    return tls_shutdown_done(self);
}

/* Whether bytes can't be delivered because the application has paused reading: 1, 0, or -1. Then the
 * shutdown waits although the peer has closed; resume_reading() continues it. */
static int
tls_has_undelivered(Tls *self)
{
    if (!self->app_paused) {
        return 0;
    }
    Py_ssize_t unread = tls_unread(self);
    if (unread <= 0) {
        return (int)unread;
    }
    PyObject *closed =
        PyObject_CallMethodNoArgs((PyObject *)self, self->st->tls.str_is_app_closed);
    int waits = closed == NULL ? -1 : !PyObject_IsTrue(closed);
    Py_XDECREF(closed);
    return waits;
}

int
tls_flush_and_shut(Tls *self)
{
    int waits = tls_read(self) < 0 ? -1 : tls_has_undelivered(self);
    if (waits != 0) {
        return waits < 0 ? -1 : 0;
    }
    if (self->state == self->st->tls.unwrapped) {
        return 0;
    }
    return tls_set_state(self, self->st->tls.shutdown) < 0 ? -1 : tls_shut_down(self);
}

int
tls_start_shutdown(Tls *self)
{
    const TlsSteps *st = &self->st->tls;
    if (self->state == self->st->tls_flushing || self->state == st->shutdown
        || self->state == st->unwrapped) {
        return 0;
    }
    if (!is_none(self->app_transport)
        && PyObject_SetAttr(self->app_transport, st->str_closed, Py_True) < 0) {
        return -1;
    }
    if (self->state == st->do_handshake) {
        return self_do(self, st->str_abort);
    }
    if (tls_set_state(self, self->st->tls_flushing) < 0
        || timer_start(self, &self->shutdown_timer, self->shutdown_limit,
                       st->str_check_shutdown_timeout)
               < 0) {
        return -1;
    }
    return tls_flush_and_shut(self);
}

/* Handles the end of the transport below according to the state. */
static int
tls_ended_below(Tls *self)
{
    const TlsSteps *st = &self->st->tls;
    if (self->state == st->do_handshake) {
        return self_call(self, st->str_on_handshake_complete,
                         PyExc_ConnectionResetError);
    }
    if (self->state == self->st->tls_wrapped) {
        int err = tls_set_state(self, self->st->tls_flushing);
        return err < 0 || self->app_paused ? err : tls_flush_and_shut(self);
    }
    if (self->state == self->st->tls_flushing) {
        if (self_do(self, self->st->str_do_write) < 0
            || tls_set_state(self, st->shutdown) < 0) {
            return -1;
        }
        return tls_shut_down(self);
    }
    return self->state == st->shutdown ? tls_shut_down(self) : 0;
}

/* Closes the transport below because of the exception that is set, which stays set. A failure of close()
 * is reported; SystemExit and KeyboardInterrupt replace the exception. */
static void
tls_close_below(Tls *self)
{
    PyObject *exc = err_take();
    PyObject *res = PyObject_CallMethodNoArgs(self->transport, self->st->str_close);
    Py_XDECREF(res);
    if (res == NULL && err_is_fatal()) {
        Py_DECREF(exc);
        return;
    }
    if (res == NULL) {
        PyErr_WriteUnraisable(self->transport);
    }
    err_restore(exc);
}

PyObject *
tls_py_eof_received(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Tls *self = (Tls *)op;
    bool keeps_open = self->state == self->st->tls_wrapped && self->app_paused;
    self->eof_received = true;
    int debug = tls_check_ready(self) < 0 ? -1 : tls_debug(self);
    if (debug > 0 && self_do(self, self->st->tls.str_log_eof) < 0) {
        debug = -1;
    }
    if (debug >= 0 && tls_ended_below(self) == 0) {
        return PyBool_FromLong(keeps_open);
    }
    if (PyErr_ExceptionMatches(PyExc_Exception) && !is_none(self->transport)) {
        tls_close_below(self);
    }
    return NULL;
}

/* Called when bytes have arrived in a state other than WRAPPED. */
int
tls_step(Tls *self)
{
    const TlsSteps *st = &self->st->tls;
    if (self->state == st->do_handshake) {
        return tls_handshake(self);
    }
    if (self->state == self->st->tls_flushing) {
        return tls_flush_and_shut(self);
    }
    return self->state == st->shutdown ? tls_shut_down(self) : 0;
}
