/* From what a handler gave back to an answer: JSON, a Response object, or what the exception
 * handlers make of an exception. Some answers need a coroutine to be awaited first (a streamed
 * body, an asynchronous exception handler): the caller gets it as CallNext.
 *
 * Thread: the loop's, but for answer_encode.
 */
#ifndef FLUVIAL_APP_RESULT_H
#define FLUVIAL_APP_RESULT_H

#include "base/py.h"
#include "app/call.h"
#include "app/bind/plan.h"

typedef enum CallStage {
    CALL_DONE,    /* nothing is left to do */
    CALL_HANDLER, /* the handler runs: its result is to be answered */
    CALL_ERROR,   /* an exception handler runs: likewise, but its failure is final */
    CALL_STREAM,  /* Response.respond() runs: its end is the answer's end */
} CallStage;

typedef struct CallNext {
    CallStage stage;
    PyObject *coro; /* owned; NULL when stage is CALL_DONE */
} CallNext;

/* Answers with `result` (borrowed), which `stage` gave. `plan` (may be NULL) says how results
 * become responses. Never fails: an exception becomes the answer. */
CallNext answer_result(HttpRequest *req, const Plan *plan, CallStage stage,
                       PyObject *result);

/* Answers with the JSON text `body`, a bytes object (borrowed), and the plan's status. */
void answer_json(HttpRequest *req, const Plan *plan, PyObject *body);

/* Answers 503 with Retry-After: more is waiting than may. */
void answer_busy(HttpRequest *req);

/* Answers with what the exception handlers make of the exception that is set; clears it. */
CallNext answer_exception(HttpRequest *req, CallStage stage);

/* Whether `result` is plain data, which answer_encode turns into bytes. */
bool answer_is_data(HttpRequest *req, const Plan *plan, PyObject *result);

/* `result` (borrowed) as JSON: a new reference to bytes, or NULL with an exception set. Any
 * thread that holds the GIL. */
PyObject *answer_encode(HttpRequest *req, const Plan *plan, PyObject *result);

/* `result` (borrowed) as a Response object: a new reference, or NULL with an exception set. */
PyObject *answer_as_response(HttpRequest *req, const Plan *plan, PyObject *result);

#endif
