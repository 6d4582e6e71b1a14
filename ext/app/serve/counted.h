/* What this layer adds to the access log and the metrics: routes, and figures of the pool (HttpOps.route, label, on_turn).
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_APP_SERVE_COUNTED_H
#define FLUVIAL_APP_SERVE_COUNTED_H

#include "base/py.h"
#include "http/metrics.h"
#include "http/request.h"

/* The pattern of the request's route; empty: it has none. */
Slice counted_route(const HttpRequest *req);
/* By what the request is counted. */
Slice counted_label(const HttpRequest *req, uint64_t *key);
/* An iteration of the loop ends: counts what the pool of the AppServer `context` does. */
void counted_turn(void *context, Metrics *metrics);

#endif
