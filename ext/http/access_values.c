/* The atoms of the access log (see access_values.h), one function each. What a client has sent is given as it
 * came; access_format.c escapes it.
 */
#include "base/py.h"

#include "http/access_values.h"

#include "base/fmt.h"
#include "http/response_fields.h"

#include <openssl/evp.h>

enum {
    BASIC_MAX = 176
}; /* letters of base64 that are read for a name: more than it may have in a line */

enum { NS_PER_US = 1000, NS_PER_MS = 1000 * 1000, NS_PER_S = 1000 * 1000 * 1000 };

static AccessValue
value_bytes(Slice text)
{
    return (AccessValue){.kind = text.len == 0 ? ACCESS_NOTHING : ACCESS_BYTES,
                         .text = text};
}

static AccessValue
value_number(uint64_t number)
{
    return (AccessValue){.kind = ACCESS_NUMBER, .number = number};
}

static const AccessValue NOTHING = {.kind = ACCESS_NOTHING};

#define UNUSED __attribute__((unused))
#define ATOM(name)                                                                     \
    static AccessValue atom_##name(AccessScratch *scratch UNUSED,                      \
                                   const AccessEntry *entry UNUSED,                    \
                                   Slice argument UNUSED)

/* Whether the request line was read. */
static bool
has_line(const AccessEntry *entry)
{
    return entry->req != NULL && entry->req->target_len != 0;
}

/* ---- The client -------------------------------------------------------------------------- */

ATOM(host)
{
    NetName name;
    net_addr_name(entry->peer, &name);
    size_t len = strnlen(name.host, sizeof scratch->small);
    memcpy(scratch->small, name.host, len);
    return value_bytes(slice_of(scratch->small, len));
}

ATOM(client)
{
    if (entry->peer->family == AF_UNSPEC) {
        return NOTHING;
    }
    return value_bytes(
        slice_of(scratch->small, net_addr_text(entry->peer, scratch->small)));
}

ATOM(nothing)
{
    return NOTHING;
}

/* The user's name of HTTP's Basic authentication (RFC 7617), before the first colon. */
ATOM(user)
{
    int32_t i = entry->req == NULL
                    ? -1
                    : http_field_find(entry->req, SLICE("authorization"), 0);
    Slice value = i < 0 ? SLICE("") : http_field_value(entry->req, (uint32_t)i);
    const Slice basic = SLICE("basic ");
    if (value.len < basic.len
        || !slice_eq_nocase(slice_of(value.ptr, basic.len), basic)) {
        return NOTHING;
    }
    unsigned char text[BASIC_MAX / 4 * 3];
    size_t len = Py_MIN(value.len - basic.len, (size_t)BASIC_MAX) / 4 * 4;
    const char *encoded = value.ptr + basic.len;
    int got = EVP_DecodeBlock(text, (const unsigned char *)encoded, (int)len);
    /* OpenSSL skips blanks. Fewer bytes than expected mean that these are no credentials. */
    if (len == 0 || got != (int)(len / 4 * 3)) {
        return NOTHING;
    }
    size_t padding = (encoded[len - 1] == '=') + (encoded[len - 2] == '=');
    size_t n = 0, end = Py_MIN(len / 4 * 3 - padding, sizeof scratch->small);
    for (; n < end && text[n] != ':'; n++) {
        /* The name stands unquoted between others: it must be one word. */
        bool divides = text[n] == ' ' || text[n] == '[' || text[n] == ']';
        scratch->small[n] = divides ? '?' : (char)text[n];
    }
    return value_bytes(slice_of(scratch->small, n));
}

/* ---- The request ------------------------------------------------------------------------- */

ATOM(request_line)
{
    Buf *line = &scratch->text;
    buf_clear(line);
    if (!has_line(entry) || buf_append_slice(line, http_request_method(entry->req)) != 0
        || buf_append(line, " ", 1) != 0
        || buf_append_slice(line, http_request_target(entry->req)) != 0
        || buf_append(line, " ", 1) != 0
        || buf_append_slice(line, http_request_version(entry->req)) != 0) {
        return NOTHING;
    }
    return value_bytes(buf_slice(line));
}

ATOM(method)
{
    return has_line(entry) ? value_bytes(http_request_method(entry->req)) : NOTHING;
}

ATOM(path)
{
    return has_line(entry) ? value_bytes(http_request_path(entry->req)) : NOTHING;
}

ATOM(query)
{
    return has_line(entry) ? value_bytes(http_request_query(entry->req)) : NOTHING;
}

ATOM(protocol)
{
    return !has_line(entry) ? NOTHING : value_bytes(http_request_version(entry->req));
}

ATOM(scheme)
{
    return entry->req == NULL
               ? NOTHING
               : value_bytes(entry->req->https ? SLICE("https") : SLICE("http"));
}

ATOM(field)
{
    int32_t i = entry->req == NULL ? -1 : http_field_find(entry->req, argument, 0);
    return i < 0 ? NOTHING : value_bytes(http_field_value(entry->req, (uint32_t)i));
}

ATOM(request_id)
{
    return entry->id.len == 0 ? NOTHING : value_bytes(entry->id);
}

ATOM(route)
{
    return entry->req == NULL ? NOTHING : value_bytes(http_request_route(entry->req));
}

ATOM(received)
{
    return value_number(entry->received);
}

ATOM(tls)
{
    return entry->req == NULL ? NOTHING
                              : value_bytes(http_request_tls_version(entry->req));
}

/* ---- The response ------------------------------------------------------------------------ */

ATOM(status)
{
    return value_number((uint64_t)entry->status);
}

Slice
access_reason(int status)
{
    return status == 499 ? SLICE("Client Closed Request") : http_reason(status);
}

