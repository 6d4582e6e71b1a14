/* Doubly linked rings whose links are embedded in the members. The head of a ring is also a Ring; a
 * zeroed Ring is not in any ring.
 * Thread: any, one at a time: a ring has no lock.
 */
#ifndef FLUVIAL_BASE_RING_H
#define FLUVIAL_BASE_RING_H

#include "base/py.h"

typedef struct Ring Ring;
struct Ring {
    Ring *prev, *next;
};

static inline void
ring_init(Ring *head)
{
    head->prev = head;
    head->next = head;
}

static inline bool
ring_is_empty(const Ring *head)
{
    return head->next == head;
}

static inline bool
ring_is_linked(const Ring *link)
{
    return link->next != NULL;
}

static inline void
ring_append(Ring *head, Ring *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* Does nothing when `link` isn't in a ring. */
static inline void
ring_remove(Ring *link)
{
    if (link->next != NULL) {
        link->prev->next = link->next;
        link->next->prev = link->prev;
        link->next = NULL;
    }
}

/* Moves all members of `from` to the empty ring `to`, which leaves `from` empty. */
static inline void
ring_take(Ring *to, Ring *from)
{
    ring_init(to);
    if (!ring_is_empty(from)) {
        *to = *from;
        to->prev->next = to;
        to->next->prev = to;
        ring_init(from);
    }
}

#endif
