/* Building and release of the routing table: adds routes to the radix tree of router_tree.h. The
 * look-up is in router_find.c. Thread: any, with the GIL.
 */
#include "base/py.h"

#include "route/router.h"
#include "route/router_tree.h"

static Node *
node_new(Slice edge, uint32_t order)
{
    Node *node = PyMem_Calloc(1, sizeof *node);
    if (node == NULL) {
        return NULL;
    }
    node->order = order;
    if (edge.len > 0) {
        node->edge = PyMem_Malloc(edge.len);
        if (node->edge == NULL) {
            PyMem_Free(node);
            return NULL;
        }
        memcpy(node->edge, edge.ptr, edge.len);
        node->edge_len = (uint32_t)edge.len;
    }
    return node;
}

static void
node_free(Node *node)
{
    for (uint32_t i = 0; i < node->nchildren; i++) {
        node_free(node->children[i]);
    }
    for (uint32_t i = 0; i < node->ncaptures; i++) {
        node_free(node->captures[i]);
    }
    for (uint32_t i = 0; i < node->nroutes; i++) {
        Py_DECREF(node->routes[i].plan);
        Py_DECREF(node->routes[i].names);
        Py_XDECREF(node->routes[i].fits);
    }
    PyMem_Free(node->edge);
    PyMem_Free(node->routes);
    PyMem_Free(node->firsts);
    PyMem_Free(node->children);
    PyMem_Free(node->captures);
    PyMem_Free(node);
}

static int
node_traverse(const Node *node, visitproc visit, void *arg)
{
    for (uint32_t i = 0; i < node->nroutes; i++) {
        Py_VISIT(node->routes[i].plan);
        Py_VISIT(node->routes[i].names);
        Py_VISIT(node->routes[i].fits);
    }
    for (uint32_t i = 0; i < node->nchildren; i++) {
        int err = node_traverse(node->children[i], visit, arg);
        if (err != 0) {
            return err;
        }
    }
    for (uint32_t i = 0; i < node->ncaptures; i++) {
        int err = node_traverse(node->captures[i], visit, arg);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

/* Grows the array at `*array` from `n` to n + 1 items of `size` bytes. False: out of memory. */
static bool
array_grow(void *array, uint32_t n, size_t size)
{
    void *old;
    memcpy(&old, array, sizeof old);
    void *grown = PyMem_Realloc(old, (n + 1) * size);
    if (grown == NULL) {
        return false;
    }
    memcpy(array, &grown, sizeof grown);
    return true;
}

/* Adds a child to `node` for literal text; NULL: out of memory. */
static Node *
node_add_child(Node *node, Slice edge, uint32_t order)
{
    uint32_t n = node->nchildren;
    if (!array_grow(&node->firsts, n, sizeof *node->firsts)
        || !array_grow(&node->children, n, sizeof *node->children)) {
        return NULL;
    }
    Node *child = node_new(edge, order);
    if (child != NULL) {
        node->firsts[n] = (uint8_t)edge.ptr[0];
        node->children[n] = child;
        node->nchildren++;
    }
    return child;
}

/* Splits the edge to child `i` of `node` after `at` bytes and inserts a node there. Returns the new
 * node; NULL: out of memory. */
static Node *
node_split(Node *node, uint32_t i, size_t at)
{
    Node *child = node->children[i];
    Node *middle = node_new(slice_of(child->edge, at), child->order);
    if (middle == NULL) {
        return NULL;
    }
    middle->firsts = PyMem_Malloc(sizeof *middle->firsts);
    middle->children = PyMem_Malloc(sizeof *middle->children);
    if (middle->firsts == NULL || middle->children == NULL) {
        node_free(middle);
        return NULL;
    }
    child->edge_len -= (uint32_t)at;
    memmove(child->edge, child->edge + at, child->edge_len);
    middle->firsts[0] = (uint8_t)child->edge[0];
    middle->children[0] = child;
    middle->nchildren = 1;
    node->children[i] = middle;
    return middle;
}

static size_t
common_prefix(const Node *child, Slice text)
{
    size_t n = 0;
    while (n < child->edge_len && n < text.len && child->edge[n] == text.ptr[n]) {
        n++;
    }
    return n;
}

/* The node that literal `text` leads to from `node`, created if necessary; NULL: out of memory. */
static Node *
node_reach_literal(Node *node, Slice text, uint32_t order)
{
    while (text.len > 0) {
        const uint8_t *first =
            node->nchildren == 0
                ? NULL
                : memchr(node->firsts, (uint8_t)text.ptr[0], node->nchildren);
        if (first == NULL) {
            return node_add_child(node, text, order);
        }
        uint32_t i = (uint32_t)(first - node->firsts);
        size_t n = common_prefix(node->children[i], text);
        node = n == node->children[i]->edge_len ? node->children[i]
                                                : node_split(node, i, n);
        if (node == NULL) {
            return NULL;
        }
        text = slice_of(text.ptr + n, text.len - n);
    }
    return node;
}

/* The node after a capture of `kind` at `node`, created if necessary; NULL: out of memory. */
static Node *
node_reach_capture(Node *node, CaptureKind kind, uint32_t order)
{
    uint32_t i = 0;
    while (i < node->ncaptures && node->captures[i]->kind < kind) {
        i++;
    }
    if (i < node->ncaptures && node->captures[i]->kind == kind) {
        return node->captures[i];
    }
    if (!array_grow(&node->captures, node->ncaptures, sizeof *node->captures)) {
        return NULL;
    }
    Node *after = node_new(slice_of(NULL, 0), order);
    if (after != NULL) {
        after->kind = kind;
        memmove(node->captures + i + 1, node->captures + i,
                (node->ncaptures - i) * sizeof *node->captures);
        node->captures[i] = after;
        node->ncaptures++;
    }
    return after;
}

Router *
router_new(bool redirects, RouteFits ask)
{
    Router *router = PyMem_Calloc(1, sizeof *router);
    if (router == NULL) {
        return NULL;
    }
    router->redirects = redirects;
    router->ask = ask;
    router->root = node_new(slice_of(NULL, 0), 0);
    if (router->root == NULL) {
        PyMem_Free(router);
        return NULL;
    }
    return router;
}

void
router_free(Router *router)
{
    node_free(router->root);
    PyMem_Free(router);
}

static uint32_t
node_replace(Node *node, PyObject *old, PyObject *plan)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->nroutes; i++) {
        if (node->routes[i].plan == old) {
            Py_SETREF(node->routes[i].plan, Py_NewRef(plan));
            count++;
        }
    }
    for (uint32_t i = 0; i < node->nchildren; i++) {
        count += node_replace(node->children[i], old, plan);
    }
    for (uint32_t i = 0; i < node->ncaptures; i++) {
        count += node_replace(node->captures[i], old, plan);
    }
    return count;
}