ATOM(reason)
{
    return value_bytes(access_reason(entry->status));
}

ATOM(body)
{
    return value_number(entry->body);
}

/* As in the Common Log Format: no digit where there is no byte. */
ATOM(body_or_nothing)
{
    return entry->body == 0 ? NOTHING : value_number(entry->body);
}

ATOM(sent)
{
    return value_number(entry->sent);
}

/* The value of a field in "name: value\r\n" … */
ATOM(answered)
{
    if (entry->req == NULL) {
        return NOTHING;
    }
    Slice raw = buf_slice(&entry->req->sent_fields);
    for (size_t at = 0; at + argument.len + 2 <= raw.len;) {
        const char *line = raw.ptr + at;
        const char *end = memchr(line, '\r', raw.len - at);
        if (end == NULL) {
            break;
        }
        if (line[argument.len] == ':'
            && slice_eq_nocase(slice_of(line, argument.len), argument)) {
            const char *value = line + argument.len + 2;
            return value > end ? NOTHING
                               : value_bytes(slice_of(value, (size_t)(end - value)));
        }
        at = (size_t)(end - raw.ptr) + 2;
    }
    return NOTHING;
}

/* ---- Times ------------------------------------------------------------------------------- */

ATOM(took_s)
{
    return value_number(entry->took / NS_PER_S);
}

ATOM(took_ms)
{
    return value_number(entry->took / NS_PER_MS);
}

ATOM(took_us)
{
    return value_number(entry->took / NS_PER_US);
}

ATOM(took)
{
    return (AccessValue){.kind = ACCESS_SECONDS, .number = entry->took / NS_PER_US};
}

ATOM(queued)
{
    return entry->req == NULL ? NOTHING
                              : (AccessValue){.kind = ACCESS_SECONDS,
                                              .number = entry->req->waited / NS_PER_US};
}

/* Writes the two times of a new second. Month names by strftime would follow the locale. */
static void
scratch_set_second(AccessScratch *scratch, time_t second)
{
    struct tm utc, local;
    (void)gmtime_r(&second, &utc);
    (void)localtime_r(&second, &local);
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    long offset = local.tm_gmtoff / 60;
    long minutes = offset < 0 ? -offset : offset;
    (void)PyOS_snprintf(scratch->date, sizeof scratch->date,
                        "[%02d/%.3s/%04d:%02d:%02d:%02d %c%02d%02d]", local.tm_mday,
                        months + 3 * local.tm_mon, local.tm_year + 1900, local.tm_hour,
                        local.tm_min, local.tm_sec, offset < 0 ? '-' : '+',
                        (int)(minutes / 60), (int)(minutes % 60));
    (void)strftime(scratch->iso, sizeof scratch->iso, "%Y-%m-%dT%H:%M:%S", &utc);
    scratch->second = second;
}

static struct timespec
scratch_now(AccessScratch *scratch)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != scratch->second) {
        scratch_set_second(scratch, now.tv_sec);
    }
    return now;
}

Slice
access_value_time(AccessScratch *scratch)
{
    struct timespec now = scratch_now(scratch);
    unsigned ms = (unsigned)(now.tv_nsec / NS_PER_MS);
    size_t n = strlen(scratch->iso);
    memcpy(scratch->small, scratch->iso, n);
    const char rest[] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
                         (char)('0' + ms % 10), 'Z'};
    memcpy(scratch->small + n, rest, sizeof rest);
    return slice_of(scratch->small, n + sizeof rest);
}

ATOM(time)
{
    return value_bytes(access_value_time(scratch));
}

ATOM(date)
{
    (void)scratch_now(scratch);
    return value_bytes(slice_of(scratch->date, strlen(scratch->date)));
}

/* ---- The process ------------------------------------------------------------------------- */

/* As gunicorn writes it. */
ATOM(process)
{
    char *out = scratch->small;
    *out++ = '<';
    out += fmt_decimal(out, (uint64_t)scratch->pid);
    *out++ = '>';
    return value_bytes(slice_of(scratch->small, (size_t)(out - scratch->small)));
}

ATOM(pid)
{
    return value_number((uint64_t)scratch->pid);
}

ATOM(worker)
{
    return scratch->worker == 0 ? NOTHING : value_number((uint64_t)scratch->worker);
}

/* ---- Their names ------------------------------------------------------------------------- */

AccessGet
access_value_named(Slice name)
{
    static const struct {
        const char *name;
        AccessGet get;
    } atoms[] = {
        {"h", atom_host},
        {"l", atom_nothing},
        {"u", atom_user},
        {"t", atom_date},
        {"r", atom_request_line},
        {"m", atom_method},
        {"U", atom_path},
        {"q", atom_query},
        {"H", atom_protocol},
        {"s", atom_status},
        {"B", atom_body},
        {"b", atom_body_or_nothing},
        {"T", atom_took_s},
        {"M", atom_took_ms},
        {"D", atom_took_us},
        {"L", atom_took},
        {"p", atom_process},
        {"i", atom_field},
        {"o", atom_answered},
        {"bytes_in", atom_received},
        {"bytes_out", atom_sent},
        {"client", atom_client},
        {"pid", atom_pid},
        {"queue", atom_queued},
        {"reason", atom_reason},
        {"route", atom_route},
        {"scheme", atom_scheme},
        {"time", atom_time},
        {"tls", atom_tls},
        {"worker", atom_worker},
        {"request_id", atom_request_id},
    };
    for (size_t i = 0; i < sizeof atoms / sizeof *atoms; i++) {
        if (slice_eq(name, slice_of(atoms[i].name, strlen(atoms[i].name)))) {
            return atoms[i].get;
        }
    }
    return NULL;
}
