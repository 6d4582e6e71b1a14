/* Turns what a handler returned or raised into a response. A result becomes JSON or is a Response object;
 * an exception goes to the exception handlers. Some responses need a coroutine that is awaited first (a
 * streamed body, an asynchronous exception handler): the caller gets that one as a CallNext.
 *
 * Thread: the loop's, except for result_encode.
 */
#ifndef FLUVIAL_APP_RESULT_H
#define FLUVIAL_APP_RESULT_H

#include "base/py.h"
#include "app/call.h"
#include "app/bind/plan.h"

typedef enum CallStage {
    CALL_DONE,    /* nothing is left to do */
    CALL_HANDLER, /* the handler runs: its result becomes the response */
    CALL_ERROR, /* an exception handler runs: likewise, but if it fails the response is a 500 */
    CALL_STREAM, /* Response.respond() runs: when it ends, the response is complete */
} CallStage;

typedef struct CallNext {
    CallStage stage;
    PyObject *coro; /* owned; NULL when stage is CALL_DONE */
} CallNext;

/* Responds with `result` (borrowed), which what ran at `stage` has returned. `plan` (may be NULL) says how
 * results become responses. Never fails: exceptions go to the exception handlers. */
CallNext result_respond(HttpRequest *req, const Plan *plan, CallStage stage,
                        PyObject *result);

/* Responds with the JSON text `body` (a bytes object, borrowed) and the plan's status. */
void result_respond_json(HttpRequest *req, const Plan *plan, PyObject *body);

/* Responds with 503 and Retry-After, because the queue of the thread pool is full. */
void result_respond_busy(HttpRequest *req);
/* The same, because it has waited for a thread for too long. */
void result_respond_late(HttpRequest *req);

/* Responds with what the exception handlers make of the exception that is set, and clears that. `stage`
 * says what raised it. */
CallNext result_respond_exception(HttpRequest *req, CallStage stage);

/* Whether `result` is plain data, which result_encode turns into bytes. */
bool result_is_data(HttpRequest *req, const Plan *plan, PyObject *result);

/* `result` (borrowed) as JSON: a new reference to bytes, or NULL with an exception set. Any
 * thread that holds the GIL. */
PyObject *result_encode(HttpRequest *req, const Plan *plan, PyObject *result);

/* `result` (borrowed) as a Response object: a new reference, or NULL with an exception set. */
PyObject *result_as_response(HttpRequest *req, const Plan *plan, PyObject *result);

#endif
