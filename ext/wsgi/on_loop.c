/* The loop's half of a request to a WSGI app (see call.h). It gives the job to the pool when enough
 * of the request has arrived, takes in the body, and carries out the worker's orders.
 */
#include "base/py.h"

#include "wsgi/call.h"

#include "app/job.h"
#include "app/result.h"
#include "app/header_pairs.h"
#include "wsgi/environ.h"

#include <sys/socket.h>
#include <uv.h>

enum { PIECES_KEEP = WSGI_HIGH }; /* bytes of memory */

/* ---- Waiting ------------------------------------------------------------------------------ */

int
wsgi_wait(WsgiCall *self)
{
    uv_sem_t sem;
    if (self->waiter != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "another thread waits for this request");
        return -1;
    }
    int err = uv_sem_init(&sem, 0);
    assert(err == 0);
    (void)err;
    self->waiter = &sem;
    Py_BEGIN_ALLOW_THREADS
    uv_sem_wait(&sem);
    Py_END_ALLOW_THREADS
    uv_sem_destroy(&sem); /* uv_sem_post was called with the GIL, so it has returned */
    return 0;
}

static void
wsgi_call_wake(WsgiCall *self)
{
    uv_sem_t *waiter = self->waiter;
    if (waiter != NULL) {
        self->waiter = NULL;
        uv_sem_post(waiter);
    }
}

/* ---- Orders ------------------------------------------------------------------------------- */

static void wsgi_on_orders(InboxNode *node);

void
wsgi_order(WsgiCall *self, unsigned orders)
{
    self->orders |= orders;
    if (self->posted || self->returning) {
        return;
    }
    self->posted = true;
    self->node.run = wsgi_on_orders;
    Py_INCREF((PyObject *)self);
    if (!loop_post(self->server->loop, &self->node)) {
        self->posted = false;
        self->gone = true;
        Py_DECREF((PyObject *)self);
    }
}

static HttpHead
wsgi_call_head(const WsgiCall *self)
{
    HttpHead head = {.status = self->status, .fields = &self->fields};
    Py_ssize_t len = PyUnicode_GET_LENGTH(self->status_line);
    if (len > 4) {
        const char *text = (const char *)PyUnicode_1BYTE_DATA(self->status_line);
        head.reason = slice_of(text + 4, (size_t)len - 4);
    }
    return head;
}

static void
wsgi_call_write_whole(WsgiCall *self)
{
    const HttpHead head = wsgi_call_head(self);
    PyObject *body = self->whole;
    self->whole = NULL;
    Slice bytes = body == NULL ? SLICE("") : bytes_slice(body);
    if (http_respond(self->req, &head, bytes, body) != 0) {
        self->gone = true;
    }
    Py_XDECREF(body);
}

static void
wsgi_call_write_pieces(WsgiCall *self)
{
    PyObject *out = self->out;
    self->out = NULL;
    self->out_bytes = 0;
    for (Py_ssize_t i = 0; out != NULL && i < PyList_GET_SIZE(out); i++) {
        PyObject *piece = PyList_GET_ITEM(out, i);
        if (http_stream_write(self->req, bytes_slice(piece), piece) != 0) {
            self->gone = true;
            break;
        }
    }
    Py_XDECREF(out);
}

static void
wsgi_call_write_stream(WsgiCall *self, unsigned orders)
{
    HttpRequest *req = self->req;
    HttpBatch batch = http_batch_begin(req);
    if (orders & WSGI_BEGIN) {
        const HttpHead head = wsgi_call_head(self);
        if (http_stream_begin(req, &head, self->length) != 0) {
            self->gone = true;
        }
    }
    if (orders & WSGI_LENT) {
        http_stream_lent(req, self->lent_bytes);
    }
    wsgi_call_write_pieces(self);
    if (orders & WSGI_END) {
        (void)http_stream_end(
            req); /* the worker has already logged if bytes are missing */
    }
    http_batch_end(batch);
    self->full = http_stream_full(req);
}

static void
wsgi_call_lend(WsgiCall *self)
{
    self->loan_error = http_stream_lend(self->req, &self->loan);
    if (self->loan_error != 0) {
        self->loan.fd = -1;
    }
}

/* Before the end of the response, with which the request is counted. */
static void
wsgi_call_note_route(WsgiCall *self)
{
    if (unlikely(self->route != NULL)) {
        counted_note(self->req, self->route);
        Py_CLEAR(self->route);
    }
}

