/* The HTTP server as a whole (see server.h): its listeners, the connections that they accept, the work
 * before the loop blocks, and the orderly stop. The upper layer owns the struct. When on_drained is
 * called, every libuv handle in it is closed. The loop's thread.
 */
#include "base/py.h"

#include "http/server.h"

#include "http/conn.h"
#include "http/h2.h"
#include "http/measure.h"
#include "http/out.h"

#include <uv.h>

struct ServerListener {
    Listener listener;
    HttpServer *server;   /* borrowed; outlives its listeners */
    bool proxied;         /* see http_server_listen */
    ServerListener *next; /* in HttpServer.listeners */
};

/* ---- Creating and freeing ---------------------------------------------------------------- */

HttpServer *
http_server_new(Loop *loop, const HttpOps *ops, const HttpLimits *limits, void *context)
{
    HttpServer *server = PyMem_RawCalloc(1, sizeof(*server));
    if (server == NULL) {
        return NULL;
    }
    server->loop = loop;
    server->ops = ops;
    server->context = context;
    server->limits = *limits;
    ring_init(&server->conns);
    ring_init(&server->ready);
    return server;
}

void
server_release(HttpServer *server)
{
    request_free_spare(server);
    buf_free(&server->out);
    buf_free(&server->ws_origins);
    buf_free(&server->hosts);
    buf_free(&server->added);
    buf_free(&server->probes);
    buf_free(&server->urgent);
    buf_free(&server->scratch);
    compressor_free(server->compressor);
    trust_clear(&server->trust);
    trust_clear(&server->greeters);
    request_ids_clear(&server->ids);
    secure_host_free(server->secure);
    h2_mem_unref(server->h2_mem);
    access_log_free(&server->log);
    measure_free(server);
    PyMem_RawFree(server);
}

void
http_server_free(HttpServer *server)
{
    assert(server->state == SERVER_NEW || server->state == SERVER_DRAINED);
    server->freed = true;
    watch_stop(server);
    if (server->held == 0) {
        server_release(server);
    }
}

void *
http_server_context(const HttpServer *server)
{
    return server->context;
}

bool
http_server_ends_streams(const HttpServer *server)
{
    return server->ends_streams;
}

Loop *
http_server_loop(const HttpServer *server)
{
    return server->loop;
}

const HttpLimits *
http_server_limits(const HttpServer *server)
{
    return &server->limits;
}

void
server_refused(HttpServer *server, const NetAddr *peer, HttpRefusal refusal)
{
    server->stats.tls_failed += refusal.status == 0;
    if (server->ops->on_refused != NULL) {
        server->ops->on_refused(server->context, peer, &refusal);
    }
}

const char *
http_nghttp2_version(void)
{
    return h2_version();
}

HttpStats
http_server_stats(const HttpServer *server)
{
    return server->stats;
}

bool
http_server_is_timed(const HttpServer *server)
{
    return server->log.format != NULL || server->metrics != NULL;
}

/* ---- Before the loop blocks -------------------------------------------------------------- */

/* Writes the parked responses, and gives each ready connection one turn. Connections that become ready
 * meanwhile wait for the next iteration. */
static void
server_on_hook(LoopHook *hook)
{
    HttpServer *server = container_of(hook, HttpServer, hook);
    server->parking = server->due = false;
    server->last_batch = server->batch != 0 ? server->batch : server->last_batch;
    server->batch = 0;
    out_write_parked(server);
    if (!ring_is_empty(&server->ready)) {
        Ring turn;
        ring_take(&turn, &server->ready);
        while (!ring_is_empty(&turn)) {
            HttpConn *c = container_of(turn.next, HttpConn, ready);
            ring_remove(&c->ready);
            conn_resume(c);
        }
        if (!ring_is_empty(&server->ready)) {
            loop_hooks_again(server->loop);
        }
    }
    if (server->log.lines.len != 0) {
        access_log_flush(&server->log);
    }
    if (unlikely(server->metrics != NULL)) {
        measure_turn(server);
    }
}

/* Callbacks run next. Parked responses mustn't wait for them, so the thread of watch.h is woken when
 * they are due. */
