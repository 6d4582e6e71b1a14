/* See watch.h. The thread sleeps until a kernel timer sends it a signal, which only this thread receives.
 * The loop sets the timer when other code is about to run. Usually the loop writes the parked bytes
 * itself and sets the timer again before it expires, so that the thread isn't woken under load.
 */
#include "base/py.h"

#include "http/watch.h"

#include "http/server_private.h"
#include "loop/loop.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#if FLUVIAL_LINUX
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum {
    /* The pauses between tries to take the parts from a loop that has them. It lends them again within
     * microseconds, unless its thread has lost its core. */
    LOOKS = 4,
    LOOK_NS = 20000,    /* after each of the first LOOKS tries */
    RETRY_NS = 1000000, /* after each later one */
    SECOND = 1000000000,
};

/* ---- The thread --------------------------------------------------------------------------- */

#if FLUVIAL_LINUX

/* Writes the parked parts, without the GIL. The loop writes what the kernel doesn't take. */
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

/* Writes what is due. True when there is nothing left to do until the next signal. */
static bool
watch_look(HttpServer *server)
{
    OutWatch *watch = &server->watch;
    uint64_t due = atomic_load_explicit(&watch->due, memory_order_relaxed);
    int lent = WATCH_LENT;
    if (due == 0) {
        return true;
    }
    int state = atomic_load(&watch->state);
    if (state != WATCH_LENT) {
        return state == WATCH_DONE; /* written, and the loop doesn't know yet */
    }
    if (loop_now_ns() >= due
        && atomic_compare_exchange_strong(&watch->state, &lent, WATCH_TAKEN)) {
        watch_write(server);
        atomic_store(&watch->state, WATCH_DONE);
    }
    return true;
}

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Creates the timer, whose signal goes to this thread. 0 or an errno. */
static int
watch_timer_open(OutWatch *watch, int signum)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signum};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    return timer_create(CLOCK_MONOTONIC, &event, &watch->timer) == 0 ? 0 : errno;
}

/* Sets the timer to expire at `when` (loop_now_ns()); 0 stops it. */
static void
watch_timer_set(OutWatch *watch, uint64_t when)
{
    struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(when / SECOND),
                                           .tv_nsec = (long)(when % SECOND)}};
    watch->armed = when;
    (void)timer_settime(watch->timer, TIMER_ABSTIME, &spec, NULL);
}

static void
watch_main(void *arg)
{
    HttpServer *server = arg;
    OutWatch *watch = &server->watch;
    sigset_t wanted;
    (void)prctl(PR_SET_TIMERSLACK, 1);
    (void)prctl(PR_SET_NAME, "fluvial-out");
    (void)sigemptyset(&wanted);
    (void)sigaddset(&wanted, SIGRTMIN);
    watch->broken = watch_timer_open(watch, SIGRTMIN) != 0;
    uv_sem_post(&watch->ready);
    while (!watch->broken && !atomic_load(&watch->stop)) {
        (void)sigwaitinfo(&wanted, NULL);
        for (int i = 0; !atomic_load(&watch->stop) && !watch_look(server); i++) {
            const struct timespec pause = {.tv_nsec = i < LOOKS ? LOOK_NS : RETRY_NS};
            (void)nanosleep(&pause, NULL);
        }
    }
}

#else

static void
watch_timer_set(OutWatch *watch, uint64_t when)
{
    watch->armed = when;
}

/* The system has no timers that signal one thread. So there is no thread, and nothing is parked. */
static void
watch_main(void *arg)
{
    HttpServer *server = arg;
    server->watch.broken = true;
    uv_sem_post(&server->watch.ready);
}

#endif

/* ---- The loop ----------------------------------------------------------------------------- */

/* Starts the thread with all signals blocked, so that other threads receive them. It waits for the
 * timer's signal with sigwaitinfo(). */
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
thread_end(OutWatch *watch)
{
    atomic_store(&watch->stop, true);
#if FLUVIAL_LINUX
    (void)pthread_kill(watch->thread, SIGRTMIN);
#endif
    (void)uv_thread_join(&watch->thread);
}

static void
watch_start(HttpServer *server)
{
    OutWatch *watch = &server->watch;
    if (uv_sem_init(&watch->ready, 0) != 0) {
        watch->broken = true;
        return;
    }
    watch->pid = uv_os_getpid();
    if (thread_begin(server) != 0) {
        watch->broken = true;
    } else {
        uv_sem_wait(
            &watch->ready); /* short: the thread only creates its timer before */
        watch->started = !watch->broken;
        if (watch->broken) {
            (void)uv_thread_join(&watch->thread);
        }
    }
    uv_sem_destroy(&watch->ready);
}

void
watch_wake(HttpServer *server)
{
    OutWatch *watch = &server->watch;
    uint64_t due = server->parked_at + WATCH_NS;
    if (likely(watch->armed == due) || watch->broken) {
        return;
    }
    if (!watch->started) {
        watch_start(server);
    }
    if (watch->started && !loop_is_forked(server->loop)) {
        /* Before the timer is set: it may expire before the parts are lent. The thread then sees
         * that there is something to wait for. */
        atomic_store(&watch->due, due);
        watch_timer_set(watch, due);
    }
}

void
watch_rest(HttpServer *server)
{
    OutWatch *watch = &server->watch;
    if (watch->started && watch->armed != 0 && !loop_is_forked(server->loop)) {
        watch_timer_set(watch, 0);
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
        sched_yield(); /* short: the thread makes only a few system calls */
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
    thread_end(watch);
#if FLUVIAL_LINUX
    (void)timer_delete(watch->timer);
#endif
}
