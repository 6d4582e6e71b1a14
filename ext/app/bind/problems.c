/* See problems.h. Reports absent values. Errors in values that are present are reported by the
 * converters in Python. Thread: any, with the GIL.
 */
#include "base/py.h"

#include "app/bind/problems.h"

#include "base/err.h"

void
problems_clear(Problems *problems)
{
    Py_CLEAR(problems->list);
    Py_CLEAR(problems->body);
}

static const char *
source_name(ParamSource source)
{
    switch (source) {
    case PARAM_PATH:
        return "path";
    case PARAM_QUERY:
        return "query";
    case PARAM_HEADER:
        return "header";
    case PARAM_COOKIE:
        return "cookie";
    case PARAM_BODY:
    case PARAM_REQUEST:
        break;
    }
    return "body";
}

int
problems_missing(Problems *problems, const Param *param)
{
    if (problems->list == NULL) {
        problems->list = PyList_New(0);
        if (problems->list == NULL) {
            return -1;
        }
    }
    PyObject *error = Py_BuildValue("{sss(sO)sssO}", "type", "missing", "loc",
                                    source_name(param->source), param->loc_name, "msg",
                                    "Field required", "input", Py_None);
    int err = error == NULL ? -1 : PyList_Append(problems->list, error);
    Py_XDECREF(error);
    return err;
}

int
problems_adopt(Problems *problems, PyObject *validation_error)
{
    if (!PyErr_ExceptionMatches(validation_error)) {
        return -1;
    }
    PyObject *exc = err_take();
    PyObject *errors = PyObject_CallMethod(exc, "errors", NULL);
    PyObject *body = errors == NULL ? NULL : PyObject_GetAttrString(exc, "body");
    Py_DECREF(exc);
    if (body == NULL) {
        Py_XDECREF(errors);
        return -1;
    }
    Py_XSETREF(problems->body, body);
    if (problems->list == NULL) {
        problems->list = PyList_New(0);
    }
    PyObject *extended = problems->list == NULL
                             ? NULL
                             : PySequence_InPlaceConcat(problems->list, errors);
    Py_DECREF(errors);
    Py_XDECREF(extended);
    return extended == NULL ? -1 : 0;
}

PyObject *
problems_exception(const Problems *problems, PyObject *validation_error)
{
    PyObject *exc = PyObject_CallOneArg(validation_error, problems->list);
    if (exc != NULL && problems->body != NULL
        && PyObject_SetAttrString(exc, "body", problems->body) < 0) {
        Py_CLEAR(exc);
    }
    return exc;
}
