/* See params.h. Finds the text of each parameter and converts it. All failures go into one
 * RequestValidationError, in the shape of pydantic's errors. The texts are borrowed from the
 * request; only the results are allocated.
 */
#include "base/py.h"

#include "app/bind/params.h"

#include "app/bind/number.h"
#include "base/text.h"
#include "app/bind/problems.h"
#include "app/bind/query_string.h"
#include "base/err.h"

/* The state of one call of params_bind, on its stack. */
typedef struct Binder {
    const Plan *plan;
    const BindInput *input;   /* borrowed */
    HttpRequest *req;         /* borrowed: input->req */
    const BindErrors *errors; /* borrowed */
    Problems problems;
    /* For each QUERY and COOKIE parameter: the last value seen; with `many` also all of them. */
    Slice found[PLAN_PARAMS_MAX];
    bool seen[PLAN_PARAMS_MAX];
    PyObject
        *lists[PLAN_PARAMS_MAX]; /* owned list of str; NULL until the first value */
} Binder;

/* ---- One value ---------------------------------------------------------------------------- */

/* The decoded str, as the handler, a converter or an error's "input" gets it. */
static PyObject *
param_text(ParamSource source, Slice text)
{
    switch (source) {
    case PARAM_QUERY:
        return text_query(text);
    case PARAM_HEADER:
        return text_latin1(text);
    case PARAM_COOKIE:
        return text_cookie(text);
    case PARAM_PATH:
    case PARAM_BODY:
    case PARAM_REQUEST:
        break;
    }
    return text_utf8(text);
}

static PyObject *
scalar_convert(ParamKind kind, Slice text)
{
    switch (kind) {
    case PARAM_INT:
        return number_int(text);
    case PARAM_FLOAT:
        return number_float(text);
    case PARAM_BOOL:
        return number_bool(text);
    case PARAM_STR:
    case PARAM_PYTHON:
        break;
    }
    return text_utf8(text);
}

/* As scalar_convert, from the decoded str `text` (borrowed). */
static PyObject *
scalar_from_str(ParamKind kind, PyObject *text)
{
    Py_ssize_t len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    return utf8 == NULL ? NULL : scalar_convert(kind, slice_of(utf8, (size_t)len));
}

/* Calls param->convert with `value` (borrowed). 0 with *out set; 0 with *out NULL when it raised a
 * validation error, which is recorded; -1 with an exception set. */
static int
value_by_python(Binder *b, const Param *param, PyObject *value, PyObject **out)
{
    *out = PyObject_CallOneArg(param->convert, value);
    return *out != NULL ? 0 : problems_adopt(&b->problems, b->errors->validation_error);
}

/* Converts one value. 0 with *out set; 0 with *out NULL when an error was recorded; -1 with an exception
 * set. */
static int
value_new(Binder *b, const Param *param, Slice text, PyObject **out)
{
    *out = NULL;
    bool encoded = param->source == PARAM_QUERY
                   && (text_is_quoted(text) || memchr(text.ptr, '+', text.len) != NULL);
    if (param->kind != PARAM_STR && param->kind != PARAM_PYTHON && !encoded) {
        *out = scalar_convert(param->kind, text);
        if (*out != NULL) {
            return 0;
        }
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    PyObject *str = param_text(param->source, text);
    if (str == NULL) {
        return -1;
    }
    if (param->kind == PARAM_STR) {
        *out = str;
        return 0;
    }
    if (encoded && param->kind != PARAM_PYTHON) {
        *out = scalar_from_str(param->kind, str);
    }
    int err = 0;
    if (*out == NULL) { /* pydantic may accept it; if not, it says what is wrong */
        err = PyErr_Occurred() ? -1 : value_by_python(b, param, str, out);
    }
    Py_DECREF(str);
    return err;
}

/* Converts the list of str `texts` (borrowed) item by item, or as a whole for PYTHON and when C refuses an item. */
static int
list_new(Binder *b, const Param *param, PyObject *texts, PyObject **out)
{
    *out = NULL;
    if (param->kind == PARAM_STR) {
        *out = Py_NewRef(texts);
        return 0;
    }
    if (param->kind == PARAM_PYTHON) {
        return value_by_python(b, param, texts, out);
    }
    Py_ssize_t n = PyList_GET_SIZE(texts);
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
        PyObject *value = scalar_from_str(param->kind, PyList_GET_ITEM(texts, i));
        if (value == NULL) {
            Py_CLEAR(list);
            return PyErr_Occurred() ? -1 : value_by_python(b, param, texts, out);
        }
        PyList_SET_ITEM(list, i, value);
    }
    *out = list;
    return list == NULL ? -1 : 0;
}

