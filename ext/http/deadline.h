/* The timeouts of all connections of a server, with one libuv timer. Each kind of timeout has one
 * fixed length, so a list per kind in order of arrival is also in order of expiry. Setting and
 * clearing are O(1) and don't touch the timer. Deadlines are coarse on purpose: they expire up to
 * about two seconds late and never early, and the timer fires at most once a second.
 *
 * Thread: the loop's. Times are uv_now()'s milliseconds.
 */
#ifndef FLUVIAL_HTTP_DEADLINE_H
#define FLUVIAL_HTTP_DEADLINE_H

#include "base/py.h"
#include "base/ring.h"
#include "loop/loop.h"

#include <uv.h>

typedef enum DeadlineKind {
    DEADLINE_NONE, /* not set */
    DEADLINE_KEEP_ALIVE,
    DEADLINE_HEADER,
    DEADLINE_BODY,
    DEADLINE_WRITE,
    DEADLINE_LINGER,
    DEADLINE_LINGER_LAST, /* the same while the server drains */
    DEADLINE_HALF_CLOSED, /* the client may have left */
    DEADLINE_H2_IDLE,     /* no stream is open */
    DEADLINE_H2_LOOK,     /* the streams are to be looked at, see h2_guard.c */
    DEADLINE_WS_PING,     /* a ping is due */
    DEADLINE_WS_PONG,     /* the pong is overdue */
    DEADLINE_WS_CLOSE,    /* the reply to a close frame is overdue */
    DEADLINE_KINDS,
} DeadlineKind;

/* One connection's deadline. A zeroed struct is not set. */
typedef struct Deadline Deadline;
struct Deadline {
    Ring link;
    uint64_t since; /* when it was set */
    DeadlineKind kind;
};

typedef struct Deadlines Deadlines;
struct Deadlines {
    uv_timer_t timer;
    Loop *loop;                     /* borrowed */
    Ring lists[DEADLINE_KINDS];     /* of Deadline.link, oldest first */
    uint32_t after[DEADLINE_KINDS]; /* ms; 0: this kind is off */
    uint32_t
        slack[DEADLINE_KINDS]; /* ms: a deadline younger than this isn't set anew */
    uint64_t armed;            /* when the timer is due; 0: it doesn't run */
    uint64_t fired;            /* when it last fired */
    bool waited;               /* that firing was late, so no deadline was expired */
    /* A deadline has passed; it is already cleared and may be set again. With the GIL. */
    void (*expired)(Deadlines *all, Deadline *deadline, DeadlineKind kind);
    /* The timer is closed (deadlines_close). */
    void (*closed)(Deadlines *all);
};

/* `after` has DEADLINE_KINDS entries. The caller sets the two callbacks before. */
void deadlines_init(Deadlines *all, Loop *loop, const uint32_t *after);
void deadlines_close(Deadlines *all);

/* Sets or moves to now + after[kind]. */
void deadline_set(Deadlines *all, Deadline *deadline, DeadlineKind kind);
void deadline_clear(Deadline *deadline);

#endif
