/* What other files ask an AppServer for (see server.h): the server of a request, the threads and the context that are for it, the
 * arguments of its handler. Thread: the loop's, with the GIL.
 */
#include "base/py.h"

#include "app/server.h"

#include "app/future.h"

AppServer *
call_server(const HttpRequest *req)
{
    return (AppServer *)http_server_context(req->server);
}

bool
call_is_urgent(const HttpRequest *req)
{
    return unlikely(call_server(req)->urgent != NULL) && http_request_is_urgent(req);
}

PyObject *
call_context(const HttpRequest *req)
{
    const AppServer *server = call_server(req);
    return call_is_urgent(req) ? server->urgent_context : server->context;
}

int
call_bind(const Plan *plan, HttpRequest *req, PyObject **argv)
{
    const AppCall *call = call_of(req);
    const BindInput input = {req, &call->match, call->decoded, call_request};
    return params_bind(plan, &input, &call_server(req)->errors, argv);
}

/* Resolves the future of drain() or abort(), unless it was cancelled. */
static void
server_announce_end(AppServer *self)
{
    if (future_resolve(self->st, self->drained, Py_None) < 0) {
        loop_report(self->loop, "The end of the server could not be reported");
    }
}

void
server_tell_refused(AppServer *self, const NetAddr *peer, const HttpRefusal *refusal)
{
    NetName name;
    if (self->refused == NULL) {
        return;
    }
    net_addr_name(peer, &name);
    PyObject *result =
        PyObject_CallFunction(self->refused, "sisz", name.host, refusal->status,
                              refusal->reason, refusal->limit);
    if (result == NULL) {
        loop_report(self->loop, "The refusal of a client could not be logged");
    }
    Py_XDECREF(result);
}

void
server_drained(AppServer *self)
{
    if (self->drained != NULL) {
        server_announce_end(self);
    }
    if (self->listening) {
        self->listening = false;
        Py_DECREF((PyObject *)self);
    }
}
