/* Reads the messages that an ASGI app sends: their kind and their entries. Thread: any, with the GIL.
 */
#ifndef FLUVIAL_ASGI_MESSAGE_H
#define FLUVIAL_ASGI_MESSAGE_H

#include "base/py.h"
#include "asgi/asgi_state.h"
#include "http/response.h"

typedef enum MessageKind {
    MESSAGE_UNKNOWN,
    MESSAGE_START,
    MESSAGE_BODY,
    MESSAGE_TRAILERS,
    MESSAGE_EARLY_HINT,
    MESSAGE_PATHSEND,
    MESSAGE_ZEROCOPYSEND,
    MESSAGE_DEBUG,
    MESSAGE_WS_ACCEPT,
    MESSAGE_WS_SEND,
    MESSAGE_WS_CLOSE,
    MESSAGE_WS_START, /* websocket.http.response.start */
    MESSAGE_WS_BODY,
} MessageKind;

/* All entries that a message of any kind may have: owned; NULL when absent. */
typedef struct Message {
    MessageKind kind;
    PyObject *type, *status, *headers, *trailers, *body, *more_body, *links,
        *more_trailers, *text, *bytes, *code, *reason, *subprotocol;
} Message;

/* Reads the dict `message` into a zeroed struct. 0, or -1 with TypeError set. In both cases the
 * caller must call message_free. */
int message_read(Message *m, PyObject *message, const AsgiState *st);
void message_free(Message *m);

/* The truth value of the entry `value`: 1 or 0, also 0 for NULL; -1 with an exception set. */
int message_flag(PyObject *value);

/* Adds the entry "headers" to `fields`; or "links", as Link fields. 0, or -1 with an exception set. */
int message_headers(const Message *m, HttpFields *fields);
int message_links(const Message *m, HttpFields *fields);

/* The entry "status"; -1 with an exception set. */
int message_status(const Message *m);

/* The entry "body" as bytes: a new reference, or NULL with an exception set. */
PyObject *message_body(const Message *m);

#endif
