/* Look-up in the routing table: of all routes that match a path, finds the one that was added first,
 * and its captures. The one call of Python is Router.ask, for converters of the program's own. Memory is
 * allocated only for the second look-up, with a '/' appended, of a path that no route matches.
 * Thread: any, with the GIL.
 *
 * Captures match like the regular expressions in router.h, longest match first. The search goes through the tree
 * depth first and skips nodes whose routes were all added after the best route so far.
 *
 * The work is bounded by the path's length times the number of captures in the tree, because no capture node
 * tries the same end twice. Which routes match after an end doesn't depend on where the capture began, so one try
 * is enough. (What Router.ask says may depend on it; it splits the path anew.) A capture node is always reached
 * from its parent capture through the same literal text. The parent tries its ends in descending order, so the
 * starts of the node descend too, and with them the ends that are still untried. `Node.low` is the last end
 * tried; the path from there on is not examined again.
 */
#include "base/py.h"

#include "route/router.h"
#include "route/router_tree.h"

#include <llhttp.h>

typedef struct Search {
    Router *router;
    Slice path;
    MethodSet method; /* one bit */
    uint64_t epoch;   /* of this look-up */
    unsigned loops; /* captures on the current path of nodes with several ends to try */
    uint32_t best;  /* order of the best route so far; UINT32_MAX: none */
    bool matched;   /* some route matches the path, for any method */
    Slice captures[ROUTE_CAPTURES_MAX]; /* on the current path of nodes */
    Slice split[ROUTE_CAPTURES_MAX];    /* the same as Router.ask has split them */
    RouteMatch *out;
} Search;

static void search_node(Search *s, const Node *node, size_t pos, unsigned ncaptures);

