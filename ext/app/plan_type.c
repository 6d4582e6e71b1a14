/* The Python type Plan (see bind/plan.h), immutable once made. The constructor checks everything on
 * which the code for each request relies, so that this code needs no checks of its own.
 */
#include "base/py.h"

#include "app/plan_type.h"

#include "app/result.h"
#include "app/bind/params.h"
#include "app/bind/plan.h"
#include "app/request_type.h"
#include "app/server.h"
#include "base/made.h"
#include "app/header_pairs.h"
#include "http/response.h"

#include <structmember.h>

static int
plan_check(const Plan *self, int kind, int body, Py_ssize_t nkw)
{
    if (kind < PLAN_INLINE || kind > PLAN_POOL) {
        PyErr_Format(PyExc_ValueError, "kind must be INLINE, TASK or POOL, not %d",
                     kind);
        return -1;
    }
    if (body < HTTP_BODY_DISCARD || body > HTTP_BODY_STREAM) {
        PyErr_Format(PyExc_ValueError,
                     "body must be BODY_DISCARD … BODY_STREAM, not %d", body);
        return -1;
    }
    if (self->status < 200 || self->status > 599) {
        PyErr_Format(PyExc_ValueError, "status_code must be 200 to 599, not %d",
                     self->status);
        return -1;
    }
    if (!PyCallable_Check(self->handler)) {
        PyErr_Format(PyExc_TypeError, "the handler %R is not callable", self->handler);
        return -1;
    }
    Py_ssize_t nparams = PyTuple_GET_SIZE(self->params);
    if (nparams > PLAN_PARAMS_MAX || nkw > nparams) {
        PyErr_Format(PyExc_ValueError, "a handler takes at most %d parameters, not %zd",
                     (int)PLAN_PARAMS_MAX, nparams);
        return -1;
    }
    return 0;
}

static int
plan_read_params(Plan *self, PyTypeObject *param_type)
{
    self->plain_params = true;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->params); i++) {
        PyObject *item = PyTuple_GET_ITEM(self->params, i);
        if (!Py_IS_TYPE(item, param_type)) {
            PyErr_Format(PyExc_TypeError, "params[%zd] must be a Param, not %.100s", i,
                         Py_TYPE(item)->tp_name);
            return -1;
        }
        const Param *param = (Param *)item;
        ParamSource source = param->source;
        self->plain_params &= param->kind != PARAM_PYTHON && source != PARAM_BODY;
        self->wants_query |= source == PARAM_QUERY;
        self->wants_cookies |= source == PARAM_COOKIE;
    }
    return 0;
}

/* The handler's qualified name. For one without (a partial, an object with __call__), the name of
 * its type. */
static PyObject *
handler_name(PyObject *handler)
{
    PyObject *name = PyObject_GetAttrString(handler, "__qualname__");
    if (name != NULL && PyUnicode_CheckExact(name)) {
        return name;
    }
    if (name == NULL && !PyErr_ExceptionMatches(PyExc_Exception)) {
        return NULL;
    }
    PyErr_Clear(); /* the name is for messages: any will do */
    Py_XDECREF(name);
    return PyUnicode_FromString(Py_TYPE(handler)->tp_name);
}

/* A number that isn't negative; -1 for None. 0, or -1 with an exception set. */
static int
plan_read_limit(const char *name, PyObject *value, int64_t *out)
{
    *out = -1;
    if (value == Py_None) {
        return 0;
    }
    *out = PyLong_AsLongLong(value);
    if (*out < 0 && !PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "%s must not be negative", name);
    }
    return *out < 0 ? -1 : 0;
}

/* Takes the pattern of the route from `info`. */
static void
plan_read_path(Plan *self)
{
    PyObject *path = PyObject_GetAttrString(self->info, "path");
    Py_ssize_t len = 0;
    const char *text = path == NULL || !PyUnicode_Check(path)
                           ? NULL
                           : PyUnicode_AsUTF8AndSize(path, &len);
    if (text == NULL) {
        PyErr_Clear(); /* it isn't a route with a path: only the log would use it */
        Py_XDECREF(path);
        return;
    }
    Py_XSETREF(self->path, path);
    self->path_text = slice_of(text, (size_t)len);
}

/* Takes the content type of texts. 0, or -1 with an exception set. */
static int
plan_read_text(Plan *self, PyObject *text)
{
    if (text == Py_None) {
        return 0;
    }
    if (!PyBytes_CheckExact(text) || !http_value_is_clean(bytes_slice(text))) {
        PyErr_Format(PyExc_ValueError, "text must be a field's value, not %R", text);
        return -1;
    }
    Py_XSETREF(self->text, Py_NewRef(text));
    return 0;
}

