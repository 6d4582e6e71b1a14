/* The inbox (see inbox.h): a Treiber stack. The consumer takes all nodes at once, so that the ABA
 * problem doesn't arise, and reverses them into the order of arrival.
 *
 * All operations are sequentially consistent. The loop sets its flag `blocking` and then checks the
 * inbox; a pusher pushes and then checks the flag. So at least one of them sees the other.
 */
#include "base/py.h"

#include "loop/inbox.h"

/* The value of `head` after the inbox was closed: an address that no node can have. */
static InboxNode *
closed_mark(Inbox *inbox)
{
    return (InboxNode *)inbox;
}

InboxPush
inbox_push(Inbox *inbox, InboxNode *node)
{
    InboxNode *head = atomic_load(&inbox->head);
    do {
        if (head == closed_mark(inbox)) {
            return INBOX_CLOSED;
        }
        node->next = head;
    } while (!atomic_compare_exchange_weak(&inbox->head, &head, node));
    return head == NULL ? INBOX_FIRST : INBOX_MORE;
}

static InboxNode *
list_reverse(InboxNode *node)
{
    InboxNode *reversed = NULL;
    while (node != NULL) {
        InboxNode *next = node->next;
        node->next = reversed;
        reversed = node;
        node = next;
    }
    return reversed;
}

InboxNode *
inbox_take(Inbox *inbox)
{
    InboxNode *head = atomic_load_explicit(&inbox->head, memory_order_relaxed);
    if (head == NULL || head == closed_mark(inbox)) {
        return NULL;
    }
    return list_reverse(atomic_exchange(&inbox->head, NULL));
}

InboxNode *
inbox_close(Inbox *inbox)
{
    InboxNode *head = atomic_exchange(&inbox->head, closed_mark(inbox));
    return head == closed_mark(inbox) ? NULL : list_reverse(head);
}

bool
inbox_empty(const Inbox *inbox)
{
    InboxNode *head = atomic_load(&inbox->head);
    return head == NULL || head == closed_mark((Inbox *)inbox);
}
