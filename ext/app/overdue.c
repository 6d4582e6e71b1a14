/* See overdue.h. The timer is set for the earliest deadline. It isn't moved when that request completes. It then
 * fires once for nothing, at most once within the length of a deadline, and is set for the next one.
 */
#include "base/py.h"

#include "app/overdue.h"

#include "base/err.h"

#define NS_PER_MS 1000000u

struct OverdueList {
    OverdueList *next;
    uint32_t after; /* ms */
    Ring entries;   /* of OverdueEntry.link, the earliest first */
};

/* The list of this length, made on first use; NULL when out of memory. */
static OverdueList *
list_of(Overdue *all, uint32_t after)
{
    OverdueList *list = all->lists;
    while (list != NULL && list->after != after) {
        list = list->next;
    }
    if (list == NULL && (list = PyMem_RawMalloc(sizeof *list)) != NULL) {
        list->next = all->lists;
        list->after = after;
        ring_init(&list->entries);
        all->lists = list;
    }
    return list;
}

static OverdueEntry *
list_first(const OverdueList *list)
{
    const Ring *ring = &list->entries;
    return ring_is_empty(ring) ? NULL : container_of(ring->next, OverdueEntry, link);
}

static void overdue_set(Overdue *all, uint64_t due);

/* Sets the timer for the earliest deadline, if there is any. */
static void
overdue_set_next(Overdue *all)
{
    uint64_t due = UINT64_MAX;
    for (const OverdueList *list = all->lists; list != NULL; list = list->next) {
        const OverdueEntry *first = list_first(list);
        if (first != NULL && first->expires < due) {
            due = first->expires;
        }
    }
    if (due != UINT64_MAX) {
        overdue_set(all, due);
    }
}

/* Ends the requests of the list whose time has passed. */
static void
list_expire(Overdue *all, const OverdueList *list, uint64_t now)
{
    OverdueEntry *entry;
    while ((entry = list_first(list)) != NULL && entry->expires <= now
           && !loop_is_forked(all->loop)) {
        overdue_forget(entry);
        if (entry->req->response != HTTP_RESPONSE_DONE) {
            all->expired(entry);
        }
    }
}

static PyObject *
overdue_on_timer(PyObject *capsule, PyObject *Py_UNUSED(ignored))
{
    Overdue *all = PyCapsule_GetPointer(capsule, NULL);
    if (all == NULL) {
        return NULL;
    }
    PyObject *server = Py_NewRef(all->server); /* the last request may release it */
    Py_CLEAR(all->timer);
    all->due = 0;
    uint64_t now = loop_now_ns();
    for (const OverdueList *list = all->lists; list != NULL; list = list->next) {
        list_expire(all, list, now);
    }
    if (all->due == 0) {
        overdue_set_next(all);
    }
    Py_DECREF(server);
    Py_RETURN_NONE;
}

static PyMethodDef overdue_def = {"requests_expire", overdue_on_timer, METH_NOARGS,
                                  NULL};

/* loop.call_at(<due>, overdue_on_timer, context=<an empty one>): a new reference, or NULL with an exception
 * set. The call refers to `all` without keeping it alive: overdue_free cancels it. */
static PyObject *
overdue_call_at(Overdue *all, uint64_t due)
{
    PyObject *call = NULL, *method = NULL, *args = NULL, *kwargs = NULL, *timer = NULL;
    PyObject *capsule = PyCapsule_New(all, NULL, NULL);
    if (capsule == NULL) {
        goto done;
    }
    call = PyCFunction_New(&overdue_def, capsule);
    if (call == NULL) {
        goto done;
    }
    method = PyObject_GetAttrString((PyObject *)all->loop, "call_at");
    if (method == NULL) {
        goto done;
    }
    args = Py_BuildValue("(dO)", (double)due / 1e9, call);
    if (args == NULL) {
        goto done;
    }
    kwargs = Py_BuildValue("{sN}", "context", PyContext_New());
    if (kwargs == NULL) {
        goto done;
    }
    timer = PyObject_Call(method, args, kwargs);
done:
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_XDECREF(method);
    Py_XDECREF(call);
    Py_XDECREF(capsule);
    return timer;
}

/* Makes the timer fire at `due`, which is earlier than now set. */
static void
overdue_set(Overdue *all, uint64_t due)
{
    overdue_stop(all);
    all->timer = overdue_call_at(all, due);
    if (all->timer == NULL) {
        loop_report(all->loop, "No timer could be set for the requests' deadlines");
    } else {
        all->due = due;
    }
}

/* ---- What dispatch.c calls ---------------------------------------------------------------- */

void
overdue_init(Overdue *all, PyObject *server, Loop *loop,
             void (*expired)(OverdueEntry *entry))
{
    *all = (Overdue){.server = server, .loop = loop, .expired = expired};
}

void
overdue_watch(Overdue *all, OverdueEntry *entry, HttpRequest *req, uint32_t after)
{
    OverdueList *list = after == 0 ? NULL : list_of(all, after);
    if (list == NULL) {
        return;
    }
    entry->req = req;
    entry->since = loop_now_ns();
    entry->expires = entry->since + (uint64_t)after * NS_PER_MS;
    ring_append(&list->entries, &entry->link);
    if (all->due == 0 || entry->expires < all->due) {
        overdue_set(all, entry->expires);
    }
}

void
overdue_stop(Overdue *all)
{
    PyObject *timer = all->timer;
    all->timer = NULL;
    all->due = 0;
    PyObject *done = timer == NULL ? NULL : PyObject_CallMethod(timer, "cancel", NULL);
    if (timer != NULL && done == NULL) {
        loop_report(all->loop, "The timer of the requests' deadlines still runs");
    }
    Py_XDECREF(done);
    Py_XDECREF(timer);
}

void
overdue_free(Overdue *all)
{
    /* The server may be deallocated while an exception is on its way, which the call mustn't replace. */
    PyObject *raised = PyErr_Occurred() ? err_take() : NULL;
    overdue_stop(all);
    if (raised != NULL) {
        err_restore(raised);
    }
    while (all->lists != NULL) {
        OverdueList *list = all->lists;
        OverdueEntry *entry;
        while ((entry = list_first(list)) != NULL) {
            overdue_forget(entry);
        }
        all->lists = list->next;
        PyMem_RawFree(list);
    }
}
