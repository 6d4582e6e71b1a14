/* The timeouts of a server's connections (see deadline.h): rings of Deadline structs that the
 * connections embed, and one uv_timer that checks the oldest of each ring. Runs on the loop's thread;
 * the server owns the struct.
 */
#include "base/py.h"

#include "http/deadline.h"

enum {
    TICK = 1000,      /* least ms between two firings, so that an idle server sleeps */
    SLACK_MAX = 1000, /* ms; see Deadlines.slack */
    STALL = 500,      /* ms: when the timer fires this late, the loop was busy */
};

static void deadlines_on_timer(uv_timer_t *timer);

static Deadline *
ring_oldest(const Ring *ring)
{
    return ring_is_empty(ring) ? NULL : container_of(ring->next, Deadline, link);
}

static uint64_t
deadline_due(const Deadlines *all, const Deadline *deadline)
{
    return deadline->since + all->after[deadline->kind] + all->slack[deadline->kind];
}

/* Makes the timer fire at `due`, but not within TICK after its last firing. */
static void
deadlines_arm(Deadlines *all, uint64_t now, uint64_t due)
{
    if (due < all->fired + TICK) {
        due = all->fired + TICK;
    }
    if (all->armed != 0 && all->armed <= due) {
        return;
    }
    all->armed = due;
    (void)uv_timer_start(&all->timer, deadlines_on_timer, due > now ? due - now : 0, 0);
}

static void
deadlines_arm_earliest(Deadlines *all, uint64_t now)
{
    for (int kind = DEADLINE_NONE + 1; kind < DEADLINE_KINDS; kind++) {
        const Deadline *oldest = ring_oldest(&all->lists[kind]);
        if (oldest != NULL) {
            deadlines_arm(all, now, deadline_due(all, oldest));
        }
    }
}

static void
deadlines_expire_kind(Deadlines *all, DeadlineKind kind, uint64_t now)
{
    const Ring *ring = &all->lists[kind];
    Deadline *oldest = ring_oldest(ring);
    while (oldest != NULL && deadline_due(all, oldest) <= now) {
        deadline_clear(oldest);
        all->expired(all, oldest, kind);
        oldest = ring_oldest(ring);
    }
}

static void
deadlines_on_timer(uv_timer_t *timer)
{
    Deadlines *all = container_of(timer, Deadlines, timer);
    if (!loop_enter(all->loop)) {
        return;
    }
    uint64_t now = uv_now(timer->loop);
    bool late = now > all->armed + STALL && !all->waited;
    all->armed = 0;
    all->fired = now;
    all->waited = late;
    /* When the loop was busy for long, bytes that connections wait for may still be unread in the
     * kernel. Let one poll pass before any deadline expires. */
    if (!late) {
        for (int kind = DEADLINE_NONE + 1; kind < DEADLINE_KINDS; kind++) {
            deadlines_expire_kind(all, (DeadlineKind)kind, now);
        }
    }
    if (!uv_is_closing((uv_handle_t *)timer)) {
        deadlines_arm_earliest(all, now);
    }
}

void
deadlines_init(Deadlines *all, Loop *loop, const uint32_t *after)
{
    all->loop = loop;
    all->armed = 0;
    all->fired = 0;
    all->waited = false;
    for (int kind = 0; kind < DEADLINE_KINDS; kind++) {
        ring_init(&all->lists[kind]);
        all->after[kind] = after[kind];
        all->slack[kind] = after[kind] / 16 < SLACK_MAX ? after[kind] / 16 : SLACK_MAX;
    }
    (void)uv_timer_init(loop_uv(loop), &all->timer);
}

static void
deadlines_on_timer_closed(uv_handle_t *handle)
{
    Deadlines *all = container_of((uv_timer_t *)handle, Deadlines, timer);
    if (loop_enter(all->loop)) {
        all->closed(all);
    }
}

void
deadlines_close(Deadlines *all)
{
    uv_close((uv_handle_t *)&all->timer, deadlines_on_timer_closed);
}

void
deadline_clear(Deadline *deadline)
{
    ring_remove(&deadline->link);
    deadline->kind = DEADLINE_NONE;
}

void
deadline_set(Deadlines *all, Deadline *deadline, DeadlineKind kind)
{
    uint64_t now = uv_now(all->timer.loop);
    if (deadline->kind == kind && now - deadline->since < all->slack[kind]) {
        return;
    }
    deadline_clear(deadline);
    if (all->after[kind] == 0) {
        return;
    }
    deadline->kind = kind;
    deadline->since = now;
    ring_append(&all->lists[kind], &deadline->link);
    deadlines_arm(all, now, deadline_due(all, deadline));
}
