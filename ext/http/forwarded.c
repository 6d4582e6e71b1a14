/* Reading what proxies say of a request's client (see forwarded.h). Every proxy adds the address of its own
 * peer at the end of a list. So the list is believed from its end, up to and including the first address
 * that is not a trusted proxy's; what stands before that was sent by a peer that isn't trusted. Lists may
 * be as long as a head: they are read once, from the left, without a copy. The loop's thread.
 */
#include "base/py.h"

#include "http/forwarded.h"

#include "http/chars.h"
#include "http/forwarded_node.h"
#include "http/list.h"

#include <uv.h>

/* ---- Names --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint8_t bit;
} FIELDS[] = {
    {"x-forwarded-for", RARE_FOR},       {"x-forwarded-proto", RARE_PROTO},
    {"x-forwarded-host", RARE_HOST},     {"x-forwarded-port", RARE_PORT},
    {"x-forwarded-prefix", RARE_PREFIX}, {"forwarded", RARE_FORWARDED},
};

/* Whether the names are equal when '_' counts as '-'. */
static bool
name_is_like(Slice name, const char *wanted)
{
    if (strlen(wanted) != name.len) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i] == '_' ? '-' : name.ptr[i];
        if (c != wanted[i]) {
            return false;
        }
    }
    return true;
}

void
forwarded_note(HttpConn *c)
{
    HttpRequest *req = c->req;
    Slice name = http_field_name(req, req->nfields - 1);
    for (size_t i = 0; i < sizeof FIELDS / sizeof *FIELDS; i++) {
        if (name_is_like(name, FIELDS[i].name)) {
            if (memchr(name.ptr, '_', name.len) != NULL) {
                req->nfields--;
            } else {
                c->rare |= FIELDS[i].bit & c->believed;
            }
            return;
        }
    }
}

/* ---- The chain of hops --------------------------------------------------------------------- */

/* The farthest hop that is believed. The list is read from the left: an address that isn't trusted, or that can't be
 * read, discards everything before it. */
typedef struct Chain {
    const Trust *trust; /* borrowed */
    NetAddr client;     /* the farthest address that is believed; valid if `known` */
    bool known;
    bool begun;
    size_t after; /* how many elements follow the hop's in the list */
} Chain;

/* Adds an element; `node` is NULL when it has no address that can be read. True when the element is the
 * hop's own, as far as the list has been read. */
static bool
chain_add(Chain *chain, const NetAddr *node)
{
    bool trusted = node != NULL && trust_has(chain->trust, node);
    bool is_hop = !trusted || !chain->begun;
    chain->after = is_hop ? 0 : chain->after + 1;
    chain->begun = true;
    if (node == NULL) {
        chain->known = false;
    } else if (is_hop || !chain->known) {
        /* An unknown client's nearest known proxy stands for it. */
        chain->client = *node;
        chain->known = true;
    }
    return is_hop;
}

static void
chain_read(Chain *chain, const HttpRequest *req)
{
    Slice name = SLICE("x-forwarded-for");
    int32_t i = http_field_find(req, name, 0);
    for (; i >= 0; i = http_field_find(req, name, (uint32_t)i + 1)) {
        Slice rest = http_field_value(req, (uint32_t)i);
        do {
            Slice item = list_next(&rest, ',');
            NetAddr node;
            if (item.len != 0) {
                (void)chain_add(chain, node_read(item, &node) ? &node : NULL);
            }
        } while (rest.ptr != NULL);
    }
}

/* The item that stands `after` places before the last one of all fields with that name, or the first one
 * when there are fewer: a proxy may replace the field while others append to it. Empty: none. */
static Slice
item_of_hop(const HttpRequest *req, Slice name, size_t after)
{
    size_t count = 0, at = 0;
    for (int pass = 0; pass < 2; pass++) {
        int32_t i = http_field_find(req, name, 0);
        for (; i >= 0; i = http_field_find(req, name, (uint32_t)i + 1)) {
            Slice rest = http_field_value(req, (uint32_t)i);
            do {
                Slice item = list_next(&rest, ',');
                if (item.len == 0) {
                    continue;
                }
                if (pass == 0) {
                    count++;
                } else if (at++ + (after < count ? after + 1 : count) == count) {
                    return item;
                }
            } while (rest.ptr != NULL);
        }
    }
    return SLICE("");
}

/* ---- Applying ------------------------------------------------------------------------------ */

static void
scheme_apply(HttpRequest *req, Slice scheme)
{
    if (slice_eq_nocase(scheme, SLICE("https"))
        || slice_eq_nocase(scheme, SLICE("wss"))) {
        req->https = true;
    } else if (slice_eq_nocase(scheme, SLICE("http"))
               || slice_eq_nocase(scheme, SLICE("ws"))) {
        req->https = false;
    }
}

/* Replaces the value of the Host field by `host`, a part of the request's head. */
static int
host_apply(HttpRequest *req, Slice host)
{
    if (!head_is_host(host)) {
        return 0;
    }
    uint32_t at = (uint32_t)(host.ptr - req->head.ptr);
    if (req->host
        < 0) { /* HTTP/1.0: the room comes first, since `host` lies in what may move */
        if (buf_reserve(&req->head, host.len + 4) != 0) {
            return UV_ENOMEM;
        }
        return http_request_add_field(req, SLICE("host"),
                                      slice_of(req->head.ptr + at, host.len));
    }
    req->fields[req->host].value = at;
    req->fields[req->host].value_len = (uint32_t)host.len;
    return 0;
}

