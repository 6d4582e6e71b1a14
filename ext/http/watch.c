/* See watch.h. The thread sleeps until something is lent while other code is about to run. Then it looks
 * every 200 µs, or when what is lent is due, until nothing was lent for a few looks.
 */
#include "base/py.h"

#include "http/watch.h"

#include "http/server_private.h"
#include "loop/loop.h"

#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum {
    LOOK_NS = 200000, /* between two looks */
    IDLE_LOOKS = 8,   /* without a loan, then the thread sleeps */
};

/* ---- The thread --------------------------------------------------------------------------- */

/* Without the GIL. What the kernel doesn't take is left to the loop. */
static void
watch_write(HttpServer *server)
{
    for (unsigned i = 0; i < server->nparts; i++) {
        OutPart *part = &server->parts[i];
        if (part->conn != NULL) {
            ssize_t n = send(part->fd, server->out.ptr + part->from,
                             part->to - part->from, MSG_DONTWAIT | MSG_NOSIGNAL);
            part->sent = n < 0 ? 0 : (size_t)n;
        }
    }
}

/* Writes what is due. The nanoseconds until the next look. */
static uint64_t
watch_look(HttpServer *server)
{
    OutWatch *watch = &server->watch;
    int lent = WATCH_LENT;
    if (atomic_load(&watch->state) != WATCH_LENT) {
        return LOOK_NS;
    }
    uint64_t now = loop_now_ns();
    uint64_t due = atomic_load_explicit(&watch->due, memory_order_relaxed);
    if (now < due) {
        return due - now < LOOK_NS ? due - now : LOOK_NS;
    }
    if (atomic_compare_exchange_strong(&watch->state, &lent, WATCH_TAKEN)) {
        watch_write(server);
        atomic_store(&watch->state, WATCH_DONE);
    }
    return LOOK_NS;
}

/* With the lock: looks until nothing was lent for a while. */
static void
watch_run(HttpServer *server)
{
    OutWatch *watch = &server->watch;
    unsigned idle = 0;
    uint32_t seen = atomic_load(&watch->loans);
    while (!watch->stop && idle < IDLE_LOOKS) {
        uint64_t pause = watch_look(server);
        (void)uv_cond_timedwait(&watch->woken, &watch->lock, pause);
        uint32_t loans = atomic_load(&watch->loans);
        bool lent = atomic_load(&watch->state) == WATCH_LENT;
        idle = loans == seen && !lent ? idle + 1 : 0;
        seen = loans;
    }
}

static void
watch_main(void *arg)
{
    HttpServer *server = arg;
    OutWatch *watch = &server->watch;
#ifdef __linux__
    (void)prctl(PR_SET_TIMERSLACK, 1);
    (void)prctl(PR_SET_NAME, "fluvial-out");
#endif
    uv_mutex_lock(&watch->lock);
    while (!watch->stop) {
        if (!atomic_load(&watch->awake)) {
            uv_cond_wait(&watch->woken, &watch->lock);
            continue;
        }
        watch_run(server);
        atomic_store(&watch->awake, false);
        /* Lent in the meantime, by a loop that still saw it awake. */
        if (atomic_load(&watch->state) == WATCH_LENT) {
            atomic_store(&watch->awake, true);
        }
    }
    uv_mutex_unlock(&watch->lock);
}

/* ---- The loop ----------------------------------------------------------------------------- */

/* All signals are for other threads. */
static int
thread_begin(HttpServer *server)
{
    OutWatch *watch = &server->watch;
    const uv_thread_options_t options = {UV_THREAD_HAS_STACK_SIZE, 128 * 1024};
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = uv_thread_create_ex(&watch->thread, &options, watch_main, server);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

static void
watch_start(HttpServer *server)
{
    OutWatch *watch = &server->watch;
    if (uv_mutex_init(&watch->lock) != 0) {
        watch->broken = true;
        return;
    }
    if (uv_cond_init(&watch->woken) != 0) {
        uv_mutex_destroy(&watch->lock);
        watch->broken = true;
        return;
    }
    watch->pid = uv_os_getpid();
    if (thread_begin(server) != 0) {
        uv_cond_destroy(&watch->woken);
        uv_mutex_destroy(&watch->lock);
        watch->broken = true;
        return;
    }
    watch->started = true;
}

void
watch_wake(HttpServer *server)
{
    OutWatch *watch = &server->watch;
    if (likely(atomic_load(&watch->awake)) || watch->broken) {
        return;
    }
    if (!watch->started) {
        watch_start(server);
    }
    if (watch->started && !loop_is_forked(server->loop)) {
        uv_mutex_lock(&watch->lock);
        atomic_store(&watch->awake, true);
        uv_cond_signal(&watch->woken);
        uv_mutex_unlock(&watch->lock);
    }
}

bool
watch_take_back(HttpServer *server)
{
    OutWatch *watch = &server->watch;
    int state = WATCH_LENT;
    if (likely(atomic_compare_exchange_strong(&watch->state, &state, WATCH_OURS))) {
        return false;
    }
    while (state == WATCH_TAKEN && !loop_is_forked(server->loop)) {
        sched_yield(); /* for the few system calls that it makes */
        state = atomic_load(&watch->state);
    }
    atomic_store(&watch->state, WATCH_OURS);
    return state == WATCH_DONE;
}

void
watch_stop(HttpServer *server)
{
    OutWatch *watch = &server->watch;
    if (!watch->started || watch->pid != uv_os_getpid()) {
        return;
    }
    watch->started = false;
    watch->broken = true;
    uv_mutex_lock(&watch->lock);
    watch->stop = true;
    uv_cond_signal(&watch->woken);
    uv_mutex_unlock(&watch->lock);
    (void)uv_thread_join(&watch->thread);
    uv_cond_destroy(&watch->woken);
    uv_mutex_destroy(&watch->lock);
}