static int
value_absent(Binder *b, const Param *param, PyObject **out)
{
    if (param->required) {
        *out = NULL;
        return problems_missing(&b->problems, param);
    }
    *out = Py_NewRef(param->fallback);
    return 0;
}

/* ---- Sources ------------------------------------------------------------------------------ */

/* Records `value` for every parameter of `source` with that name. */
static int
binder_note(Binder *b, ParamSource source, Slice name, Slice value)
{
    for (uint32_t i = 0; i < b->plan->nparams; i++) {
        const Param *param = plan_param(b->plan, i);
        if (param->source != source) {
            continue;
        }
        bool same = source == PARAM_QUERY ? query_name_is(name, param->key_text)
                                          : slice_eq(name, param->key_text);
        if (!same) {
            continue;
        }
        b->found[i] = value;
        b->seen[i] = true;
        if (!param->many) {
            continue;
        }
        PyObject *text = param_text(source, value);
        if (text == NULL) {
            return -1;
        }
        if (b->lists[i] == NULL) {
            b->lists[i] = PyList_New(0);
        }
        int err = b->lists[i] == NULL ? -1 : PyList_Append(b->lists[i], text);
        Py_DECREF(text);
        if (err < 0) {
            return -1;
        }
    }
    return 0;
}

static int
binder_scan_query(Binder *b)
{
    QueryIter it = {http_request_query(b->req)};
    Slice name, value;
    while (query_next(&it, &name, &value)) {
        if (binder_note(b, PARAM_QUERY, name, value) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
binder_scan_cookies(Binder *b)
{
    int32_t at = b->req->cookie;
    while (at >= 0) {
        QueryIter it = {http_field_value(b->req, (uint32_t)at)};
        Slice name, value;
        while (cookie_next(&it, &name, &value)) {
            if (binder_note(b, PARAM_COOKIE, name, value) < 0) {
                return -1;
            }
        }
        at = http_field_find(b->req, SLICE("cookie"), (uint32_t)at + 1);
    }
    return 0;
}

/* All header fields named param->key become one list. */
static int
header_list(Binder *b, const Param *param, PyObject **out)
{
    int32_t at = http_field_find(b->req, param->key_text, 0);
    if (at < 0) {
        return value_absent(b, param, out);
    }
    PyObject *texts = PyList_New(0);
    int err = texts == NULL ? -1 : 0;
    while (err == 0 && at >= 0) {
        PyObject *text = text_latin1(http_field_value(b->req, (uint32_t)at));
        err = text == NULL ? -1 : PyList_Append(texts, text);
        Py_XDECREF(text);
        at = http_field_find(b->req, param->key_text, (uint32_t)at + 1);
    }
    if (err == 0) {
        err = list_new(b, param, texts, out);
    }
    Py_XDECREF(texts);
    return err;
}

static int
binder_bind_header(Binder *b, const Param *param, PyObject **out)
{
    if (param->many) {
        return header_list(b, param, out);
    }
    int32_t at = http_field_find(b->req, param->key_text, 0);
    return at < 0 ? value_absent(b, param, out)
                  : value_new(b, param, http_field_value(b->req, (uint32_t)at), out);
}

/* Raises HTTPException(415) for a compressed body, since nothing here decodes it. 0, or -1 with an
 * exception set. */
static int
body_check_encoding(Binder *b)
{
    int32_t at = http_field_find(b->req, SLICE("content-encoding"), 0);
    if (at < 0
        || slice_eq_nocase(http_field_value(b->req, (uint32_t)at), SLICE("identity"))) {
        return 0;
    }
    PyObject *exc = PyObject_CallFunction(b->errors->http_exception, "is", 415,
                                          "Unsupported Content-Encoding");
    if (exc != NULL) {
        err_restore(exc);
    }
    return -1;
}

/* As value_by_python, with convert(body, content_type, failed); `failed` is left out when it is NULL. */
static int
body_by_python(Binder *b, const Param *param, PyObject *bytes, PyObject *failed,
               PyObject **out)
{
    int32_t at = b->req->content_type;
    PyObject *type = at < 0 ? Py_NewRef(Py_None)
                            : text_latin1(http_field_value(b->req, (uint32_t)at));
    if (type == NULL) {
        return -1;
    }
    PyObject *args[] = {bytes, type, failed};
    *out = PyObject_Vectorcall(param->convert, args, failed == NULL ? 2 : 3, NULL);
    Py_DECREF(type);
    return *out != NULL ? 0 : problems_adopt(&b->problems, b->errors->validation_error);
}

/* Whether from_json() alone may make the value: plain JSON, and not empty. */
static bool
body_is_json(const Binder *b, const Param *param)
{
    int32_t at = b->req->content_type;
    return param->from_json != NULL && at >= 0 && buf_slice(&b->req->body).len > 0
           && slice_eq(http_field_value(b->req, (uint32_t)at),
                       SLICE("application/json"));
}

/* Makes the value of the body: by from_json(), and what that refuses, and all others, by convert(). */
static int
body_convert(Binder *b, const Param *param, PyObject *bytes, PyObject **out)
{
    if (!body_is_json(b, param)) {
        return body_by_python(b, param, bytes, NULL, out);
    }
    *out = PyObject_CallOneArg(param->from_json, bytes);
    if (likely(*out != NULL)) {
        return 0;
    }
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *failed = err_take();
    int err = body_by_python(b, param, bytes, failed, out);
    Py_DECREF(failed);
    return err;
}

static int
binder_bind_body(Binder *b, const Param *param, PyObject **out)
{
    *out = NULL;
    if (b->req->has_body && !b->input->decoded && body_check_encoding(b) < 0) {
        return -1;
    }
    Slice body = buf_slice(&b->req->body);
    PyObject *bytes = PyBytes_FromStringAndSize(body.ptr, (Py_ssize_t)body.len);
    int err = bytes == NULL ? -1 : body_convert(b, param, bytes, out);
    Py_XDECREF(bytes);
    return err;
}

static int
binder_bind_source(Binder *b, uint32_t i, PyObject **out)
{
    const Param *param = plan_param(b->plan, i);
    switch (param->source) {
    case PARAM_PATH: {
        const RouteMatch *match = b->input->match;
        if (param->index >= match->ncaptures) {
            return value_absent(b, param, out);
        }
        return value_new(b, param, match->captures[param->index], out);
    }
    case PARAM_QUERY:
    case PARAM_COOKIE:
        if (!b->seen[i]) {
            return value_absent(b, param, out);
        }
        return param->many ? list_new(b, param, b->lists[i], out)
                           : value_new(b, param, b->found[i], out);
    case PARAM_HEADER:
        return binder_bind_header(b, param, out);
    case PARAM_BODY:
        return binder_bind_body(b, param, out);
    case PARAM_REQUEST:
        *out = b->input->request(b->req);
        return *out == NULL ? -1 : 0;
    }
    Py_UNREACHABLE();
}

/* As binder_bind_source; but the errors of a deferred parameter become its value. */
static int
binder_bind_param(Binder *b, uint32_t i, PyObject **out)
{
    if (likely(!plan_param(b->plan, i)->defer)) {
        return binder_bind_source(b, i, out);
    }
    Problems others = b->problems;
    b->problems = (Problems){NULL, NULL};
    int err = binder_bind_source(b, i, out);
    if (err == 0 && problems_found(&b->problems)) {
        *out = problems_exception(&b->problems, b->errors->validation_error);
        err = *out == NULL ? -1 : 0;
    }
    problems_clear(&b->problems);
    b->problems = others;
    return err;
}

/* ---- All of them -------------------------------------------------------------------------- */

static void
argv_release(PyObject **argv, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        Py_CLEAR(argv[i]);
    }
}

int
params_bind(const Plan *plan, const BindInput *input, const BindErrors *errors,
            PyObject **argv)
{
    uint32_t n = plan->nparams;
    if (n == 0) {
        return 0;
    }
    Binder b;
    b.plan = plan;
    b.input = input;
    b.req = input->req;
    b.errors = errors;
    b.problems = (Problems){NULL, NULL};
    memset(b.seen, 0, n * sizeof *b.seen);
    memset(b.lists, 0, n * sizeof *b.lists);
    memset(argv, 0, n * sizeof *argv);
    int err = plan->wants_query ? binder_scan_query(&b) : 0;
    if (err == 0 && plan->wants_cookies) {
        err = binder_scan_cookies(&b);
    }
    for (uint32_t i = 0; err == 0 && i < n; i++) {
        err = binder_bind_param(&b, i, &argv[i]);
    }
    if (err == 0 && problems_found(&b.problems)) {
        PyObject *exc = problems_exception(&b.problems, b.errors->validation_error);
        if (exc != NULL) {
            err_restore(exc);
        }
        err = -1;
    }
    argv_release(b.lists, n);
    problems_clear(&b.problems);
    if (err < 0) {
        argv_release(argv, n);
    }
    return err;
}

void
params_release(const Plan *plan, PyObject **argv)
{
    argv_release(argv, plan->nparams);
}