static void
wsgi_call_carry_out(WsgiCall *self)
{
    unsigned orders = self->orders;
    HttpRequest *req = self->req;
    self->orders = 0;
    if (req == NULL || (orders == 0 && self->out == NULL)) {
        return;
    }
    wsgi_call_note_route(self);
    if (orders & WSGI_RESUME) {
        http_body_resume(req);
    }
    if (orders & WSGI_WHOLE) {
        wsgi_call_write_whole(self);
    }
    if ((orders & (WSGI_BEGIN | WSGI_LENT | WSGI_END)) || self->out != NULL) {
        wsgi_call_write_stream(self, orders);
    }
    if (orders & WSGI_LEND) {
        wsgi_call_lend(self);
    }
    if ((orders & WSGI_FAIL) && req->response == HTTP_RESPONSE_NONE) {
        (void)http_respond_error(req, 500);
    } else if (orders & WSGI_FAIL) {
        http_abort(req);
    }
    wsgi_call_wake(self);
}

static void
wsgi_on_orders(InboxNode *node)
{
    WsgiCall *self = container_of(node, WsgiCall, node);
    self->posted = false;
    wsgi_call_carry_out(self);
    Py_DECREF((PyObject *)self);
}

/* ---- The end ------------------------------------------------------------------------------ */

/* Gives the memory of the fields to the app, for the next call. */
static void
wsgi_call_return_fields(WsgiCall *self)
{
    HttpFields *scratch = &self->app->fields;
    if (scratch->raw.ptr == NULL) {
        *scratch = self->fields;
        self->fields = (HttpFields){.has_date = false};
    } else {
        http_fields_free(&self->fields);
    }
}

static void
wsgi_call_end(WsgiCall *self)
{
    HttpRequest *req = self->req;
    job_over(req, &self->late);
    self->req = NULL;
    self->gone = true;
    wsgi_call_return_fields(self);
    buf_free(&self->pieces);
    Py_CLEAR(self->environ);
    Py_CLEAR(self->route);
    Py_CLEAR(self->whole);
    Py_CLEAR(self->out);
    wsgi_call_wake(self);
    call_of(req)->mounted = NULL;
    http_request_unref(req);
    Py_DECREF((PyObject *)self);
}

static void
wsgi_call_job_done(InboxNode *node)
{
    WsgiCall *self = container_of(node, WsgiCall, job.done);
    wsgi_call_carry_out(self);
    wsgi_call_end(self);
}

/* The pool was closed before the job ran: the connections are closed as well, so there is no response. */
static void
wsgi_call_job_abandon(PoolJob *job)
{
    wsgi_call_end(container_of(job, WsgiCall, job));
}

/* ---- The start ---------------------------------------------------------------------------- */

/* A new call, which the request owns; NULL with an exception set. */
static WsgiCall *
wsgi_call_new(HttpRequest *req, WsgiApp *app)
{
    AppServer *server = call_server(req);
    PyTypeObject *type = app->st->wsgi_call_type;
    PyObject *env = wsgi_environ_template(app, req);
    WsgiCall *self = env == NULL ? NULL : (WsgiCall *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_XDECREF(env);
        return NULL;
    }
    self->job = (PoolJob){.done = {.run = wsgi_call_job_done},
                          .run = wsgi_run,
                          .abandon = wsgi_call_job_abandon};
    self->server = (AppServer *)Py_NewRef((PyObject *)server);
    self->app = (WsgiApp *)Py_NewRef((PyObject *)app);
    self->environ = env;
    self->left = -1;
    self->loan.fd = -1;
    http_request_ref(req);
    self->req = req;
    call_of(req)->mounted = self;
    return self;
}

static void
wsgi_call_submit(WsgiCall *self)
{
    self->submitted = true;
    if (job_submit(self->req, &self->job, &self->late) != 0) {
        result_respond_busy(self->req);
        wsgi_call_end(self);
    }
}

static HttpBodyMode
wsgi_on_head(HttpRequest *req)
{
    return req->has_body ? HTTP_BODY_STREAM : HTTP_BODY_DISCARD;
}

static void
wsgi_on_request(HttpRequest *req, Mount *mount)
{
    WsgiCall *self = wsgi_call_new(req, (WsgiApp *)mount);
    if (self == NULL) {
        loop_report(call_server(req)->loop, "A request could not be handled");
        (void)http_respond_error(req, 500);
        return;
    }
    if (req->has_body && !req->body_complete && req->expect_continue) {
        http_body_pause(req); /* until the app asks for the body */
        self->paused = true;
    }
    if (!req->has_body || req->body_complete || self->paused) {
        wsgi_call_submit(self);
    }
}

