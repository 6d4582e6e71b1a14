/* See counted.h. Labels are paths that the app declares, or a word for all others, so that clients can't make
 * new ones.
 */
#include "base/py.h"

#include "app/serve/counted.h"

#include "app/bind/plan.h"
#include "app/server.h"

/* With middleware the request's route is known all the same: dispatch_head has looked it up. */
Slice
counted_route(const HttpRequest *req)
{
    const AppCall *call = (const AppCall *)(req + 1);
    const Plan *plan = (const Plan *)call->match.plan;
    return plan == NULL || call->match.outcome != ROUTE_FOUND ? SLICE("")
                                                              : plan->path_text;
}

/* The path in `mounts` at which the app is that handles the request; empty: it isn't there. */
static Slice
mount_label(const PyObject *mounts, const Mount *mount, uint64_t *key)
{
    Py_ssize_t count = mounts == NULL ? 0 : PyTuple_GET_SIZE(mounts);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(mounts, i);
        Py_ssize_t len;
        if ((const Mount *)PyTuple_GET_ITEM(item, 1) == mount) {
            PyObject *path = PyTuple_GET_ITEM(item, 0);
            const char *text = PyUnicode_AsUTF8AndSize(path, &len);
            if (text != NULL) {         /* it was made when the path was compared */
                *key = (uintptr_t)path; /* even, and kept by the tuple */
                return slice_of(text, (size_t)len);
            }
        }
    }
    return SLICE("");
}

enum {
    LABELS_MAX =
        1024, /* routes of other apps; further ones count as if there were none */
};

/* The server's own copy of the text: borrowed, or NULL. Texts are recognised by their address, which identifies one
 * only while it lives. */
static PyObject *
label_kept(AppServer *server, PyObject *text)
{
    if (server->labels == NULL && (server->labels = PyDict_New()) == NULL) {
        return NULL;
    }
    return PyDict_GET_SIZE(server->labels) < LABELS_MAX
               ? PyDict_SetDefault(server->labels, text, text)
               : PyDict_GetItemWithError(server->labels, text);
}

void
counted_note(HttpRequest *req, PyObject *path)
{
    AppCall *call = call_of(req);
    AppServer *server = call_server(req);
    uint64_t mount = 0;
    if (!PyUnicode_CheckExact(path) || counted_route(req).len != 0
        || mount_label(server->own_mounts, call->mount, &mount).len != 0) {
        return;
    }
    Slice prefix = mount_label(server->mounts, call->mount, &mount);
    PyObject *text = prefix.len == 0
                         ? Py_NewRef(path)
                         : PyUnicode_Concat((PyObject *)(uintptr_t)mount, path);
    PyObject *kept = text == NULL ? NULL : label_kept(server, text);
    if (kept != NULL && PyUnicode_AsUTF8AndSize(kept, NULL) != NULL) {
        call->label = PyUnicode_GET_LENGTH(kept) == 0 ? NULL : kept;
    }
    PyErr_Clear(); /* no memory, or lone surrogates: the request counts without a route */
    Py_XDECREF(text);
}

/* The text that counted_note has kept. */
static Slice
label_slice(PyObject *label)
{
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(label, &len); /* it has been made */
    return slice_of(text, (size_t)len);
}

/* Keys are odd for routes, addresses of texts for mounts and their routes, and small even numbers for the two words.
 */
Slice
counted_label(const HttpRequest *req, uint64_t *key)
{
    const AppCall *call = (const AppCall *)(req + 1);
    Slice label = counted_route(req);
    if (likely(label.len != 0)) {
        *key = ((const Plan *)call->match.plan)->serial << 1 | 1;
        return label;
    }
    if (call->label != NULL) {
        *key = (uintptr_t)call->label;
        return label_slice(call->label);
    }
    const AppServer *server = call_server(req);
    if (call->mount != NULL) {
        bool own = mount_label(server->own_mounts, call->mount, key).len != 0;
        *key = own ? 0 : *key; /* one app may have several of the paths */
        label = own ? http_request_path(req)
                    : mount_label(server->mounts, call->mount, key);
    }
    if (label.len != 0) {
        return label;
    }
    bool whole = call->mount != NULL && call->mount == server->root && !server->around;
    *key = whole ? 2 : 4;
    return whole ? SLICE("app") : SLICE("none");
}

void
counted_turn(void *context, Metrics *metrics)
{
    const AppServer *server = context;
    if (server->pool != NULL) {
        PoolStats stats = pool_stats(server->pool);
        metrics_count(metrics, METRICS_JOBS, stats.jobs);
        metrics_count(metrics, METRICS_JOBS_REFUSED, stats.refused);
        metrics_gauge(metrics, METRICS_THREADS, stats.threads);
        metrics_gauge(metrics, METRICS_THREADS_BUSY, stats.busy);
        metrics_gauge(metrics, METRICS_THREADS_LIMIT, stats.limit);
        metrics_gauge(metrics, METRICS_QUEUED, stats.queued);
    }
}
