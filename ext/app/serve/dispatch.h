/* From a parsed request to its handler: finds the route, binds the arguments, and calls the handler on the
 * loop, in a task or in the thread pool.
 *
 * Thread: the loop's.
 */
#ifndef FLUVIAL_APP_SERVE_DISPATCH_H
#define FLUVIAL_APP_SERVE_DISPATCH_H

#include "base/py.h"
#include "app/overdue.h"
#include "http/server.h"

/* What the http layer calls; the context of its HttpServer is an AppServer. */
extern const HttpOps dispatch_ops;

/* The time that a request may take is over (Overdue.expired). Responds with 504, or closes the connection
 * when the head of the response is out; what computes the response is cancelled. */
void dispatch_expired(OverdueEntry *entry);

#endif
