/* Payloads to messages. Each piece is unmasked, decompressed, and checked against the limits; text is
 * validated as UTF-8. A message that arrives in one piece becomes a Python object at once. Others are
 * gathered in a bytes object; for a binary message it becomes the message itself. The loop's thread.
 */
#include "base/py.h"

#include "http/ws/ws_conn.h"

enum {
    INFLATE_FIRST = 1024, /* bytes first allocated for a decompressed message */
    INFLATE_GROWTH = 8,   /* most compressed bytes accepted per decompressed byte */
};

static const WsFault FINE = {0, NULL, NULL};

static WsFault
fault_too_large(void)
{
    return (WsFault){WS_TOO_BIG, "The message is too large", "ws_message"};
}

static WsFault
fault_text(void)
{
    return ws_fault_make(WS_INVALID_DATA, "The text is not UTF-8");
}

/* The fault that corresponds to the exception that is set; clears it. */
static WsFault
fault_of_exception(void)
{
    bool text = PyErr_ExceptionMatches(PyExc_UnicodeDecodeError);
    /* Only a UnicodeDecodeError or a MemoryError can be set, and the fault reports either of them. */
    PyErr_Clear();
    return text ? fault_text()
                : ws_fault_make(WS_INTERNAL_ERROR, "The server is out of memory");
}

void
ws_message_clear(WsMessage *message)
{
    Py_CLEAR(message->whole);
    Py_CLEAR(message->buffer);
    *message = (WsMessage){.begun = false};
}

/* ---- The frame's header ------------------------------------------------------------------ */

static WsFault
message_continue(const WsConn *ws)
{
    if (!ws->message.begun) {
        return ws_fault_make(WS_PROTOCOL_ERROR, "A continuation has no beginning");
    }
    return ws->frame.rsv1 ? ws_fault_make(WS_PROTOCOL_ERROR, "A reserved bit is set")
                          : FINE;
}

static WsFault
message_begin(WsConn *ws)
{
    if (ws->message.begun) {
        return ws_fault_make(WS_PROTOCOL_ERROR, "A message begins within another one");
    }
    if (ws->frame.rsv1 && !ws->deflate.params.on) {
        return ws_fault_make(WS_PROTOCOL_ERROR, "A reserved bit is set");
    }
    ws->message = (WsMessage){
        .begun = true,
        .text = ws->frame.opcode == WS_OP_TEXT,
        .compressed = ws->frame.rsv1,
        .ascii = !ws->frame.rsv1,
    };
    return FINE;
}

WsFault
ws_message_frame(WsConn *ws)
{
    bool more = ws->frame.opcode == WS_OP_CONTINUATION;
    WsFault fault = more ? message_continue(ws) : message_begin(ws);
    if (fault.code != 0 || ws->state != WS_OPEN) {
        return fault;
    }
    const HttpLimits *limits = ws_limits(ws);
    if (limit_exceeded(limits->ws_frame, ws->frame.len)) {
        return (WsFault){WS_TOO_BIG, "A frame is too large", "ws_frame"};
    }
    bool fits = ws->message.compressed
                || !limit_exceeded(limits->ws_message, ws->message.len + ws->frame.len);
    return fits ? FINE : fault_too_large();
}

/* ---- The payload ------------------------------------------------------------------------- */

static char *
buffer_at(const WsMessage *message)
{
    return PyBytes_AS_STRING(message->buffer) + message->len;
}

static size_t
buffer_size(const WsMessage *message)
{
    return message->buffer == NULL ? 0 : (size_t)PyBytes_GET_SIZE(message->buffer);
}

/* Makes the buffer `size` bytes long. */
static WsFault
buffer_resize(WsMessage *message, size_t size)
{
    int err = 0;
    if (message->buffer == NULL) {
        message->buffer = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
        err = message->buffer == NULL ? -1 : 0;
    } else {
        err = _PyBytes_Resize(&message->buffer, (Py_ssize_t)size);
    }
    return err == 0 ? FINE : fault_of_exception();
}

/* Makes room for the `rest` bytes of the frame, and for more if other frames follow. */
static WsFault
buffer_reserve_frame(WsConn *ws, size_t rest)
{
    WsMessage *message = &ws->message;
    size_t need = message->len + rest;
    if (buffer_size(message) >= need) {
        return FINE;
    }
    return buffer_resize(message, ws->frame.fin ? need : need + need / 2);
}

static PyObject *
message_text_new(const char *ptr, size_t len, bool ascii)
{
    if (!ascii) {
        return PyUnicode_DecodeUTF8(ptr, (Py_ssize_t)len, NULL);
    }
    PyObject *text = PyUnicode_New((Py_ssize_t)len, 127);
    if (text != NULL && len != 0) {
        memcpy(PyUnicode_1BYTE_DATA(text), ptr, len);
    }
    return text;
}

/* The whole message in one piece. Decoding text also validates it. */
static WsFault
message_take_whole(WsConn *ws, char *ptr, size_t len)
{
    WsMessage *message = &ws->message;
    bool ascii = ws_unmask(ptr, ptr, len, ws->frame.mask, 0);
    message->whole = message->text ? message_text_new(ptr, len, ascii)
                                   : PyBytes_FromStringAndSize(ptr, (Py_ssize_t)len);
    return message->whole != NULL ? FINE : fault_of_exception();
}

static WsFault
message_check_text(WsMessage *message, Slice piece, bool ascii)
{
    if (!message->text || (ascii && utf8_is_whole(&message->utf8))) {
        return FINE;
    }
    message->ascii = false;
    return utf8_feed(&message->utf8, piece) ? FINE : fault_text();
}

