/* The routing table: finds the plan for a method and a path. It is a radix tree over path bytes,
 * so that the cost of a look-up depends on the path's length and not on the number of routes.
 *
 * Nothing in router_build.c and router_find.c calls into Python: plans are kept as opaque owned references.
 * Thread: any, with the GIL. Routes may be added between two look-ups, but not during one.
 */
#ifndef FLUVIAL_ROUTE_ROUTER_H
#define FLUVIAL_ROUTE_ROUTER_H

#include "base/py.h"
#include "base/slice.h"

enum { ROUTE_CAPTURES_MAX = 16 };

/* One bit per method, by llhttp_method_t number (all of them are below 64). */
typedef uint64_t MethodSet;

typedef enum RouteOutcome {
    ROUTE_FOUND,
    ROUTE_NOT_FOUND,
    ROUTE_METHOD_NOT_ALLOWED, /* see `allowed` */
    /* Nothing matched, but the path with a '/' added to or removed from its end would. Never for a
     * path that begins with "//": as a redirect's target, that would name a host. */
    ROUTE_REDIRECT_SLASH,
} RouteOutcome;

/* The HTTP status for the outcome. */
int route_status(RouteOutcome outcome);

typedef struct RouteMatch {
    RouteOutcome outcome;
    /* Borrowed from the router; FOUND only. */
    PyObject *plan;
    PyObject *names; /* tuple of str: the names of the captures */
    /* The methods that the matching routes accept; METHOD_NOT_ALLOWED only. */
    MethodSet allowed;
    uint32_t ncaptures;
    Slice captures[ROUTE_CAPTURES_MAX]; /* of the path, in the pattern's order */
} RouteMatch;

typedef struct Router Router;

/* Whether the texts of a route's `count` captures fit its `fits`, the only thing for which a look-up calls Python. It
 * may split the path in another way, and changes `captures` then. */
typedef bool (*RouteFits)(PyObject *fits, Slice *captures, unsigned count);

/* `redirects`: whether a path is redirected to the one with or without a '/' at its end.
 * NULL: out of memory, no exception set. */
Router *router_new(bool redirects, RouteFits ask);
void router_free(Router *router);
int router_traverse(Router *router, visitproc visit, void *arg);

typedef enum RouteError {
    ROUTE_OK = 0,
    ROUTE_NO_MEMORY,
    ROUTE_NO_SLASH,      /* the pattern must begin with '/' */
    ROUTE_BAD_BRACE,     /* unbalanced or empty {} */
    ROUTE_BAD_CONVERTER, /* not str, int, float, uuid or path */
    ROUTE_BAD_NAME,      /* not an identifier */
    ROUTE_DUPLICATE_NAME,
    ROUTE_TOO_MANY, /* more than ROUTE_CAPTURES_MAX captures */
} RouteError;

/* Adds a route for the methods in `methods`. `plan`, and `names`, a tuple of the captures' names,
 * are borrowed; references are taken. A pattern has literal text and captures:
 *
 *     {name}, {name:str}   one or more bytes without '/'
 *     {name:int}           [0-9]+
 *     {name:float}         [0-9]+(\.[0-9]+)?
 *     {name:uuid}          8-4-4-4-12 hex digits
 *     {name:path}          anything, '/' included, also nothing
 *
 * A capture may have literal text before and after it within its segment ("/files/{name}.json").
 * If several routes match a request, the one added first wins. `fits` (borrowed; a reference is taken) says what
 * else its captures must look like; NULL for nothing else. `error_at` is set to the offset of an error in the
 * pattern. */
RouteError router_add(Router *router, Slice pattern, MethodSet methods, PyObject *plan,
                      PyObject *names, PyObject *fits, size_t *error_at);

/* Whether a look-up is calling Python. Then the table must not be changed. */
bool router_is_asking(const Router *router);

/* Puts `plan` (borrowed) in the place of `old` in every route that has it. Routes keep their order. `old` must be
 * kept alive meanwhile. Returns the number of routes. */
uint32_t router_replace(Router *router, PyObject *old, PyObject *plan);

/* Exchanges the routes of two tables. What a look-up has found is borrowed from the table that has the route then. */
void router_swap(Router *a, Router *b);

/* Looks up a percent-decoded path. Captures are borrowed from `path`. */
void router_find(Router *router, unsigned method, Slice path, RouteMatch *out);
/* The same for a request: HEAD finds the routes for GET as well, after its own (RFC 9110 section 9.1,
 * see ADR 4), and is allowed where GET is. */
void router_find_request(Router *router, unsigned method, Slice path, RouteMatch *out);

#endif
