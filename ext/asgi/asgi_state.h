/* The ASGI bridge's part of the module's state.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_ASGI_ASGI_STATE_H
#define FLUVIAL_ASGI_ASGI_STATE_H

#include "base/py.h"
#include "base/recycle.h"
#include "base/strings.h"

/* The names that the room looks up in Python objects; each is AsgiState.str_<name>. */
#define ASGI_STRINGS(X)                                                                \
    X(websocket)                                                                       \
    X(subprotocols)                                                                    \
    X(subprotocol)                                                                     \
    X(reason)                                                                          \
    X(code)                                                                            \
    X(bytes)                                                                           \
    X(text)                                                                            \
    X(tls)                                                                             \
    X(GET)                                                                             \
    X(asgi)                                                                            \
    X(body)                                                                            \
    X(client)                                                                          \
    X(extensions)                                                                      \
    X(headers)                                                                         \
    X(http)                                                                            \
    X(http_version)                                                                    \
    X(links)                                                                           \
    X(method)                                                                          \
    X(more_body)                                                                       \
    X(more_trailers)                                                                   \
    X(path)                                                                            \
    X(path_template)                                                                   \
    X(query_string)                                                                    \
    X(raw_path)                                                                        \
    X(request)                                                                         \
    X(request_id)                                                                      \
    X(root_path)                                                                       \
    X(route)                                                                           \
    X(scheme)                                                                          \
    X(server)                                                                          \
    X(state)                                                                           \
    X(status)                                                                          \
    X(trailers)                                                                        \
    X(type)

/* The same for texts that aren't identifiers. */
#define ASGI_TEXTS(X)                                                                  \
    X(websocket_receive, "websocket.receive")                                          \
    X(websocket_disconnect, "websocket.disconnect")                                    \
    X(websocket_connect, "websocket.connect")                                          \
    X(1_0, "1.0")                                                                      \
    X(2, "2")                                                                          \
    X(1_1, "1.1")                                                                      \
    X(http_disconnect, "http.disconnect")                                              \
    X(http_request, "http.request")                                                    \
    X(http_response_trailers, "http.response.trailers")

typedef struct AsgiState {
    /* All owned. */
    PyTypeObject *asgi_app_type;
    PyTypeObject *asgi_call_type;
    PyTypeObject *asgi_socket_type;
    Recycler calls; /* of the type AsgiCall */

    /* Interned strings, all owned. */
    ASGI_STRINGS(STRING_FIELD)
    ASGI_TEXTS(TEXT_FIELD)
} AsgiState;

/* The room's part of the state of `module`; borrowed. Defined in module.c. */
AsgiState *asgi_state(PyObject *module);

/* Creates the types and adds them to the module. 0, or -1 with an exception set. */
int asgi_setup(PyObject *module, AsgiState *st);
int asgi_traverse(AsgiState *st, visitproc visit, void *arg);
void asgi_clear(AsgiState *st);

#endif