static WsFault
message_take_piece(WsConn *ws, const char *ptr, size_t len, uint64_t offset)
{
    WsMessage *message = &ws->message;
    WsFault fault = buffer_reserve_frame(ws, (size_t)(ws->frame.len - offset));
    if (fault.code != 0) {
        return fault;
    }
    char *to = buffer_at(message);
    bool ascii = ws_unmask(to, ptr, len, ws->frame.mask, offset & 3);
    message->len += len;
    return message_check_text(message, slice_of(to, len), ascii);
}

/* ---- Compressed payload ------------------------------------------------------------------ */

/* Makes more room for decompressed bytes, up to one byte above the limit, so that an excess can be
 * detected. */
static WsFault
buffer_grow(WsConn *ws, size_t hint)
{
    WsMessage *message = &ws->message;
    uint64_t limit = ws_limits(ws)->ws_message;
    size_t size = buffer_size(message) * 2;
    if (size < INFLATE_FIRST) {
        size = INFLATE_FIRST > hint * 2 ? INFLATE_FIRST : hint * 2;
    }
    if (limit != 0 && size > limit) {
        size = (size_t)limit + 1;
    }
    return buffer_resize(message, size);
}

static WsFault
inflate_piece(WsConn *ws, Slice in)
{
    WsMessage *message = &ws->message;
    WsInflated status = WS_INFLATE_FULL;
    while (status == WS_INFLATE_FULL) {
        size_t room = buffer_size(message) - message->len;
        WsFault fault = room == 0 ? buffer_grow(ws, in.len) : FINE;
        if (fault.code != 0) {
            return fault;
        }
        char *to = buffer_at(message);
        size_t written;
        room = buffer_size(message) - message->len;
        status = ws_inflate(&ws->deflate, &in, to, room, &written);
        message->len += written;
        if (limit_exceeded(ws_limits(ws)->ws_message, message->len)) {
            return fault_too_large();
        }
        fault = message_check_text(message, slice_of(to, written), false);
        if (fault.code != 0) {
            return fault;
        }
    }
    if (status == WS_INFLATE_NOMEM) {
        return ws_fault_make(WS_INTERNAL_ERROR, "The server is out of memory");
    }
    return status == WS_INFLATE_MORE
               ? FINE
               : ws_fault_make(WS_INVALID_DATA, "The compressed data is malformed");
}

/* Whether the compressed bytes exceed the limit of a message and yield almost nothing. Empty blocks
 * could be sent forever. A client that flushes after each byte needs seven bytes for it, which is less
 * than INFLATE_GROWTH. */
static bool
is_hollow(const WsConn *ws)
{
    const WsMessage *message = &ws->message;
    return limit_exceeded(ws_limits(ws)->ws_message, message->taken)
           && message->taken / INFLATE_GROWTH > message->len;
}

WsFault
ws_message_piece(WsConn *ws, char *ptr, size_t len, uint64_t offset)
{
    WsMessage *message = &ws->message;
    if (ws->state != WS_OPEN) {
        return FINE;
    }
    if (message->compressed) {
        (void)ws_unmask(ptr, ptr, len, ws->frame.mask, offset & 3);
        message->taken += len;
        WsFault fault = inflate_piece(ws, slice_of(ptr, len));
        return fault.code == 0 && is_hollow(ws) ? fault_too_large() : fault;
    }
    bool whole = ws->frame.fin && len == ws->frame.len && message->buffer == NULL;
    return whole ? message_take_whole(ws, ptr, len)
                 : message_take_piece(ws, ptr, len, offset);
}

/* ---- The end ----------------------------------------------------------------------------- */

/* The message as str or bytes: a new reference, or NULL with an exception set. */
static PyObject *
message_object(WsMessage *message)
{
    if (message->text) {
        const char *ptr =
            message->buffer != NULL ? PyBytes_AS_STRING(message->buffer) : "";
        return message_text_new(ptr, message->len, message->ascii);
    }
    if (message->buffer == NULL) {
        return PyBytes_FromStringAndSize(NULL, 0);
    }
    if (buffer_size(message) != message->len
        && _PyBytes_Resize(&message->buffer, (Py_ssize_t)message->len) < 0) {
        return NULL;
    }
    PyObject *bytes = message->buffer;
    message->buffer = NULL;
    return bytes;
}

/* Whether a text ends within a character is noticed when it is decoded. */
static WsFault
message_check_end(WsConn *ws)
{
    if (!ws->message.compressed) {
        return FINE;
    }
    WsFault fault = inflate_piece(ws, WS_DEFLATE_TAIL);
    if (fault.code != 0) {
        return fault;
    }
    return ws_inflate_end(&ws->deflate)
               ? FINE
               : ws_fault_make(WS_INVALID_DATA, "The compressed data is cut off");
}

WsFault
ws_message_end(WsConn *ws, PyObject **out)
{
    WsMessage *message = &ws->message;
    WsFault fault = FINE;
    *out = NULL;
    if (ws->state == WS_OPEN) {
        *out = message->whole;
        message->whole = NULL;
        fault = *out != NULL ? FINE : message_check_end(ws);
    }
    if (ws->state == WS_OPEN && fault.code == 0 && *out == NULL) {
        *out = message_object(message);
        fault = *out != NULL ? FINE : fault_of_exception();
    }
    ws_message_clear(message);
    return fault;
}
