/* The way into the loop from other threads: a list that many threads push to and the loop's
 * thread empties. Lock-free; neither side needs the GIL.
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

/* Any thread. True when the inbox was empty before, so that the loop may need a wake-up. */
bool inbox_push(Inbox *inbox, InboxNode *node);
/* The loop's thread: all nodes, oldest first; NULL when there are none. */
InboxNode *inbox_take(Inbox *inbox);
bool inbox_empty(const Inbox *inbox);

#endif
