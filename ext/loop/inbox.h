/* How other threads hand work to the loop: a list to which many threads push and which the loop's
 * thread empties. It is lock-free, and neither side needs the GIL. A zeroed Inbox is empty and open.
 * Thread: push: any; empty: the loop's.
 */
#ifndef FLUVIAL_LOOP_INBOX_H
#define FLUVIAL_LOOP_INBOX_H

#include "base/py.h"

#include <stdatomic.h>

typedef struct InboxNode InboxNode;
struct InboxNode {
    InboxNode *next;
    void (*run)(InboxNode *node); /* on the loop's thread, with the GIL */
};

typedef struct Inbox {
    _Atomic(InboxNode *) head; /* newest first */
} Inbox;

typedef enum InboxPush {
    INBOX_CLOSED, /* not queued */
    INBOX_FIRST,  /* queued; the inbox was empty, so that the loop may need a wake-up */
    INBOX_MORE,   /* queued after others */
} InboxPush;

/* Any thread. */
InboxPush inbox_push(Inbox *inbox, InboxNode *node);
/* The loop's thread: removes and returns all nodes, oldest first; NULL when there are none. */
InboxNode *inbox_take(Inbox *inbox);
/* The loop's thread: like inbox_take, and later pushes are refused. */
InboxNode *inbox_close(Inbox *inbox);
/* Any thread. */
bool inbox_empty(const Inbox *inbox);

#endif
