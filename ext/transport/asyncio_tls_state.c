/* The objects of asyncio and ssl that TLS for asyncio needs: states, exceptions, names (see
 * transport_state.h). Runs when the module is imported and freed, under the GIL.
 */
#include "base/py.h"

#include "base/names.h"
#include "transport/asyncio_tls.h"

/* Stores the attribute `name` of the class `from` of asyncio.sslproto. */
static int
tls_setup_member(PyObject **to, const char *from, const char *name)
{
    PyObject *states = NULL;
    if (name_import(&states, "asyncio.sslproto", from) < 0) {
        return -1;
    }
    *to = PyObject_GetAttrString(states, name);
    Py_DECREF(states);
    return *to == NULL ? -1 : 0;
}

static int
tls_setup_names(TlsSteps *st)
{
    const struct {
        PyObject **to;
        const char *text;
    } names[] = {
        {&st->str_abort, "_abort"},
        {&st->str_call_later, "call_later"},
        {&st->str_call_soon, "call_soon"},
        {&st->str_cancel, "cancel"},
        {&st->str_check_handshake_timeout, "_check_handshake_timeout"},
        {&st->str_check_shutdown_timeout, "_check_shutdown_timeout"},
        {&st->str_closed, "_closed"},
        {&st->str_do_handshake, "do_handshake"},
        {&st->str_extra, "_extra"},
        {&st->str_get_app_transport, "_get_app_transport"},
        {&st->str_get_debug, "get_debug"},
        {&st->str_is_app_closed, "_is_app_closed"},
        {&st->str_log_eof, "_log_eof"},
        {&st->str_on_handshake_complete, "_on_handshake_complete"},
        {&st->str_on_shutdown_complete, "_on_shutdown_complete"},
        {&st->str_ssl_object, "ssl_object"},
        {&st->str_sslobj, "_sslobj"},
        {&st->str_start_handshake, "_start_handshake"},
        {&st->str_unwrap, "unwrap"},
        {&st->str_wakeup_waiter, "_wakeup_waiter"},
        {&st->str_warn_kept_open, "_warn_kept_open"},
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        if (name_intern(names[i].to, names[i].text) < 0) {
            return -1;
        }
    }
    return 0;
}

/* *to = module.<name>. On a Python without ssl it is an empty tuple, which matches no exception; TLS is
 * never used there. */
static int
tls_setup_exceptions(PyObject **to, const char *module, const char *name)
{
    if (name_import(to, module, name) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)
            && !PyErr_ExceptionMatches(PyExc_ImportError)) {
            return -1;
        }
        PyErr_Clear(); /* this Python has no ssl module */
        *to = PyTuple_New(0);
    }
    return *to == NULL ? -1 : 0;
}

int
tls_state_setup(TransportState *all)
{
    TlsSteps *st = &all->tls;
    if (tls_setup_names(st) < 0
        || tls_setup_exceptions(&st->ssl_error, "ssl", "SSLError") < 0
        || tls_setup_exceptions(&all->tls_again, "asyncio.sslproto", "SSLAgainErrors")
               < 0) {
        return -1;
    }
    const struct {
        PyObject **to;
        const char *from, *name;
    } states[] = {
        {&all->tls_wrapped, "SSLProtocolState", "WRAPPED"},
        {&all->tls_flushing, "SSLProtocolState", "FLUSHING"},
        {&st->do_handshake, "SSLProtocolState", "DO_HANDSHAKE"},
        {&st->shutdown, "SSLProtocolState", "SHUTDOWN"},
        {&st->unwrapped, "SSLProtocolState", "UNWRAPPED"},
        {&st->app_init, "AppProtocolState", "STATE_INIT"},
        {&st->app_made, "AppProtocolState", "STATE_CON_MADE"},
        {&st->app_eof, "AppProtocolState", "STATE_EOF"},
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(states); i++) {
        if (tls_setup_member(states[i].to, states[i].from, states[i].name) < 0) {
            return -1;
        }
    }
    return 0;
}

int
tls_steps_traverse(TlsSteps *st, visitproc visit, void *arg)
{
    PyObject **fields = (PyObject **)st;
    for (size_t i = 0; i < sizeof(*st) / sizeof(*fields); i++) {
        Py_VISIT(fields[i]);
    }
    return 0;
}

void
tls_steps_clear(TlsSteps *st)
{
    PyObject **fields = (PyObject **)st;
    for (size_t i = 0; i < sizeof(*st) / sizeof(*fields); i++) {
        Py_CLEAR(fields[i]);
    }
}
