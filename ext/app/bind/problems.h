/* What is wrong with a request's arguments: a list of dicts in the shape and the words that
 * pydantic gives its errors, as FastAPI's users know them.
 *
 * A zeroed Problems is empty; end with problems_clear. Functions that return int: 0, or -1 with
 * an exception set. Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_BIND_PROBLEMS_H
#define FLUVIAL_APP_BIND_PROBLEMS_H

#include "base/py.h"
#include "app/bind/plan.h"

typedef struct Problems {
    PyObject *list; /* owned list of dict; NULL while nothing is wrong */
    PyObject *body; /* owned: the decoded body that is at fault; NULL when it isn't */
} Problems;

static inline bool
problems_found(const Problems *problems)
{
    return problems->list != NULL;
}

void problems_clear(Problems *problems);

/* The parameter is required and absent. */
int problems_missing(Problems *problems, const Param *param);

/* `input` (borrowed) is no INT, FLOAT or BOOL; `item` is its place in a list, or -1. */
int problems_malformed(Problems *problems, const Param *param, Py_ssize_t item,
                       PyObject *input);

/* After a converter raised: takes over what a `validation_error` lists, and clears it. -1 when
 * the exception is another one, which stays set. */
int problems_adopt(Problems *problems, PyObject *validation_error);

/* validation_error(list), with the body. A new reference, or NULL with an exception set. */
PyObject *problems_exception(const Problems *problems, PyObject *validation_error);

#endif
