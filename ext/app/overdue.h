/* How long requests may take, or may wait: their deadlines, with one timer of the loop's for all of one kind. A
 * request is added when its handler was called and hasn't responded yet, so that fast handlers cost nothing, or
 * when it begins to wait for a thread. Deadlines of one length are in order of arrival, and therefore of expiry:
 * each length has a list of its own. What is over leaves its list by overdue_forget, or when its time has passed.
 *
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_APP_OVERDUE_H
#define FLUVIAL_APP_OVERDUE_H

#include "base/py.h"
#include "base/ring.h"
#include "http/request.h"
#include "loop/loop.h"

typedef struct OverdueList OverdueList;

/* One deadline, embedded in what it is for. Zeroed: there is none. */
typedef struct OverdueEntry {
    Ring link;
    HttpRequest *req;        /* borrowed; lives as long as the entry is in a list */
    uint64_t since, expires; /* loop_now_ns() */
} OverdueEntry;

/* All deadlines of one server. */
typedef struct Overdue {
    PyObject *server;   /* borrowed: the object that this is a part of */
    Loop *loop;         /* borrowed from the server */
    OverdueList *lists; /* owned: one for each length that occurs */
    PyObject *timer;    /* owned: the asyncio.TimerHandle; NULL when none is set */
    uint64_t due;       /* loop_now_ns() at which it fires; 0 without */
    /* The request's time is over, and its response isn't complete. */
    void (*expired)(OverdueEntry *entry);
} Overdue;

void overdue_init(Overdue *all, PyObject *server, Loop *loop,
                  void (*expired)(OverdueEntry *entry));

/* The request expires `after` milliseconds from now; 0: never. */
void overdue_watch(Overdue *all, OverdueEntry *entry, HttpRequest *req, uint32_t after);
/* The deadline is off; does nothing when there is none. */
static inline void
overdue_forget(OverdueEntry *entry)
{
    ring_remove(&entry->link);
}

/* Cancels the timer: no request expires any more. */
void overdue_stop(Overdue *all);
/* The same, and frees the lists. May be called more than once, and on a zeroed struct. */
void overdue_free(Overdue *all);

#endif