/* ---- The body, and other events of the connection ----------------------------------------- */

/* The client has gone. Wakes the worker, which notices `gone`; without a worker the call ends here. */
static void
wsgi_call_client_gone(WsgiCall *self)
{
    self->gone = true;
    if (self->loan.fd >= 0 && !loop_is_forked(self->server->loop)) {
        (void)shutdown(self->loan.fd, SHUT_RDWR);
    }
    wsgi_call_wake(self);
    if (!self->submitted || job_withdraw(self->req, &self->job)) {
        wsgi_call_end(self);
    }
}

static void
wsgi_on_body(HttpRequest *req, Slice piece)
{
    WsgiCall *self = call_of(req)->mounted;
    if (self == NULL) {
        return;
    }
    Buf *pieces = &self->pieces;
    if (self->from > pieces->len / 2) {
        buf_consume(pieces, self->from);
        self->from = 0;
    }
    if (buf_append_slice(pieces, piece) != 0) {
        http_abort(req);
        wsgi_call_client_gone(self);
        return;
    }
    if (pieces->len - self->from >= WSGI_HIGH && !self->paused) {
        self->paused = true;
        http_body_pause(req);
    }
    wsgi_call_wake(self);
    if (!self->submitted && self->paused) {
        wsgi_call_submit(self);
    }
}

static void
wsgi_on_body_end(HttpRequest *req)
{
    WsgiCall *self = call_of(req)->mounted;
    if (self == NULL) {
        return;
    }
    wsgi_call_wake(self);
    if (!self->submitted) {
        wsgi_call_submit(self);
    }
}

static void
wsgi_on_gone(HttpRequest *req)
{
    WsgiCall *self = call_of(req)->mounted;
    if (self != NULL) {
        wsgi_call_client_gone(self);
    }
}

static void
wsgi_on_writable(HttpRequest *req)
{
    WsgiCall *self = call_of(req)->mounted;
    if (self == NULL) {
        return;
    }
    self->full = http_stream_full(req);
    if (self->loan_error == UV_EAGAIN) {
        wsgi_call_lend(self);
    }
    wsgi_call_wake(self);
}

const MountOps wsgi_mount_ops = {
    .head = wsgi_on_head,
    .request = wsgi_on_request,
    .body = wsgi_on_body,
    .body_end = wsgi_on_body_end,
    .gone = wsgi_on_gone,
    .writable = wsgi_on_writable,
};

/* ---- The type ----------------------------------------------------------------------------- */

static int
wsgi_call_traverse(PyObject *op, visitproc visit, void *arg)
{
    WsgiCall *self = (WsgiCall *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT((PyObject *)self->server);
    Py_VISIT((PyObject *)self->app);
    Py_VISIT(self->environ);
    return 0;
}

/* Only called for calls that are over. Until then the request holds a reference that the garbage
 * collector doesn't see. */
static int
wsgi_call_clear(PyObject *op)
{
    WsgiCall *self = (WsgiCall *)op;
    Py_CLEAR(self->environ);
    Py_CLEAR(self->route); /* a worker may set it when the call is over */
    Py_CLEAR(self->server);
    Py_CLEAR(self->app);
    return 0;
}

static void
wsgi_call_dealloc(PyObject *op)
{
    WsgiCall *self = (WsgiCall *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    assert(self->req == NULL && self->waiter == NULL && self->loan.fd < 0);
    (void)wsgi_call_clear(op);
    Py_XDECREF(self->status_line);
    http_fields_free(&self->fields);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot wsgi_call_slots[] = {
    {Py_tp_doc, "A request to a WSGI app."},
    {Py_tp_traverse, wsgi_call_traverse},
    {Py_tp_clear, wsgi_call_clear},
    {Py_tp_dealloc, wsgi_call_dealloc},
    {0, NULL},
};

static PyType_Spec wsgi_call_spec = {
    .name = "fluvial._core.WsgiCall",
    .basicsize = sizeof(WsgiCall),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = wsgi_call_slots,
};

int
wsgi_call_setup(PyObject *module, WsgiState *st)
{
    st->wsgi_call_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &wsgi_call_spec, NULL);
    return st->wsgi_call_type == NULL ? -1
                                      : PyModule_AddType(module, st->wsgi_call_type);
}