static int
plan_fill(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {
        "handler", "kind", "params", "kwnames", "body",   "body_limit", "status_code",
        "encode",  "wrap", "info",   "timeout", "cancel", "text",       NULL};
    Plan *self = (Plan *)op;
    AppState *st = app_state(PyType_GetModule(Py_TYPE(op)));
    int kind = -1, body = HTTP_BODY_DISCARD, status = 200;
    PyObject *handler, *params = NULL, *kwnames = NULL, *limit = Py_None;
    PyObject *encode = Py_None, *wrap = Py_None, *info = Py_None, *timeout = Py_None,
             *cancel = Py_None, *text = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$iO!O!iOiOOOOOO", (char **)names,
                                     &handler, &kind, &PyTuple_Type, &params,
                                     &PyTuple_Type, &kwnames, &body, &limit, &status,
                                     &encode, &wrap, &info, &timeout, &cancel, &text)) {
        return -1;
    }
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    Py_XSETREF(self->handler, Py_NewRef(handler));
    Py_XSETREF(self->params, params == NULL ? PyTuple_New(0) : Py_NewRef(params));
    Py_XSETREF(self->kwnames, nkw == 0 ? NULL : Py_NewRef(kwnames));
    Py_XSETREF(self->encode, object_or_null(encode));
    Py_XSETREF(self->wrap, object_or_null(wrap));
    Py_XSETREF(self->info, Py_NewRef(info));
    Py_XSETREF(self->name, handler_name(handler));
    plan_read_path(self);
    self->serial = ++app_state(PyType_GetModule(Py_TYPE((PyObject *)self)))->plans;
    self->status = status;
    if (self->params == NULL || self->name == NULL
        || plan_check(self, kind, body, nkw) < 0
        || plan_read_params(self, st->param_type) < 0) {
        return -1;
    }
    if (plan_read_text(self, text) < 0
        || plan_read_limit("body_limit", limit, &self->body_limit) < 0
        || plan_read_limit("timeout", timeout, &self->timeout) < 0) {
        return -1;
    }
    self->cancel = cancel == Py_None ? -1 : PyObject_IsTrue(cancel);
    if (self->cancel < 0 && cancel != Py_None) {
        return -1;
    }
    self->kind = (PlanKind)kind;
    self->body_mode = (HttpBodyMode)body;
    self->nparams = (uint32_t)PyTuple_GET_SIZE(self->params);
    self->npositional = self->nparams - (uint32_t)nkw;
    return 0;
}

/* The HttpRequest of a `_core.Request`; NULL with TypeError for anything else. */
static HttpRequest *
plan_request(PyObject *op, PyObject *request)
{
    AppState *st = app_state(PyType_GetModule(Py_TYPE(op)));
    if (!request_type_check(st, (PyObject *)Py_TYPE(request))) {
        PyErr_Format(PyExc_TypeError, "expected a Request, not %.100s",
                     Py_TYPE(request)->tp_name);
        return NULL;
    }
    return request_http(request);
}

/* The bound arguments as (positional, keyword), for callers written in Python. */
static PyObject *
plan_bind(PyObject *op, PyObject *request)
{
    Plan *self = (Plan *)op;
    PyObject *argv[PLAN_PARAMS_MAX];
    HttpRequest *req = plan_request(op, request);
    if (req == NULL) {
        return NULL;
    }
    /* A request that was adopted and released: the handler is to get this very object. */
    bool lent = call_of(req)->request == NULL;
    if (lent) {
        call_of(req)->request = Py_NewRef(request);
    }
    int err = call_bind(self, req, argv);
    if (lent) {
        Py_CLEAR(call_of(req)->request);
    }
    if (err < 0) {
        return NULL;
    }
    PyObject *positional = PyTuple_New(self->npositional);
    PyObject *keywords = PyDict_New();
    PyObject *result = NULL;
    if (positional == NULL || keywords == NULL) {
        goto done;
    }
    for (uint32_t i = 0; i < self->npositional; i++) {
        PyTuple_SET_ITEM(positional, i, Py_NewRef(argv[i]));
    }
    for (uint32_t i = self->npositional; i < self->nparams; i++) {
        PyObject *name = PyTuple_GET_ITEM(self->kwnames, i - self->npositional);
        if (PyDict_SetItem(keywords, name, argv[i]) < 0) {
            goto done;
        }
    }
    result = PyTuple_Pack(2, positional, keywords);
done:
    params_release(self, argv);
    Py_XDECREF(positional);
    Py_XDECREF(keywords);
    return result;
}