static void
server_on_due(LoopHook *hook)
{
    HttpServer *server = container_of(hook, HttpServer, due_hook);
    server->due = true;
    if (server->nparts != 0) {
        watch_wake(server);
    }
}

/* ---- Listening --------------------------------------------------------------------------- */

static bool
server_is_full(const HttpServer *server)
{
    return limit_exceeded(server->limits.connections, (uint64_t)server->stats.open + 1);
}

static void
server_on_accept(Listener *listener, int fd, const NetAddr *peer)
{
    ServerListener *own = container_of(listener, ServerListener, listener);
    HttpServer *server = own->server;
    conn_open(server, fd, listener->is_unix, peer, own->proxied);
    if (server_is_full(server)) {
        for (ServerListener *l = server->listeners; l != NULL; l = l->next) {
            listener_pause(&l->listener);
        }
    }
}

static void server_check_drained(HttpServer *server);

static void
server_on_listener_closed(Listener *listener)
{
    ServerListener *closed = container_of(listener, ServerListener, listener);
    HttpServer *server = closed->server;
    ServerListener **at = &server->listeners;
    while (*at != closed) {
        at = &(*at)->next;
    }
    *at = closed->next;
    PyMem_RawFree(closed);
    server_check_drained(server);
}

static const ListenerOps listener_ops = {
    .on_accept = server_on_accept,
    .on_closed = server_on_listener_closed,
};

static void
server_on_expired(Deadlines *all, Deadline *deadline, DeadlineKind kind)
{
    (void)all;
    conn_expired(container_of(deadline, HttpConn, deadline), kind);
}

static void
server_on_timer_closed(Deadlines *all)
{
    HttpServer *server = container_of(all, HttpServer, deadlines);
    server->state = SERVER_DRAINED;
    measure_stop(server);
    server->ops->on_drained(server->context);
}

/* The loop is being closed while the server is still running. */
static void
server_close_timer(uv_handle_t *handle)
{
    Deadlines *all = container_of((uv_timer_t *)handle, Deadlines, timer);
    http_server_abort(container_of(all, HttpServer, deadlines));
}

static const LoopHandleOps timer_ops = {.close = server_close_timer};

/* After how many ms a lingering connection is checked; 0: never. */
static uint32_t
linger_look(const HttpLimits *limits)
{
    uint32_t timeout = limits->linger_timeout, time = limits->linger_time;
    return timeout == 0 || (time != 0 && time < timeout) ? time : timeout;
}

/* Starts the deadlines and the hooks of the loop. */
static void
server_start(HttpServer *server)
{
    const HttpLimits *limits = &server->limits;
    uint32_t after[DEADLINE_KINDS] = {
        [DEADLINE_KEEP_ALIVE] = limits->keep_alive,
        [DEADLINE_HEADER] = limits->header_timeout,
        [DEADLINE_BODY] = limits->body_rate != 0 ? limits->body_grace : 0,
        [DEADLINE_WRITE] = limits->write_timeout,
        [DEADLINE_LINGER] = linger_look(limits),
        [DEADLINE_LINGER_LAST] = LINGER_DRAINING,
        [DEADLINE_HALF_CLOSED] = HALF_CLOSED_LOOK,
        [DEADLINE_H2_IDLE] = limits->keep_alive,
        [DEADLINE_H2_LOOK] = H2_LOOK,
        [DEADLINE_WS_PING] = limits->ws_ping_interval,
        [DEADLINE_WS_PONG] = limits->ws_ping_timeout,
        [DEADLINE_WS_CLOSE] = limits->ws_close_timeout,
    };
    measure_start(server);
    server->deadlines.expired = server_on_expired;
    server->deadlines.closed = server_on_timer_closed;
    deadlines_init(&server->deadlines, server->loop, after);
    server->deadlines.timer.data = (void *)&timer_ops;
    server->hook.run = server_on_hook;
    loop_hook_add(server->loop, &server->hook);
    server->due_hook.run = server_on_due;
    loop_due_hook_add(server->loop, &server->due_hook);
    server->state = SERVER_RUNNING;
}

void
http_server_share(HttpServer *server)
{
    server->shared = true;
}

