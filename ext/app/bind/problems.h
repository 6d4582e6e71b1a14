/* The errors in a request's arguments: a list of dicts with the shape of pydantic's errors, which FastAPI's
 * users know.
 *
 * A zeroed Problems is empty; end with problems_clear. Functions that return int: 0, or -1 with
 * an exception set. Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_BIND_PROBLEMS_H
#define FLUVIAL_APP_BIND_PROBLEMS_H

#include "base/py.h"
#include "app/bind/plan.h"

typedef struct Problems {
    PyObject *list; /* owned list of dict; NULL while there is no error */
    PyObject *body; /* owned: the decoded body, when the body has errors; else NULL */
} Problems;

static inline bool
problems_found(const Problems *problems)
{
    return problems->list != NULL;
}

void problems_clear(Problems *problems);

/* Records that a required parameter is absent. */
int problems_missing(Problems *problems, const Param *param);

/* Called after a converter has raised. If the exception is a `validation_error`, its errors are
 * added and it is cleared. -1 for any other exception, which stays set. */
int problems_adopt(Problems *problems, PyObject *validation_error);

/* Makes validation_error(list), with the body as attribute. A new reference, or NULL with an
 * exception set. */
PyObject *problems_exception(const Problems *problems, PyObject *validation_error);

#endif
