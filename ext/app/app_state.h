/* The app layer's share of the module's state: its types, imports and interned strings. Made
 * when the module is imported, read by all files of the layer, released with the module.
 * Thread: any, with the GIL; changed only while the module is imported or released.
 */
#ifndef FLUVIAL_APP_APP_STATE_H
#define FLUVIAL_APP_APP_STATE_H

#include "base/py.h"

/* The names that the layer looks up in Python objects; each is AppState.str_<name>. */
#define APP_STRINGS(X)                                                                 \
    X(websocket)                                                                       \
    X(subprotocols)                                                                    \
    X(subprotocol)                                                                     \
    X(reason)                                                                          \
    X(code)                                                                            \
    X(bytes)                                                                           \
    X(text)                                                                            \
    X(tls)                                                                             \
    X(GET)                                                                             \
    X(PATH_INFO)                                                                       \
    X(QUERY_STRING)                                                                    \
    X(RAW_URI)                                                                         \
    X(REMOTE_ADDR)                                                                     \
    X(REMOTE_PORT)                                                                     \
    X(REQUEST_METHOD)                                                                  \
    X(REQUEST_URI)                                                                     \
    X(SERVER_NAME)                                                                     \
    X(SERVER_PORT)                                                                     \
    X(SERVER_PROTOCOL)                                                                 \
    X(close)                                                                           \
    X(asgi)                                                                            \
    X(body)                                                                            \
    X(cancel)                                                                          \
    X(client)                                                                          \
    X(create_future)                                                                   \
    X(done)                                                                            \
    X(extensions)                                                                      \
    X(headers)                                                                         \
    X(http)                                                                            \
    X(http_version)                                                                    \
    X(links)                                                                           \
    X(method)                                                                          \
    X(more_body)                                                                       \
    X(more_trailers)                                                                   \
    X(path)                                                                            \
    X(query_string)                                                                    \
    X(raw_headers)                                                                     \
    X(raw_path)                                                                        \
    X(request)                                                                         \
    X(respond)                                                                         \
    X(root_path)                                                                       \
    X(route_headers)                                                                   \
    X(scheme)                                                                          \
    X(server)                                                                          \
    X(set_exception)                                                                   \
    X(set_result)                                                                      \
    X(state)                                                                           \
    X(status)                                                                          \
    X(status_code)                                                                     \
    X(trailers)                                                                        \
    X(type)

/* The same for texts that are no identifiers. */
#define APP_TEXTS(X)                                                                   \
    X(websocket_receive, "websocket.receive")                                          \
    X(websocket_disconnect, "websocket.disconnect")                                    \
    X(websocket_connect, "websocket.connect")                                          \
    X(wsgi_input, "wsgi.input")                                                        \
    X(wsgi_file_wrapper, "wsgi.file_wrapper")                                          \
    X(1_0, "1.0")                                                                      \
    X(1_1, "1.1")                                                                      \
    X(http_disconnect, "http.disconnect")                                              \
    X(http_request, "http.request")                                                    \
    X(http_response_trailers, "http.response.trailers")

typedef struct AppState {
    PyObject *module; /* borrowed: the module that owns this state */

    /* Routing, requests and streams. All owned. */
    PyTypeObject *router_type;
    PyTypeObject *request_type;
    PyTypeObject *websocket_type;
    PyTypeObject *sender_type;
    PyTypeObject *file_send_type; /* see file_send.h */
    PyTypeObject *waiting_type;   /* see waiting.h */
    PyObject *waiting_done;

    /* The thread pool. Owned. */
    PyTypeObject *pool_type;

    /* Plans, dispatch and answers. All owned. */
    PyTypeObject *param_type;
    PyTypeObject *plan_type;
    PyTypeObject *request_coro_type; /* see request_coro.h */
    PyTypeObject *coro_type;         /* HandlerCoro */
    PyTypeObject *server_type;
    PyObject *cancelled_error; /* asyncio.CancelledError */

    /* ASGI. All owned. */
    PyTypeObject *asgi_app_type;
    PyTypeObject *asgi_call_type;
    PyTypeObject *asgi_socket_type;

    /* WSGI. All owned. */
    PyTypeObject *wsgi_app_type;
    PyTypeObject *wsgi_call_type;
    PyTypeObject *wsgi_input_type;

    /* Interned strings, all owned: see APP_STRINGS. */
#define APP_STRING_FIELD(name) PyObject *str_##name;
    APP_STRINGS(APP_STRING_FIELD)
#undef APP_STRING_FIELD
#define APP_TEXT_FIELD(name, text) PyObject *str_##name;
    APP_TEXTS(APP_TEXT_FIELD)
#undef APP_TEXT_FIELD
} AppState;

/* The app layer's part of the state of `module`; borrowed. Defined in module.c. */
AppState *app_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int app_setup(PyObject *module, AppState *st);
int app_traverse(AppState *st, visitproc visit, void *arg);
void app_clear(AppState *st);

#endif