int
http_server_listen(HttpServer *server, int fd, bool is_unix, int backlog, bool proxied)
{
    if (server->state != SERVER_NEW && server->state != SERVER_RUNNING) {
        return UV_EINVAL;
    }
    ServerListener *added = PyMem_RawCalloc(1, sizeof(*added));
    if (added == NULL) {
        return UV_ENOMEM;
    }
    int err = listener_open(&added->listener, server->loop, &listener_ops, fd, is_unix,
                            backlog);
    if (err != 0) {
        PyMem_RawFree(added);
        return err;
    }
    if (server->shared) {
        listener_share(&added->listener);
    }
    added->server = server;
    added->proxied = proxied;
    added->next = server->listeners;
    server->listeners = added;
    if (server->state == SERVER_NEW) {
        server_start(server);
    }
    return 0;
}

int
http_server_take(HttpServer *server, int fd)
{
    if (server->state != SERVER_NEW && server->state != SERVER_RUNNING) {
        return UV_EINVAL;
    }
    if (server->state == SERVER_NEW) {
        server_start(server);
    }
    NetAddr nameless = {.family = AF_UNSPEC};
    conn_open(server, fd, true, &nameless, false);
    return 0;
}

/* ---- Stopping ---------------------------------------------------------------------------- */

/* Completes a drain when the last listener and the last connection are gone. */
static void
server_check_drained(HttpServer *server)
{
    if (server->state == SERVER_DRAINING && server->listeners == NULL
        && ring_is_empty(&server->conns)) {
        server->state = SERVER_STOPPING;
        loop_hook_remove(server->loop, &server->hook);
        loop_due_hook_remove(server->loop, &server->due_hook);
        access_log_settle(&server->log);
        deadlines_close(&server->deadlines);
    }
}

void
server_conn_closed(HttpServer *server)
{
    server->stats.open--;
    if (server->state == SERVER_RUNNING && !server_is_full(server)) {
        for (ServerListener *l = server->listeners; l != NULL; l = l->next) {
            listener_resume(&l->listener);
        }
    }
    server_check_drained(server);
}

/* Calls `stop` for each connection. It may close the connection, which stays in the ring until the next
 * iteration of the loop. */
static void
server_each_conn(HttpServer *server, void (*stop)(HttpConn *c))
{
    Ring *link = server->conns.next;
    while (link != &server->conns) {
        HttpConn *c = container_of(link, HttpConn, all);
        link = link->next;
        stop(c);
    }
}

/* With `queued`, what waits in the listeners' queues is accepted first: it would be reset otherwise. */
static void
server_stop_listening(HttpServer *server, bool queued)
{
    if (server->state == SERVER_NEW) {
        server_start(server); /* so that on_drained is called in the same way */
    }
    if (server->state == SERVER_RUNNING) {
        server->state = SERVER_DRAINING;
        for (ServerListener *l = server->listeners; l != NULL; l = l->next) {
            if (queued) {
                listener_accept_queued(&l->listener);
            }
            listener_close(&l->listener);
        }
    }
}

static void
conn_drain_idle(HttpConn *c)
{
    conn_drain(c, true);
}

static void
conn_drain_busy(HttpConn *c)
{
    conn_drain(c, false);
}

void
http_server_drain(HttpServer *server, bool idle, bool queued)
{
    server_stop_listening(server, queued);
    if (server->state == SERVER_DRAINING) {
        server_each_conn(server, idle ? conn_drain_idle : conn_drain_busy);
        server_check_drained(server);
    }
}

static void
conn_end_stream(HttpConn *c)
{
    if (h2_is_spoken(c)) {
        h2_end_streams(c);
    } else if (conn_streams(c)) {
        conn_close(c, true);
    }
}

void
http_server_end_streams(HttpServer *server)
{
    server->ends_streams = true;
    server_each_conn(server, conn_end_stream);
    server->ends_streams = false;
}

void
http_server_abort(HttpServer *server)
{
    server_stop_listening(server, false);
    server->aborting = true;
    if (server->state == SERVER_DRAINING) {
        server_each_conn(server,
                         out_flush); /* parked responses are not to be dropped */
        server_each_conn(server, conn_abort);
        server_check_drained(server);
    }
}
