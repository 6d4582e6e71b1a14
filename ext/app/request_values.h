/* The attributes of `_core.Request` that are made from the HttpRequest at first use.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_APP_REQUEST_VALUES_H
#define FLUVIAL_APP_REQUEST_VALUES_H

#include "base/py.h"
#include "http/request.h"

typedef enum RequestValue {
    REQUEST_METHOD,
    REQUEST_PATH,
    REQUEST_RAW_PATH,
    REQUEST_QUERY_STRING,
    REQUEST_HTTP_VERSION,
    REQUEST_RAW_HEADERS,
    REQUEST_CLIENT,
    REQUEST_SERVER,
    REQUEST_PATH_PARAMS,
    REQUEST_ROUTE_HEADERS,
    REQUEST_TLS,
    REQUEST_BODY, /* the collected body */
    REQUEST_NVALUES,
} RequestValue;

/* A new reference, or NULL with an exception set. Any thread, with the GIL. */
PyObject *request_value(HttpRequest *req, RequestValue which);

#endif
