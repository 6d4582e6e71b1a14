/* The arguments of `_core.Server()`, and the HttpServer that is made of them. Thread: the loop's, with the GIL. */
#ifndef FLUVIAL_APP_SERVE_SERVER_ARGS_H
#define FLUVIAL_APP_SERVE_SERVER_ARGS_H

#include "base/py.h"
#include "app/app_state.h"
#include "app/server.h"

/* The arguments of the constructor; all borrowed. */
typedef struct ServerArgs {
    PyObject *loop, *router, *pool, *app, *request_type, *response_type;
    PyObject *validation_error, *http_exception, *client_disconnect;
    PyObject *encode, *encode_fallback, *on_error, *entry, *root, *limits, *websockets,
        *mounts, *own_mounts, *secure, *refused, *root_path, *proxies, *access_format,
        *metrics, *fields, *urgent;
    const char *ws_origins;
    Py_ssize_t ws_origins_len;
    const char *hosts;
    Py_ssize_t hosts_len;
    const char *request_ids;
    Py_ssize_t request_ids_len;
    const char *probes;
    Py_ssize_t probes_len;
    int custom_errors, access_log, around;
} ServerArgs;

/* Each returns 0, or -1 with an exception set. */

int server_args_parse(ServerArgs *a, PyObject *args, PyObject *kwargs);

/* Whether all items are (str, AsgiApp or WsgiApp). */
int server_mounts_check(const AppState *st, PyObject *mounts);

/* Makes the HttpServer. */
int server_make_http(AppServer *self, PyObject *module, Loop *loop,
                     const HttpLimits *limits, const ServerArgs *a);

#endif
