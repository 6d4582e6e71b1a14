/* Listening sockets (see server.h): a poll handle, accept4() in a bounded batch, and a pause
 * when the system has no descriptors or memory left. Runs on the loop's thread; the owner
 * embeds the struct.
 */
#include "base/py.h"

#include "net/server.h"

#include "base/err.h"
#include "base/fd.h"
#include "net/accept.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPT_BATCH =
        64, /* most connections per wake-up, so that other handles get their turn */
    QUEUED_MAX =
        65536, /* most connections that are accepted from the queue at the end */
    STARVED_RETRY = 100, /* ms until the next try without descriptors or memory */
    BROKEN_RETRY = 1000, /* ms until the next try: the socket may listen again */
};

static void listener_on_readable(uv_poll_t *poll, int status, int events);

static void
listener_poll(Listener *listener)
{
    (void)uv_poll_start(&listener->poll, UV_READABLE, listener_on_readable);
}

static void
listener_on_retry(uv_timer_t *timer)
{
    Listener *listener = container_of(timer, Listener, retry);
    if (loop_enter(listener->loop) && listener->state == LISTENER_STARVED) {
        listener->state = LISTENER_OPEN;
        listener_poll(listener);
    }
}

/* Accepting has failed with `err`: reports it once and tries again after `retry` milliseconds. The
 * socket stays readable, so it isn't polled meanwhile. */
static void
listener_starve(Listener *listener, int err, uint64_t retry)
{
    listener->state = LISTENER_STARVED;
    (void)uv_poll_stop(&listener->poll);
    (void)uv_timer_start(&listener->retry, listener_on_retry, retry, 0);
    if (!listener->reported) {
        listener->reported = true;
        err_set(err);
        loop_report(listener->loop,
                    retry == BROKEN_RETRY
                        ? "a socket of the server no longer listens: was it "
                          "shut down? Trying again every second"
                        : "accepting a connection failed; trying again");
    }
}

/* accept4() has failed with `code`. Whether to try the next connection. `first`: see accept.h. */
static bool
listener_refused(Listener *listener, int code, bool first)
{
    switch (accept_failure(listener->fd, code, first)) {
    case ACCEPT_NOTHING:
        return false;
    case ACCEPT_PASSES:
        return true;
    case ACCEPT_STARVED:
        listener_starve(listener, uv_translate_sys_error(code), STARVED_RETRY);
        return false;
    case ACCEPT_BROKEN:
        listener_starve(listener, uv_translate_sys_error(code), BROKEN_RETRY);
        return false;
    }
    Py_UNREACHABLE();
}

/* Accepts one connection. False when there is nothing more to accept now. */
static bool
listener_accept(Listener *listener, bool first)
{
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
    } name;
    socklen_t len = sizeof(name);
    name.any.sa_family = AF_UNSPEC;
    int fd = fd_accept(listener->fd, &name.any, &len);
    if (fd >= 0) {
        NetAddr peer;
        net_addr_set(&peer, &name.any);
        listener->reported = false;
        listener->ops->on_accept(listener, fd, &peer);
        return true;
    }
    return listener_refused(listener, errno, first);
}

static void
listener_on_readable(uv_poll_t *poll, int status, int Py_UNUSED(events))
{
    Listener *listener = container_of(poll, Listener, poll);
    if (!loop_enter(listener->loop)) {
        return;
    }
    if (status < 0) {
        listener_starve(listener, status, BROKEN_RETRY);
        return;
    }
    for (int i = 0; i < listener->batch && listener->state == LISTENER_OPEN; i++) {
        if (!listener_accept(listener, i == 0)) {
            break;
        }
    }
}

void
listener_accept_queued(Listener *listener)
{
    for (int i = 0; i < QUEUED_MAX && listener->state == LISTENER_OPEN; i++) {
        if (!listener_accept(listener, i == 0)) {
            return;
        }
    }
}

static void
listener_close_poll(uv_handle_t *handle)
{
    listener_close(container_of((uv_poll_t *)handle, Listener, poll));
}

static void
listener_close_retry(uv_handle_t *handle)
{
    listener_close(container_of((uv_timer_t *)handle, Listener, retry));
}

static void
listener_forked(uv_handle_t *handle)
{
    listener_pause(container_of((uv_poll_t *)handle, Listener, poll));
}

static const LoopHandleOps poll_ops = {
    .close = listener_close_poll,
    .forked = listener_forked,
};
static const LoopHandleOps retry_ops = {.close = listener_close_retry};

int
listener_open(Listener *listener, Loop *loop, const ListenerOps *ops, int fd,
              bool is_unix, int backlog)
{
    *listener = (Listener){
        .loop = loop, .ops = ops, .fd = fd, .is_unix = is_unix, .batch = ACCEPT_BATCH};
    if (listen(fd, backlog) != 0) {
        return uv_translate_sys_error(errno);
    }
    int err = uv_poll_init(loop_uv(loop), &listener->poll, fd);
    if (err != 0) {
        return err;
    }
    (void)uv_timer_init(loop_uv(loop), &listener->retry);
    listener->poll.data = (void *)&poll_ops;
    listener->retry.data = (void *)&retry_ops;
    listener->handles = 2;
    listener->state = LISTENER_OPEN;
    listener_poll(listener);
    return 0;
}

void
listener_pause(Listener *listener)
{
    if (listener->state == LISTENER_OPEN || listener->state == LISTENER_STARVED) {
        listener->state = LISTENER_PAUSED;
        (void)uv_poll_stop(&listener->poll);
        (void)uv_timer_stop(&listener->retry);
    }
}

void
listener_resume(Listener *listener)
{
    if (listener->state == LISTENER_PAUSED) {
        listener->state = LISTENER_OPEN;
        listener_poll(listener);
    }
}

static void
listener_on_handle_closed(Listener *listener)
{
    if (--listener->handles == 0) {
        if (loop_enter(listener->loop)) {
            listener->state = LISTENER_UNUSED;
            listener->ops->on_closed(listener);
        }
    }
}

static void
listener_on_poll_closed(uv_handle_t *handle)
{
    listener_on_handle_closed(container_of((uv_poll_t *)handle, Listener, poll));
}

static void
listener_on_retry_closed(uv_handle_t *handle)
{
    listener_on_handle_closed(container_of((uv_timer_t *)handle, Listener, retry));
}

void
listener_close(Listener *listener)
{
    if (listener->state == LISTENER_CLOSING || listener->state == LISTENER_UNUSED) {
        return;
    }
    listener->state = LISTENER_CLOSING;
    uv_close((uv_handle_t *)&listener->poll, listener_on_poll_closed);
    uv_close((uv_handle_t *)&listener->retry, listener_on_retry_closed);
    (void)close(
        listener->fd); /* libuv no longer polls it; clients are refused from now on */
}
