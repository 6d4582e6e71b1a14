/* What a server counts, and when. Only while HttpServer.metrics isn't NULL. Thread: the loop's. */
#ifndef FLUVIAL_HTTP_MEASURE_H
#define FLUVIAL_HTTP_MEASURE_H

#include "base/py.h"
#include "http/server_private.h"

enum { METRICS_STALE = 50 }; /* ms: see http_server_measure */

typedef struct Measure Measure;

/* When a request began whose first byte was just read, in loop_now_ns(). */
uint64_t measure_began(const HttpServer *server);
/* An exchange is over, with a response of this status or, by the log's rules, without. `req`: NULL when nothing of the
 * request could be read. */
void measure_exchange(const HttpServer *server, const HttpRequest *req, int status);
/* Frees what http_server_metrics has made. */
void measure_free(HttpServer *server);

/* When the server begins to listen and when it has drained: on the loop's thread, while `measure_free` may be
 * called on any that drops the last reference. */
void measure_start(HttpServer *server);
void measure_stop(HttpServer *server);
/* An iteration of the loop is about to end. */
void measure_turn(HttpServer *server);

#endif