/* Appends the port to a Host that has none, unless it is the scheme's own. */
static int
port_apply(HttpRequest *req, Slice port)
{
    uint32_t number = port_read(port);
    if (number == 0 || req->host < 0 || number == (req->https ? 443U : 80U)) {
        return 0;
    }
    HttpField *field = &req->fields[req->host];
    Slice host = http_field_value(req, (uint32_t)req->host);
    if (head_host_name(host).len != host.len) { /* it has one */
        return 0;
    }
    uint32_t at = (uint32_t)req->head.len, from = field->value, len = field->value_len;
    if (buf_reserve(&req->head, len + 6) != 0) {
        return UV_ENOMEM;
    }
    char text[8];
    int n = snprintf(text, sizeof text, ":%u", (unsigned)number);
    memcpy(req->head.ptr + at, req->head.ptr + from, len);
    memcpy(req->head.ptr + at + len, text, (size_t)n);
    req->head.len += len + (size_t)n;
    field->value = at;
    field->value_len = len + (uint32_t)n;
    return 0;
}

/* The path without the '/' at its end; {NULL, 0} unless it has the form of one and only characters that
 * every path may have unencoded. "//" at its beginning would be another host in a Location. */
static Slice
prefix_check(Slice path)
{
    while (path.len != 0 && path.ptr[path.len - 1] == '/') {
        path.len--;
    }
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        bool fine = i == 0 ? c == '/' : c != '/' || path.ptr[i - 1] != '/';
        if (!fine || (c != '/' && (c == '%' || !char_is(&CHARS_HOST, c)))) {
            return slice_of(NULL, 0);
        }
    }
    return path;
}

/* Joins the prefixes, that of the outermost proxy first: each has removed its own. */
static int
prefix_apply(HttpRequest *req)
{
    Slice name = SLICE("x-forwarded-prefix");
    uint32_t from = (uint32_t)req->head.len;
    int32_t i = http_field_find(req, name, 0);
    for (; i >= 0; i = http_field_find(req, name, (uint32_t)i + 1)) {
        /* The room comes first, since the value lies in what may move. */
        if (buf_reserve(&req->head, req->fields[i].value_len) != 0) {
            return UV_ENOMEM;
        }
        Slice rest = http_field_value(req, (uint32_t)i);
        do {
            Slice path = prefix_check(list_next(&rest, ','));
            if (path.ptr == NULL) {
                req->head.len = from;
                return 0;
            }
            (void)buf_append_slice(&req->head, path);
        } while (rest.ptr != NULL);
    }
    req->prefix = from;
    req->prefix_len = (uint32_t)(req->head.len - from);
    return 0;
}

static int
x_fields_apply(HttpConn *c)
{
    HttpRequest *req = c->req;
    Chain chain = {.trust = &c->server->trust};
    int err = 0;
    if (c->rare & RARE_FOR) {
        chain_read(&chain, req);
    }
    if (chain.known) {
        req->peer = chain.client;
    }
    if (c->rare & RARE_PROTO) {
        scheme_apply(req, item_of_hop(req, SLICE("x-forwarded-proto"), chain.after));
    }
    if (c->rare & RARE_HOST) {
        Slice host = item_of_hop(req, SLICE("x-forwarded-host"), chain.after);
        err = host_apply(req, host);
    }
    if (err == 0 && c->rare & RARE_PORT) {
        Slice port = item_of_hop(req, SLICE("x-forwarded-port"), chain.after);
        err = port_apply(req, port);
    }
    return err == 0 && c->rare & RARE_PREFIX ? prefix_apply(req) : err;
}

/* Of the believed hop's element; parts of the head. */
typedef struct HopFacts {
    Slice proto, host;
} HopFacts;

static int
elements_apply(HttpConn *c)
{
    HttpRequest *req = c->req;
    Chain chain = {.trust = &c->server->trust};
    HopFacts facts = {.proto = SLICE(""), .host = SLICE("")};
    Slice name = SLICE("forwarded");
    int32_t i = http_field_find(req, name, 0);
    for (; i >= 0; i = http_field_find(req, name, (uint32_t)i + 1)) {
        Slice rest = http_field_value(req, (uint32_t)i);
        while (rest.len != 0) {
            ForwardedElement element;
            NetAddr node;
            if (!element_next(&rest, &element)) {
                (void)chain_add(&chain, NULL);
                facts = (HopFacts){.proto = SLICE(""), .host = SLICE("")};
                break; /* where this line goes on can't be known */
            }
            if (element.empty) {
                continue;
            }
            bool known = node_read(element.node, &node);
            if (chain_add(&chain, known ? &node : NULL)) {
                facts = (HopFacts){.proto = element.proto, .host = element.host};
            }
        }
    }
    if (chain.known) {
        req->peer = chain.client;
    }
    scheme_apply(req, facts.proto);
    return host_apply(req, facts.host);
}

int
forwarded_apply(HttpConn *c)
{
    c->req->forwarded = true;
    return c->rare & RARE_X ? x_fields_apply(c) : elements_apply(c);
}
