/* Negotiation of permessage-deflate (RFC 7692 sections 5 and 7.1). Accepts the first of the client's
 * offers that can be met, with windows small enough for many idle connections. Pure functions.
 */
#include "base/py.h"

#include "base/fmt.h"
#include "http/list.h"
#include "http/ws/ws_conn.h"

enum {
    BITS_MIN = 8,
    BITS_MAX = 15,
    DEFLATE_BITS_MIN = 9, /* zlib has no smaller window for raw deflate */
    BITS_WANTED = 12,     /* 4 KiB: enough for most of the gain with usual messages */
    BITS_SHORT = 10,      /* of our window, when the client's has to be 32 KiB */
};

/* A parameter's value, which may stand in quotes. */
static Slice
extension_unquote(Slice value)
{
    bool quoted =
        value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"';
    return quoted ? slice_of(value.ptr + 1, value.len - 2) : value;
}

/* 8 to 15, without leading zeros; 0 for anything else. */
static uint8_t
extension_read_bits(Slice value)
{
    value = extension_unquote(value);
    uint64_t bits;
    bool fits = slice_decimal(value, BITS_MAX, &bits) && bits >= BITS_MIN
                && value.len == (bits < 10 ? 1u : 2u);
    return fits ? (uint8_t)bits : 0;
}

/* The parameters of an offer as received; 0 bits: not mentioned. */
typedef struct Offer {
    bool server_no_context, client_no_context, client_bits_offered;
    uint8_t server_bits, client_bits;
} Offer;

static bool
extension_note_flag(bool *flag, Slice value)
{
    bool fine = !*flag && value.ptr == NULL;
    *flag = true;
    return fine;
}

static bool
extension_note_client_bits(Offer *offer, Slice value)
{
    if (offer->client_bits_offered) {
        return false;
    }
    offer->client_bits_offered = true;
    offer->client_bits = value.ptr == NULL ? BITS_MAX : extension_read_bits(value);
    return offer->client_bits != 0;
}

/* Notes one parameter. False when the offer must be declined because of it: the parameter is unknown or
 * repeated, or its value is wrong. */
static bool
extension_note_parameter(Offer *offer, Slice name, Slice value)
{
    if (slice_eq_nocase(name, SLICE("server_no_context_takeover"))) {
        return extension_note_flag(&offer->server_no_context, value);
    }
    if (slice_eq_nocase(name, SLICE("client_no_context_takeover"))) {
        return extension_note_flag(&offer->client_no_context, value);
    }
    if (slice_eq_nocase(name, SLICE("client_max_window_bits"))) {
        return extension_note_client_bits(offer, value);
    }
    if (!slice_eq_nocase(name, SLICE("server_max_window_bits"))
        || offer->server_bits != 0 || value.ptr == NULL) {
        return false;
    }
    offer->server_bits = extension_read_bits(value);
    return offer->server_bits >= DEFLATE_BITS_MIN;
}

/* Reads the parameters of one offer, which follow its name. */
static bool
extension_read_offer(Offer *offer, Slice rest)
{
    while (rest.ptr != NULL) {
        Slice value = list_next(&rest, ';');
        Slice name = list_next(&value, '=');
        if (!extension_note_parameter(offer, name,
                                      value.ptr != NULL ? list_trim(value) : value)) {
            return false;
        }
    }
    return true;
}

static uint8_t
bits_smaller(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

static void
extension_choose(WsDeflateParams *out, const Offer *offer)
{
    /* A client that can't be asked for a smaller window may use all 32 KiB, so ours must be smaller. */
    uint8_t wanted = offer->client_bits_offered || offer->client_no_context
                         ? BITS_WANTED
                         : BITS_SHORT;
    *out = (WsDeflateParams){
        .on = true,
        .server_no_context = offer->server_no_context,
        .client_no_context = offer->client_no_context,
        .client_bits_offered = offer->client_bits_offered,
        .server_bits =
            offer->server_bits != 0 ? bits_smaller(offer->server_bits, wanted) : wanted,
        .client_bits = offer->client_bits_offered
                           ? bits_smaller(offer->client_bits, BITS_WANTED)
                           : BITS_MAX,
    };
}

bool
ws_extension_choose(const HttpRequest *req, WsDeflateParams *out)
{
    Slice field = SLICE("sec-websocket-extensions");
    int32_t i = http_field_find(req, field, 0);
    while (i >= 0) {
        Slice offers = http_field_value(req, (uint32_t)i);
        do {
            Slice rest = list_next(&offers, ',');
            Offer offer = {.client_bits = 0};
            if (slice_eq_nocase(list_next(&rest, ';'), SLICE("permessage-deflate"))
                && extension_read_offer(&offer, rest)) {
                extension_choose(out, &offer);
                return true;
            }
        } while (offers.ptr != NULL);
        i = http_field_find(req, field, (uint32_t)i + 1);
    }
    return false;
}

static size_t
extension_put(char *out, size_t n, Slice text)
{
    memcpy(out + n, text.ptr, text.len);
    return n + text.len;
}

size_t
ws_extension_write(char *out, const WsDeflateParams *params)
{
    size_t n = extension_put(out, 0, SLICE("permessage-deflate"));
    if (params->server_no_context) {
        n = extension_put(out, n, SLICE("; server_no_context_takeover"));
    }
    if (params->client_no_context) {
        n = extension_put(out, n, SLICE("; client_no_context_takeover"));
    }
    if (params->server_bits < BITS_MAX) {
        n = extension_put(out, n, SLICE("; server_max_window_bits="));
        n += fmt_decimal(out + n, params->server_bits);
    }
    if (params->client_bits_offered) {
        n = extension_put(out, n, SLICE("; client_max_window_bits="));
        n += fmt_decimal(out + n, params->client_bits);
    }
    assert(n <= WS_EXTENSION_MAX);
    return n;
}
