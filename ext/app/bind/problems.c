/* See problems.h. Has the wording of pydantic's errors for the kinds that C converts. Errors of
 * converters in Python have their own. Thread: any, with the GIL.
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

/* Adds {"type", "loc", "msg", "input"}. `item` is the index in a list, or -1; `input` is borrowed.
 * 0, or -1 with an exception set. */
static int
problem_add(Problems *problems, const Param *param, Py_ssize_t item, const char *type,
            const char *msg, PyObject *input)
{
    if (problems->list == NULL) {
        problems->list = PyList_New(0);
        if (problems->list == NULL) {
            return -1;
        }
    }
    const char *source = source_name(param->source);
    PyObject *loc = item < 0 ? Py_BuildValue("[sO]", source, param->loc_name)
                             : Py_BuildValue("[sOn]", source, param->loc_name, item);
    if (loc == NULL) {
        return -1;
    }
    PyObject *error = Py_BuildValue("{sssNsssO}", "type", type, "loc", loc, "msg", msg,
                                    "input", input);
    int err = error == NULL ? -1 : PyList_Append(problems->list, error);
    Py_XDECREF(error);
    return err;
}

int
problems_missing(Problems *problems, const Param *param)
{
    return problem_add(problems, param, -1, "missing", "Field required", Py_None);
}

int
problems_malformed(Problems *problems, const Param *param, Py_ssize_t item,
                   PyObject *input)
{
    switch (param->kind) {
    case PARAM_INT:
        return problem_add(
            problems, param, item, "int_parsing",
            "Input should be a valid integer, unable to parse string as an "
            "integer",
            input);
    case PARAM_FLOAT:
        return problem_add(
            problems, param, item, "float_parsing",
            "Input should be a valid number, unable to parse string as a "
            "number",
            input);
    case PARAM_BOOL:
        return problem_add(problems, param, item, "bool_parsing",
                           "Input should be a valid boolean, unable to interpret input",
                           input);
    case PARAM_STR:
    case PARAM_PYTHON:
        break;
    }
    PyErr_SetString(PyExc_SystemError, "a parameter of this kind can't be malformed");
    return -1;
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
