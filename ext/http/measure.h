/* What a server counts, and when. Only while HttpServer.metrics isn't NULL. Thread: the loop's. */
#ifndef FLUVIAL_HTTP_MEASURE_H
#define FLUVIAL_HTTP_MEASURE_H

#include "base/py.h"
#include "http/server_private.h"

/* An exchange is over, with a response of this status or, by the log's rules, without. `req`: NULL when nothing of the
 * request could be read. */
void measure_exchange(const HttpServer *server, const HttpRequest *req, int status);
/* An iteration of the loop is about to end. */
void measure_turn(HttpServer *server);

#endif