static inline bool
is_hex(char c)
{
    return ascii_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

static size_t
digits_end(Slice path, size_t pos)
{
    while (pos < path.len && ascii_is_digit(path.ptr[pos])) {
        pos++;
    }
    return pos;
}

static size_t
float_end(Slice path, size_t pos)
{
    size_t end = digits_end(path, pos);
    if (end > pos && end + 1 < path.len && path.ptr[end] == '.') {
        size_t fraction = digits_end(path, end + 1);
        return fraction > end + 1 ? fraction : end;
    }
    return end;
}

static size_t
uuid_end(Slice path, size_t pos)
{
    enum { UUID_LEN = 36 };
    if (path.len - pos < UUID_LEN) {
        return pos;
    }
    for (size_t i = 0; i < UUID_LEN; i++) {
        char c = path.ptr[pos + i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? c != '-' : !is_hex(c)) {
            return pos;
        }
    }
    return pos + UUID_LEN;
}

/* The end of the longest match of a capture that begins at `pos`; `pos` if there is none. */
static size_t
capture_end(CaptureKind kind, Slice path, size_t pos)
{
    switch (kind) {
    case CAPTURE_UUID:
        return uuid_end(path, pos);
    case CAPTURE_INT:
        return digits_end(path, pos);
    case CAPTURE_FLOAT:
        return float_end(path, pos);
    case CAPTURE_STR: {
        const char *slash = memchr(path.ptr + pos, '/', path.len - pos);
        return slash == NULL ? path.len : (size_t)(slash - path.ptr);
    }
    case CAPTURE_PATH:
        return path.len;
    }
    return pos;
}

/* Whether the rest of the pattern can match only after the longest match of the capture. */
static inline bool
capture_has_one_end(const Node *after)
{
    if (after->ncaptures != 0) {
        return after->kind == CAPTURE_UUID;
    }
    switch (after->kind) {
    case CAPTURE_UUID:
        return true;
    case CAPTURE_PATH:
        return after->nchildren == 0;
    case CAPTURE_INT:
    case CAPTURE_FLOAT:
    case CAPTURE_STR:
        break;
    }
    return after->nchildren == 0 || (after->nchildren == 1 && after->firsts[0] == '/');
}

/* Whether a capture may end at `end`: not after the dot of a float, nor within a character. */
static inline bool
is_end(const Node *after, Slice path, size_t end)
{
    if (after->kind == CAPTURE_FLOAT && path.ptr[end - 1] == '.') {
        return false;
    }
    return end == path.len || ((unsigned char)path.ptr[end] & 0xc0) != 0x80;
}

/* Tries all ends of a capture from `end` down to `last`. */
static void
search_ends(Search *s, Node *after, size_t pos, size_t end, size_t last,
            unsigned ncaptures)
{
    s->loops++;
    for (;; end--) {
        if (is_end(after, s->path, end)) {
            s->captures[ncaptures] = slice_of(s->path.ptr + pos, end - pos);
            search_node(s, after, end, ncaptures + 1);
        }
        if (end == last || after->order >= s->best) {
            break;
        }
    }
    s->loops--;
}

static void
search_capture(Search *s, Node *after, size_t pos, unsigned ncaptures)
{
    Slice path = s->path;
    bool again = s->loops > 0 && after->epoch == s->epoch;
    if (again && after->low <= path.len) {
        path.len = after->low - 1;
    }
    bool may_be_empty = after->kind == CAPTURE_PATH;
    if (pos + !may_be_empty > path.len) {
        return;
    }
    size_t end = capture_end(after->kind, path, pos);
    if (end == pos && !may_be_empty) {
        return;
    }
    bool one_end = capture_has_one_end(after);
    size_t last = one_end ? end : pos + !may_be_empty;
    if (s->loops > 0) {
        after->epoch = s->epoch;
        after->low = last;
    }
    if (one_end) {
        s->captures[ncaptures] = slice_of(path.ptr + pos, end - pos);
        search_node(s, after, end, ncaptures + 1);
        return;
    }
    search_ends(s, after, pos, end, last, ncaptures);
}

/* The route's captures, or NULL if the path doesn't fit it. */
static const Slice *
search_fits(Search *s, const Route *route, unsigned ncaptures)
{
    if (likely(route->fits == NULL)) {
        return s->captures;
    }
    for (unsigned i = 0; i < ncaptures; i++) {
        s->split[i] = s->captures[i];
    }
    s->router->asking++;
    bool fits = s->router->ask(route->fits, s->split, ncaptures);
    s->router->asking--;
    return fits ? s->split : NULL;
}

/* Examines the routes that end at `node`, where the path ends. */
static void
search_routes(Search *s, const Node *node, unsigned ncaptures)
{
    for (uint32_t i = 0; i < node->nroutes; i++) {
        const Route *route = &node->routes[i];
        if (route->order >= s->best) {
            break;
        }
        const Slice *captures = search_fits(s, route, ncaptures);
        if (captures == NULL) {
            continue;
        }
        s->matched = true;
        if ((route->methods & s->method) != 0) {
            s->best = route->order;
            s->out->plan = route->plan;
            s->out->names = route->names;
            s->out->ncaptures = ncaptures;
            for (unsigned c = 0; c < ncaptures; c++) {
                s->out->captures[c] = captures[c];
            }
            break;
        }
        s->out->allowed |= route->methods;
    }
}

/* The index of the child whose edge begins with `first`; nchildren if there is none. For a few bytes,
 * a loop is faster than a call of memchr. */
static inline uint32_t
child_index(const Node *node, uint8_t first)
{
    enum { FEW = 8 };
    uint32_t n = node->nchildren;
    if (n > FEW) {
        const uint8_t *at = memchr(node->firsts, first, n);
        return at == NULL ? n : (uint32_t)(at - node->firsts);
    }
    uint32_t i = 0;
    while (i < n && node->firsts[i] != first) {
        i++;
    }
    return i;
}

/* Whether `text`, whose first byte is that of the edge, begins with the edge. For short edges, a loop
 * is faster than a call of memcmp. */
static inline bool
edge_matches(const Node *child, const char *text)
{
    enum { SHORT = 16 };
    if (child->edge_len > SHORT) {
        return memcmp(child->edge, text, child->edge_len) == 0;
    }
    for (uint32_t i = 1; i < child->edge_len; i++) {
        if (child->edge[i] != text[i]) {
            return false;
        }
    }
    return true;
}

/* The child that the path at `pos` leads to; NULL if there is none, or if none of its routes was added
 * before the best one. */
static inline const Node *
search_child(const Search *s, const Node *node, size_t pos)
{
    size_t left = s->path.len - pos;
    if (left == 0) {
        return NULL;
    }
    const char *text = s->path.ptr + pos;
    uint32_t i = child_index(node, (uint8_t)text[0]);
    if (i == node->nchildren) {
        return NULL;
    }
    const Node *child = node->children[i];
    bool matters = child->order < s->best && child->edge_len <= left;
    return matters && edge_matches(child, text) ? child : NULL;
}

/* Searches `node` and the nodes below it; the path has matched up to `pos`. */
static void
search_node(Search *s, const Node *node, size_t pos, unsigned ncaptures)
{
    for (;;) {
        if (pos == s->path.len) {
            search_routes(s, node, ncaptures);
        }
        const Node *child = search_child(s, node, pos);
        if (node->ncaptures > 0) {
            if (child != NULL) {
                search_node(s, child, pos + child->edge_len, ncaptures);
            }
            for (uint32_t i = 0; i < node->ncaptures; i++) {
                if (node->captures[i]->order < s->best) {
                    search_capture(s, node->captures[i], pos, ncaptures);
                }
            }
            return;
        }
        if (child == NULL) {
            return;
        }
        node = child;
        pos += child->edge_len;
    }
}

static RouteOutcome
router_search(Router *router, MethodSet method, Slice path, RouteMatch *out)
{
    Search s;
    s.router = router;
    s.path = path;
    s.method = method;
    s.epoch = ++router->epoch;
    s.loops = 0;
    s.best = UINT32_MAX;
    s.matched = false;
    s.out = out;
    out->plan = NULL;
    out->names = NULL;
    out->allowed = 0;
    out->ncaptures = 0;
    search_node(&s, router->root, 0, 0);
    if (s.best != UINT32_MAX) {
        return ROUTE_FOUND;
    }
    return s.matched ? ROUTE_METHOD_NOT_ALLOWED : ROUTE_NOT_FOUND;
}

/* Whether a route for any method matches the path with a '/' added to or removed from its end. */
static bool
router_matches_toggled(Router *router, Slice path)
{
    RouteMatch match;
    if (path.ptr[path.len - 1] == '/') {
        path.len--;
        return router_search(router, 0, path, &match) != ROUTE_NOT_FOUND;
    }
    char *longer = PyMem_Malloc(path.len + 1);
    if (longer == NULL) {
        return false;
    }
    memcpy(longer, path.ptr, path.len);
    longer[path.len] = '/';
    bool matches = router_search(router, 0, slice_of(longer, path.len + 1), &match)
                   != ROUTE_NOT_FOUND;
    PyMem_Free(longer);
    return matches;
}

int
route_status(RouteOutcome outcome)
{
    switch (outcome) {
    case ROUTE_FOUND:
        return 200;
    case ROUTE_NOT_FOUND:
        return 404;
    case ROUTE_METHOD_NOT_ALLOWED:
        return 405;
    case ROUTE_REDIRECT_SLASH:
        return 307;
    }
    Py_UNREACHABLE();
}

void
router_find(Router *router, unsigned method, Slice path, RouteMatch *out)
{
    out->outcome = router_search(router, (MethodSet)1 << method, path, out);
    if (out->outcome == ROUTE_NOT_FOUND && router->redirects && path.len > 1
        && path.ptr[1] != '/' && router_matches_toggled(router, path)) {
        out->outcome = ROUTE_REDIRECT_SLASH;
    }
}

void
router_find_request(Router *router, unsigned method, Slice path, RouteMatch *out)
{
    const MethodSet get = (MethodSet)1 << HTTP_GET;
    router_find(router, method, path, out);
    if (likely(out->outcome != ROUTE_METHOD_NOT_ALLOWED) || (out->allowed & get) == 0) {
        return;
    }
    if (method == HTTP_HEAD) {
        router_find(router, HTTP_GET, path, out);
    } else {
        out->allowed |= (MethodSet)1 << HTTP_HEAD;
    }
}