/* plan.respond(request, result): `result` as a Response. */
static PyObject *
plan_respond(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "respond() takes a request and a result");
        return NULL;
    }
    HttpRequest *req = plan_request(op, args[0]);
    return req == NULL ? NULL : result_as_response(req, (Plan *)op, args[1]);
}

static int
plan_traverse(PyObject *op, visitproc visit, void *arg)
{
    Plan *self = (Plan *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->handler);
    Py_VISIT(self->name);
    Py_VISIT(self->params);
    Py_VISIT(self->kwnames);
    Py_VISIT(self->encode);
    Py_VISIT(self->wrap);
    Py_VISIT(self->text);
    Py_VISIT(self->info);
    Py_VISIT(self->path);
    return 0;
}

static int
plan_clear(PyObject *op)
{
    Plan *self = (Plan *)op;
    Py_CLEAR(self->handler);
    Py_CLEAR(self->name);
    Py_CLEAR(self->params);
    Py_CLEAR(self->kwnames);
    Py_CLEAR(self->encode);
    Py_CLEAR(self->wrap);
    Py_CLEAR(self->text);
    Py_CLEAR(self->info);
    Py_CLEAR(self->path);
    return 0;
}

static void
plan_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)plan_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef plan_methods[] = {
    {"bind", plan_bind, METH_O, "The arguments of the handler for a request."},
    {"respond", (PyCFunction)(void (*)(void))plan_respond, METH_FASTCALL,
     "The result of the handler as a Response."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef plan_members[] = {
    {"handler", T_OBJECT_EX, offsetof(Plan, handler), READONLY, NULL},
    {"kind", T_INT, offsetof(Plan, kind), READONLY, NULL},
    {"info", T_OBJECT, offsetof(Plan, info), READONLY, NULL},
    {"body", T_INT, offsetof(Plan, body_mode), READONLY, NULL},
    {"body_limit", T_LONGLONG, offsetof(Plan, body_limit), READONLY, NULL},
    {"timeout", T_LONGLONG, offsetof(Plan, timeout), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *
plan_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return object_made(type, args, kwargs, plan_fill);
}

static int
plan_init(PyObject *op, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return object_init_once(op, &((Plan *)op)->initialised);
}

static PyType_Slot plan_slots[] = {
    {Py_tp_doc, "What one route calls, and with which arguments."},
    {Py_tp_new, plan_new},
    {Py_tp_init, plan_init},
    {Py_tp_methods, plan_methods},
    {Py_tp_members, plan_members},
    {Py_tp_traverse, plan_traverse},
    {Py_tp_clear, plan_clear},
    {Py_tp_dealloc, plan_dealloc},
    {0, NULL},
};

static PyType_Spec plan_spec = {
    .name = "fluvial._core.Plan",
    .basicsize = sizeof(Plan),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = plan_slots,
};

/* ---- Set-up ------------------------------------------------------------------------------- */

static int
plan_add_constants(PyObject *module)
{
    static const struct {
        const char *name;
        int value;
    } constants[] = {
        {"INLINE", PLAN_INLINE},
        {"TASK", PLAN_TASK},
        {"POOL", PLAN_POOL},
        {"PATH", PARAM_PATH},
        {"QUERY", PARAM_QUERY},
        {"HEADER", PARAM_HEADER},
        {"COOKIE", PARAM_COOKIE},
        {"BODY", PARAM_BODY},
        {"REQUEST", PARAM_REQUEST},
        {"STR", PARAM_STR},
        {"INT", PARAM_INT},
        {"FLOAT", PARAM_FLOAT},
        {"BOOL", PARAM_BOOL},
        {"PYTHON", PARAM_PYTHON},
        {"BODY_DISCARD", HTTP_BODY_DISCARD},
        {"BODY_COLLECT", HTTP_BODY_COLLECT},
        {"BODY_STREAM", HTTP_BODY_STREAM},
    };
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value)
            < 0) {
            return -1;
        }
    }
    return 0;
}

int
plan_setup(PyObject *module, AppState *st)
{
    st->plan_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &plan_spec, NULL);
    if (st->plan_type == NULL || PyModule_AddType(module, st->plan_type) < 0) {
        return -1;
    }
    return plan_add_constants(module);
}
