/* A route's plan: what to call, how, and where each argument comes from. It is compiled once from the
 * handler's signature (pysrc/fluvial/_signature/signature.py) and never changes.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_BIND_PLAN_H
#define FLUVIAL_APP_BIND_PLAN_H

#include "base/py.h"
#include "base/slice.h"
#include "http/request.h"

enum { PLAN_PARAMS_MAX = 64 };

typedef enum PlanKind {
    PLAN_INLINE, /* call on the loop */
    PLAN_TASK,   /* await in an asyncio task */
    PLAN_POOL,   /* call in the thread pool */
} PlanKind;

typedef enum ParamSource {
    PARAM_PATH,
    PARAM_QUERY,
    PARAM_HEADER,
    PARAM_COOKIE,
    PARAM_BODY,
    PARAM_REQUEST,
} ParamSource;

typedef enum ParamKind {
    PARAM_STR,
    PARAM_INT,
    PARAM_FLOAT,
    PARAM_BOOL,
    PARAM_PYTHON, /* by `convert` */
} ParamKind;

typedef struct Param {
    PyObject_HEAD
    bool initialised; /* __init__ was called */
    ParamSource source;
    ParamKind kind;
    bool many;          /* all values of the name, as a list */
    bool required;      /* otherwise `fallback` is used for an absent value */
    bool defer;         /* an error becomes the argument, and isn't a 422 */
    uint32_t index;     /* PATH: the capture's place in the pattern */
    PyObject *key;      /* owned str: the name as sent; NULL for PATH */
    Slice key_text;     /* UTF-8 of key; valid as long as key */
    PyObject *loc_name; /* owned str: the last item of an error's "loc" */
    PyObject *fallback; /* owned */
    /* owned callable; NULL for STR. For INT, FLOAT and BOOL it is asked when C refuses a text. */
    PyObject *convert;
    /* BODY: owned callable, or NULL: makes the value of bytes that are JSON */
    PyObject *from_json;
} Param;

typedef struct Plan {
    PyObject_HEAD
    bool initialised; /* __init__ was called */
    PlanKind kind;
    HttpBodyMode body_mode;
    int64_t body_limit; /* bytes; -1: the server's */
    int64_t timeout;    /* ms; 0: none; -1: the server's */
    int cancel;         /* on disconnect: 0, 1, or -1: as the server says */
    int status;         /* of results that are not Response objects */
    uint32_t nparams;
    uint32_t npositional; /* the other params are passed by keyword */
    bool wants_query, wants_cookies;
    bool plain_params; /* binding the arguments runs none of the user's code */
    PyObject *handler; /* owned callable */
    PyObject *name;    /* owned str: the handler's, for its task */
    PyObject *params;  /* owned tuple of Param */
    PyObject *kwnames; /* owned tuple of str, or NULL when empty */
    PyObject *encode;  /* owned callable, or NULL: the server's */
    PyObject *wrap;    /* owned callable, or NULL */
    PyObject *
        text; /* owned bytes, or NULL: the content type of results that are str or bytes */
    PyObject *info; /* owned: for Python code only */
    PyObject
        *path; /* owned str: `info.path`, the route's pattern; NULL when it has none */
    Slice path_text; /* UTF-8 of path; valid as long as path */
    uint64_t serial; /* no other plan has it, now or later */
} Plan;

static inline Param *
plan_param(const Plan *plan, uint32_t i)
{
    return (Param *)PyTuple_GET_ITEM(plan->params, i);
}

#endif
