/* The tree that router_build.c builds and router_find.c searches.
 *
 * A node represents all paths with the same beginning. Literal text leads to a child through the
 * child's `edge`; no two edges of a node's children begin with the same byte. A capture leads to the
 * node after it; a node has at most one such node for each kind of capture. Routes end at nodes.
 * Thread: any, with the GIL.
 */
#ifndef FLUVIAL_ROUTE_ROUTER_TREE_H
#define FLUVIAL_ROUTE_ROUTER_TREE_H

#include "base/py.h"
#include "route/pattern.h"
#include "route/router.h"

typedef struct Node Node;

typedef struct Route {
    uint32_t order; /* of registration; lower wins */
    MethodSet methods;
    PyObject *plan;  /* owned */
    PyObject *names; /* owned tuple of str: the names of the captures */
    PyObject *fits;  /* owned, or NULL: see router_add */
} Route;

struct Node {
    uint32_t order; /* the lowest of the routes at and below this node */
    uint32_t edge_len;
    char *
        edge; /* owned: the text that leads here; NULL at the root and after captures */

    uint32_t nroutes, nchildren, ncaptures;
    Route *routes;   /* owned array: the routes that end here, in order */
    uint8_t *firsts; /* owned array: the first byte of each child's edge */
    Node **children; /* owned array of owned nodes, in the order of `firsts` */
    Node **captures; /* owned array of owned nodes, one per kind, ordered by kind */

    /* Only of a node that follows a capture. */
    CaptureKind kind;
    size_t low; /* scratch of the look-up `epoch`, see router_find.c */
    uint64_t epoch;
};

struct Router {
    Node *root; /* owned; its edge is empty */
    uint32_t nroutes;
    bool redirects; /* see router_new */
    RouteFits ask;  /* see there */
    unsigned
        asking; /* how many calls of `ask` are under way: one, or more if it begins a look-up */
    uint64_t epoch; /* counts the look-ups; the GIL guards it and the nodes' scratch */
};

#endif
