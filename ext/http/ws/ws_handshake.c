/* The opening handshake (RFC 6455 section 4.2): whether a request offers an upgrade, whether the
 * offer is valid, and the response that accepts it. The loop's thread.
 */
#include "base/py.h"

#include "http/response_head.h"
#include "http/chars.h"
#include "http/list.h"
#include "http/ws/ws_conn.h"

#include <openssl/evp.h>
#include <uv.h>

enum {
    KEY_LEN = 24,    /* characters of base64 for 16 bytes */
    ACCEPT_LEN = 28, /* characters of base64 for 20 bytes */
};

static const char BASE64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- The offer --------------------------------------------------------------------------- */

bool
ws_is_offered(const HttpRequest *req)
{
    if (req->minor == HTTP_2) { /* extended CONNECT, see h2_head.c */
        return req->upgrade >= 0;
    }
    return unlikely(req->upgrade >= 0) && req->method == HTTP_GET && req->minor >= 1
           && !req->has_body && list_has(req, SLICE("upgrade"), SLICE("websocket"))
           && list_has(req, SLICE("connection"), SLICE("upgrade"));
}

/* The value of the only field with that name; {NULL, 0} when there is none or more than one. */
static Slice
field_only(const HttpRequest *req, Slice name)
{
    int32_t i = http_field_find(req, name, 0);
    if (i < 0 || http_field_find(req, name, (uint32_t)i + 1) >= 0) {
        return slice_of(NULL, 0);
    }
    return http_field_value(req, (uint32_t)i);
}

/* The value of Sec-WebSocket-Key; {NULL, 0} unless it encodes 16 bytes. */
static Slice
key_find(const HttpRequest *req)
{
    Slice key = field_only(req, SLICE("sec-websocket-key"));
    bool fine = key.len == KEY_LEN && memcmp(key.ptr + KEY_LEN - 2, "==", 2) == 0;
    for (size_t i = 0; fine && i < KEY_LEN - 2; i++) {
        fine = key.ptr[i] != 0 && strchr(BASE64, key.ptr[i]) != NULL;
    }
    return fine ? key : slice_of(NULL, 0);
}

/* Whether the origin has the same host and port as the Host field. The scheme may differ. */
static bool
origin_is_host(const HttpRequest *req, Slice origin)
{
    const char *mark = memmem(origin.ptr, origin.len, "://", 3);
    if (mark == NULL || req->host < 0) {
        return false;
    }
    Slice host = http_field_value(req, (uint32_t)req->host);
    size_t from = (size_t)(mark - origin.ptr) + 3;
    return origin.len - from == host.len
           && strncasecmp(origin.ptr + from, host.ptr, host.len) == 0;
}

/* Whether the name stands for this machine wherever it is used: localhost and what is below it, 127.0.0.0/8,
 * [::1], and 0.0.0.0 and [::], which lead here, too. */
static bool
name_is_local(Slice name)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.') {
        name.len--; /* the root of all names */
    }
    const Slice mapped = SLICE("[::ffff:7f"); /* as browsers write [::ffff:127.0.0.1] */
    if (slice_eq(name, SLICE("[::]"))
        || (name.len > mapped.len
            && slice_eq_nocase(slice_of(name.ptr, mapped.len), mapped))) {
        return true;
    }
    const Slice below = SLICE(".localhost");
    if (name.len > below.len
        && slice_eq_nocase(slice_of(name.ptr + name.len - below.len, below.len),
                           below)) {
        return true;
    }
    bool digits = name.len > 4 && memcmp(name.ptr, "127.", 4) == 0;
    for (size_t i = 0; digits && i < name.len; i++) {
        digits = name.ptr[i] == '.' || ascii_is_digit(name.ptr[i]);
    }
    return digits || slice_eq_nocase(name, SLICE("localhost"))
           || slice_eq(name, SLICE("[::1]")) || slice_eq(name, SLICE("0.0.0.0"));
}

/* The default: all origins are allowed, except that a page of another site may not connect to a server on the user's
 * own machine. */
static bool
origin_is_no_stranger(const HttpRequest *req, Slice origin)
{
    if (req->forwarded || req->host < 0
        || !name_is_local(head_host_name(http_field_value(req, (uint32_t)req->host)))) {
        return true;
    }
    const char *mark = memmem(origin.ptr, origin.len, "://", 3);
    if (mark == NULL) {
        return false; /* "null": a sandboxed frame, which may be anyone's */
    }
    size_t from = (size_t)(mark - origin.ptr) + 3;
    Slice host = slice_of(origin.ptr + from, origin.len - from);
    return head_is_host(host) && name_is_local(head_host_name(host));
}

/* A request without Origin is allowed: clients other than browsers send none, and could send any. */
static bool
origin_is_allowed(const HttpRequest *req)
{
    Slice rest = buf_slice(&req->server->ws_origins);
    int32_t i = http_field_find(req, SLICE("origin"), 0);
    if (i < 0) {
        return true;
    }
    Slice origin = http_field_value(req, (uint32_t)i);
    if (rest.len == 0) {
        return origin_is_no_stranger(req, origin);
    }
    do {
        Slice allowed = list_next(&rest, ' ');
        if (slice_eq_nocase(origin, allowed) || slice_eq(allowed, SLICE("*"))
            || (slice_eq(allowed, SLICE("same")) && origin_is_host(req, origin))) {
            return true;
        }
    } while (rest.ptr != NULL);
    return false;
}