uint32_t
router_replace(Router *router, PyObject *old, PyObject *plan)
{
    return node_replace(router->root, old, plan);
}

bool
router_is_asking(const Router *router)
{
    return router->asking > 0;
}

void
router_swap(Router *a, Router *b)
{
    assert(a->asking == 0 && b->asking == 0);
    Router kept = *a;
    a->root = b->root;
    a->nroutes = b->nroutes;
    a->epoch = b->epoch; /* that of the nodes' scratch */
    b->root = kept.root;
    b->nroutes = kept.nroutes;
    b->epoch = kept.epoch;
}

int
router_traverse(Router *router, visitproc visit, void *arg)
{
    return node_traverse(router->root, visit, arg);
}

RouteError
router_add(Router *router, Slice pattern, MethodSet methods, PyObject *plan,
           PyObject *names, PyObject *fits, size_t *error_at)
{
    Pattern parsed;
    RouteError err = pattern_parse(pattern, &parsed, error_at);
    if (err != ROUTE_OK) {
        return err;
    }
    uint32_t order = router->nroutes;
    Node *node = router->root;
    for (unsigned i = 0; i < parsed.nparts && node != NULL; i++) {
        const PatternPart *part = &parsed.parts[i];
        node = part->is_capture ? node_reach_capture(node, part->kind, order)
                                : node_reach_literal(node, part->text, order);
    }
    if (node == NULL
        || !array_grow(&node->routes, node->nroutes, sizeof *node->routes)) {
        return ROUTE_NO_MEMORY;
    }
    node->routes[node->nroutes++] =
        (Route){order, methods, Py_NewRef(plan), Py_NewRef(names), Py_XNewRef(fits)};
    router->nroutes++;
    return ROUTE_OK;
}