static Fault
offer_fault(const HttpRequest *req)
{
    if (!ws_is_offered(req)) {
        return fault_make(400, "The request is not for a WebSocket");
    }
    if (!slice_eq(field_only(req, SLICE("sec-websocket-version")), SLICE("13"))) {
        return fault_make(426, "The version of WebSocket is not supported");
    }
    if (req->minor != HTTP_2 && key_find(req).ptr == NULL) {
        return fault_make(400, "Sec-WebSocket-Key is malformed");
    }
    if (!origin_is_allowed(req)) {
        return fault_make(403, "The origin is not allowed");
    }
    return fault_make(0, NULL);
}

bool
ws_check(HttpRequest *req)
{
    Fault fault = offer_fault(req);
    if (fault.status == 0) {
        return true;
    }
    HttpFields fields = {.has_date = false};
    if (fault.status == 426) { /* RFC 9110 section 15.5.22, RFC 6455 section 4.4 */
        (void)buf_append_slice(&fields.raw, SLICE("sec-websocket-version: 13\r\n"));
        if (req->minor != HTTP_2) {
            (void)buf_append_slice(
                &fields.raw, SLICE("upgrade: websocket\r\nconnection: upgrade\r\n"));
        }
    }
    char room[DETAIL_BODY_MAX];
    Slice body = response_detail(room, slice_of(fault.detail, strlen(fault.detail)));
    HttpHead head = {.status = fault.status,
                     .content_type = SLICE("application/json"),
                     .fields = &fields};
    (void)http_respond(req, &head, body, NULL);
    http_fields_free(&fields);
    if (fault.status == 403) {
        server_refused(req->server, &req->peer,
                       (HttpRefusal){403,
                                     "its Origin may not open WebSockets (--ws-origin)",
                                     NULL});
    }
    return false;
}

bool
ws_next_subprotocol(const HttpRequest *req, WsOffers *offers, Slice *out)
{
    Slice name = SLICE("sec-websocket-protocol");
    while (offers->rest.ptr == NULL) {
        uint32_t from = offers->begun ? (uint32_t)offers->field + 1 : 0;
        int32_t i = http_field_find(req, name, from);
        if (i < 0) {
            return false;
        }
        offers->begun = true;
        offers->field = i;
        offers->rest = http_field_value(req, (uint32_t)i);
    }
    *out = list_next(&offers->rest, ',');
    return out->len != 0 || ws_next_subprotocol(req, offers, out);
}

/* ---- The response ------------------------------------------------------------------------ */

/* Computes Sec-WebSocket-Accept from the key: proof that the server speaks WebSocket (section 4.2.2). */
static int
accept_value(Slice key, char out[ACCEPT_LEN])
{
    char text[KEY_LEN + 36];
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    unsigned char encoded[ACCEPT_LEN + 1]; /* EVP_EncodeBlock appends a NUL */
    memcpy(text, key.ptr, KEY_LEN);
    memcpy(text + KEY_LEN, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    if (EVP_Digest(text, sizeof(text), hash, &len, EVP_sha1(), NULL) != 1) {
        return UV_ENOMEM; /* or a policy of the system's forbids SHA-1 */
    }
    (void)EVP_EncodeBlock(encoded, hash, (int)len);
    memcpy(out, encoded, ACCEPT_LEN);
    return 0;
}

static int
handshake_append_field(Buf *out, Slice name, Slice value)
{
    int err = buf_append_slice(out, name);
    if (err == 0) {
        err = buf_append_slice(out, value);
    }
    return err == 0 ? buf_append(out, "\r\n", 2) : err;
}

/* Appends what HTTP/1.1 needs, where the connection is switched. */
static int
handshake_append_switch(Buf *out, Slice key)
{
    char value[ACCEPT_LEN];
    int err =
        buf_append_slice(out, SLICE("upgrade: websocket\r\nconnection: Upgrade\r\n"));
    if (err == 0) {
        err = accept_value(key, value);
    }
    return err != 0 ? err
                    : handshake_append_field(out, SLICE("sec-websocket-accept: "),
                                             slice_of(value, ACCEPT_LEN));
}

/* Appends the fields that accept the offer. */
static int
handshake_append_fields(Buf *out, Slice subprotocol, const WsDeflateParams *deflate)
{
    char value[WS_EXTENSION_MAX];
    int err = 0;
    if (err == 0 && subprotocol.len != 0) {
        err =
            handshake_append_field(out, SLICE("sec-websocket-protocol: "), subprotocol);
    }
    if (err == 0 && deflate != NULL) {
        size_t len = ws_extension_write(value, deflate);
        err = handshake_append_field(out, SLICE("sec-websocket-extensions: "),
                                     slice_of(value, len));
    }
    return err;
}

int
ws_handshake_fields(HttpRequest *req, const WsAccept *accept,
                    const WsDeflateParams *deflate, HttpFields *out)
{
    bool fits = accept->subprotocol.len == 0 || http_is_token(accept->subprotocol);
    if (!fits || offer_fault(req).status != 0) {
        return UV_EINVAL;
    }
    const HttpFields *more = accept->fields;
    int err =
        req->minor == HTTP_2 ? 0 : handshake_append_switch(&out->raw, key_find(req));
    if (err == 0) {
        err = handshake_append_fields(&out->raw, accept->subprotocol, deflate);
    }
    if (err == 0 && more != NULL) {
        out->has_date = more->has_date;
        out->has_server = more->has_server;
        err = buf_append_slice(&out->raw, buf_slice(&more->raw));
    }
    return err;
}

int
ws_handshake_write(HttpRequest *req, const WsAccept *accept,
                   const WsDeflateParams *deflate)
{
    HttpFields fields = {.has_date = false};
    int err = ws_handshake_fields(req, accept, deflate, &fields);
    if (err == 0) {
        const ResponseHead head = {
            .status = 101, .fields = &fields, .length = -1, .id = http_request_id(req)};
        err = response_put_head(req->server, &head, 0);
    }
    http_fields_free(&fields);
    return err;
}
