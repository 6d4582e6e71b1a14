/* See app.h. */
#include "base/py.h"

#include "app.h"

#include "http/conn.h"
#include "http/response.h"
#include "http/server_private.h"
#include "http/ws/ws.h"
#include "loop/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TURNS_MAX = 1000, /* iterations after which a connection counts as stuck */
    LATER_MAX = 64,   /* requests that are answered in a later iteration */
    LARGE = 40000,    /* bytes of an answer that windows hold up */
    LARGE_PIECE = 8192,
};

/* A request as this layer sees it, see http_request_app. */
typedef struct FuzzCall {
    uint64_t received; /* bytes of a streamed body */
    size_t more;       /* bytes of the answer that are still to be written */
    bool held;         /* it is in `later` */
    bool paused;
} FuzzCall;

typedef struct Plan {
    bool streamed; /* the body is read in pieces */
    bool dropped;
    bool pauses;    /* its pieces come one per iteration */
    bool early;     /* answers in on_head */
    bool late;      /* answers in a later iteration */
    bool in_chunks; /* the answer is streamed, its length not told */
    bool in_pieces; /* the same with its length */
    bool aborts;    /* gives up in the middle of the answer */
    bool large;
} Plan;

bool fuzz_timed, fuzz_large;
static PyObject *loop, *large;
static HttpServer *server;
static HttpRequest *later[LATER_MAX];
static unsigned nlater;
static WsConn *resting; /* a WebSocket that was paused; NULL: none */

PyMODINIT_FUNC PyInit__core(void);

void
fuzz_check(bool good, const char *what)
{
    if (!good) {
        if (PyErr_Occurred()) {
            PyErr_Print();
        }
        (void)fprintf(stderr, "fuzz: %s\n", what);
        abort();
    }
}

/* ---- The layer above -------------------------------------------------------------------- */

/* The path "/" is answered at once with the request's body, as the documents of tests/wire expect. */
static Plan
plan_of(const HttpRequest *req)
{
    Slice path = http_request_path(req);
    unsigned bits = (unsigned char)path.ptr[path.len - 1] ^ '/';
    unsigned body = bits & 3, answer = bits >> 2 & 3;
    return (Plan){
        .streamed = body & 1,
        .dropped = body == 2,
        .pauses = body == 3,
        .late = answer & 1,
        .in_chunks = answer == 2,
        .in_pieces = answer == 3,
        .early = (bits & 16) != 0,
        .aborts = (bits & 32) != 0,
        .large = fuzz_large && (bits & 64) != 0,
    };
}

/* Goes on with a large answer, as far as there is room for it. */
static void
answer_more(HttpRequest *req)
{
    FuzzCall *call = http_request_app(req);
    while (call->more != 0 && !http_stream_full(req)) {
        size_t n = call->more < LARGE_PIECE ? call->more : LARGE_PIECE;
        call->more -= n;
        if (http_stream_write(req, slice_of(PyBytes_AS_STRING(large), n), large) != 0) {
            call->more = 0;
        } else if (call->more == 0) {
            (void)http_stream_end(req);
        }
    }
}

static void
answer_streamed(HttpRequest *req, const HttpHead *head, Plan plan, Slice body)
{
    FuzzCall *call = http_request_app(req);
    size_t more = plan.large ? LARGE : 0;
    int64_t length = plan.in_chunks ? -1 : (int64_t)(body.len * 2 + more);
    if (http_stream_begin(req, head, length) != 0) {
        return;
    }
    (void)http_stream_write(req, body, NULL);
    if (plan.aborts) {
        http_abort(req);
        return;
    }
    (void)http_stream_write(req, body, NULL);
    if (more != 0) {
        call->more = more;
        answer_more(req);
    } else {
        (void)http_stream_end(req);
    }
}

static void
answer(HttpRequest *req)
{
    Plan plan = plan_of(req);
    FuzzCall *call = http_request_app(req);
    char text[32];
    int n =
        snprintf(text, sizeof text, "%llu bytes", (unsigned long long)call->received);
    Slice body = plan.streamed ? slice_of(text, (size_t)n) : buf_slice(&req->body);
    HttpHead head = {.status = 200, .content_type = SLICE("text/plain")};
    if (plan.in_chunks || plan.in_pieces) {
        answer_streamed(req, &head, plan, body);
    } else if (plan.aborts) {
        (void)http_respond_error(req, 500);
    } else if (plan.large) {
        Slice bytes = slice_of(PyBytes_AS_STRING(large), LARGE);
        (void)http_respond(req, &head, bytes, large);
    } else {
        (void)http_respond(req, &head, body, NULL);
    }
}

static void
answer_later(HttpRequest *req)
{
    FuzzCall *call = http_request_app(req);
    if (!call->held && nlater < LATER_MAX) {
        call->held = true;
        http_request_ref(req);
        later[nlater++] = req;
    }
}

static HttpBodyMode
on_head(HttpRequest *req)
{
    Plan plan = plan_of(req);
    fuzz_timed = fuzz_timed || req->expect_continue || plan.early || plan.aborts;
    if (req->upgrade >= 0 && ws_is_offered(req)) {
        fuzz_timed = true;
        return HTTP_BODY_DISCARD;
    }
    if (plan.early) {
        answer(req);
    }
    return plan.streamed  ? HTTP_BODY_STREAM
           : plan.dropped ? HTTP_BODY_DISCARD
                          : HTTP_BODY_COLLECT;
}

static void
on_body(HttpRequest *req, Slice piece)
{
    FuzzCall *call = http_request_app(req);
    call->received += piece.len;
    if (plan_of(req).pauses) {
        call->paused = true;
        http_body_pause(req);
        answer_later(req);
    }
}

static void
on_body_end(HttpRequest *req)
{
    if (plan_of(req).late) {
        answer_later(req);
    } else {
        answer(req);
    }
}

static void
on_message(WsConn *ws, PyObject *data)
{
    if (PyUnicode_Check(data)) {
        Py_ssize_t len;
        const char *text = PyUnicode_AsUTF8AndSize(data, &len);
        fuzz_check(text != NULL, "a text message is not UTF-8");
        Slice slice = slice_of(text, (size_t)len);
        (void)(len != 0 && *text == 'c' ? ws_close(ws, WS_NORMAL, SLICE("bye"))
                                        : ws_send_text(ws, slice, data));
    } else {
        Slice bytes = slice_of(PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data));
        (void)ws_send_binary(ws, bytes, data);
        ws_pause(ws);
        resting = ws;
    }
    Py_DECREF(data);
}

static void
on_drain(WsConn *Py_UNUSED(ws))
{
}

static void
on_close(WsConn *Py_UNUSED(ws), int Py_UNUSED(code), Slice Py_UNUSED(reason),
         bool Py_UNUSED(clean))
{
    resting = NULL;
}

static const WsOps ws_ops = {
    .on_message = on_message,
    .on_drain = on_drain,
    .on_close = on_close,
};

static void
on_request(HttpRequest *req)
{
    Plan plan = plan_of(req);
    if (req->upgrade >= 0 && ws_is_offered(req)) {
        WsConn *ws;
        const WsAccept accept = {.ops = &ws_ops};
        if (ws_check(req)) {
            (void)ws_accept(req, &accept, &ws);
        }
    } else if (plan.streamed) {
        /* on_body_end answers */
    } else if (plan.late) {
        answer_later(req);
    } else {
        answer(req);
    }
}

static void
ignore(HttpRequest *Py_UNUSED(req))
{
}

static void
on_drained(void *Py_UNUSED(context))
{
}

static const HttpOps ops = {
    .app_size = sizeof(FuzzCall),
    .on_head = on_head,
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_gone = ignore,
    .on_writable = answer_more,
    .app_clear = ignore,
    .on_drained = on_drained,
};

/* ---- One connection --------------------------------------------------------------------- */

/* Goes on with what was left for later: bodies, then answers. */
static void
later_run(void)
{
    unsigned n = nlater;
    HttpRequest *due[LATER_MAX];
    memcpy(due, later, n * sizeof *due);
    nlater = 0;
    for (unsigned i = 0; i < n; i++) {
        FuzzCall *call = http_request_app(due[i]);
        call->held = false;
        if (call->paused) {
            call->paused = false;
            http_body_resume(due[i]);
        } else {
            answer(due[i]);
        }
        http_request_unref(due[i]);
    }
    if (resting != NULL) {
        WsConn *ws = resting;
        resting = NULL;
        ws_resume(ws);
    }
}

void
fuzz_turn(void)
{
    PyObject *stopped = PyObject_CallMethod(loop, "stop", NULL);
    PyObject *ran = stopped == NULL ? NULL : PyObject_CallMethod(loop, "_run", NULL);
    fuzz_check(ran != NULL, "the loop has failed");
    Py_DECREF(stopped);
    Py_DECREF(ran);
    later_run();
}

bool
fuzz_read(Reply *reply, int fd)
{
    for (;;) {
        reply->len = fuzz_large ? 0 : reply->len;
        size_t room = sizeof reply->bytes - reply->len;
        ssize_t n = recv(fd, reply->bytes + reply->len, room, 0);
        if (n <= 0) {
            return n < 0 && errno == EAGAIN;
        }
        reply->len += (size_t)n;
        fuzz_check(reply->len < sizeof reply->bytes,
                   "more is answered than was asked for");
    }
}

bool
fuzz_send(Reply *reply, int fd, Slice piece)
{
    while (piece.len != 0) {
        ssize_t n = send(fd, piece.ptr, piece.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            return false;
        }
        piece.ptr += n < 0 ? 0 : n;
        piece.len -= n < 0 ? 0 : (size_t)n;
        fuzz_turn();
        if (!fuzz_read(reply, fd)) {
            return false;
        }
    }
    return true;
}

int
fuzz_open(Reply *reply)
{
    int fds[2];
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const NetAddr nobody = {.family = AF_UNSPEC};
    fuzz_check(socketpair(AF_UNIX, type, 0, fds) == 0, "no socket pair");
    conn_open(server, fds[0], true, &nobody, false);
    reply->len = 0;
    return fds[1];
}

void
fuzz_close(Reply *reply, int fd, bool open)
{
    (void)shutdown(fd, SHUT_WR);
    for (int i = 0; open && i < TURNS_MAX; i++) {
        fuzz_turn();
        open = fuzz_read(reply, fd);
    }
    fuzz_check(!open, "the connection stays open after the client's end");
    (void)close(fd);
    for (int i = 0; http_server_stats(server).open != 0; i++) {
        fuzz_check(i < TURNS_MAX, "the connection outlives its socket");
        fuzz_turn();
    }
    fuzz_turn();
    fuzz_check(nlater == 0 && http_server_stats(server).in_flight == 0,
               "a request is left");
}

void
fuzz_serve(Reply *reply, Slice data, size_t step)
{
    int fd = fuzz_open(reply);
    bool open = true;
    while (open && data.len != 0) {
        size_t n = data.len < step ? data.len : step;
        open = fuzz_send(reply, fd, slice_of(data.ptr, n));
        data = slice_of(data.ptr + n, data.len - n);
    }
    fuzz_close(reply, fd, open);
}

HttpConn *
fuzz_conn(void)
{
    Ring *first = server->conns.next;
    return first == &server->conns ? NULL : container_of(first, HttpConn, all);
}

/* ---- Comparing -------------------------------------------------------------------------- */

/* The time is none of our business. */
static void
reply_mask(Reply *reply)
{
    static const char name[] = "\r\ndate: ";
    size_t n = sizeof name - 1;
    for (size_t i = 0; i + n + 29 <= reply->len; i++) {
        if (strncasecmp(reply->bytes + i, name, n) == 0) {
            memset(reply->bytes + i + n, '.', 29);
        }
    }
}

/* Of a request with several faults any may be named first: only that it is refused is compared. */
static void
reply_cut_refusal(Reply *reply)
{
    static const char start[] = "HTTP/1.1 ";
    size_t n = sizeof start - 1;
    for (size_t i = reply->len; i-- > 0;) {
        const char *at = reply->bytes + i;
        if (i + n < reply->len && memcmp(at, start, n) == 0) {
            reply->len = at[n] == '4' || at[n] == '5' ? i + n : reply->len;
            return;
        }
    }
}

static void
reply_show(const char *how, const Reply *reply)
{
    (void)fprintf(stderr, "---- %s: %zu bytes\n", how, reply->len);
    (void)fwrite(reply->bytes, 1, reply->len, stderr);
    (void)fputc('\n', stderr);
}

void
fuzz_compare(Reply *whole, Reply *pieces)
{
    if (fuzz_timed) {
        return;
    }
    reply_mask(whole);
    reply_mask(pieces);
    reply_cut_refusal(whole);
    reply_cut_refusal(pieces);
    if (whole->len != pieces->len
        || memcmp(whole->bytes, pieces->bytes, whole->len) != 0) {
        reply_show("sent in one piece", whole);
        reply_show("sent in pieces", pieces);
        fuzz_check(false, "the answer depends on how the request is cut");
    }
}

/* ---- The beginning ----------------------------------------------------------------------- */

static void
python_start(void)
{
    PyPreConfig early;
    PyPreConfig_InitIsolatedConfig(&early);
    early.allocator = PYMEM_ALLOCATOR_MALLOC; /* the sanitizer sees each object */
    early.utf8_mode = 1;
    fuzz_check(!PyStatus_Exception(Py_PreInitialize(&early)), "no Python");
    fuzz_check(PyImport_AppendInittab("_core", PyInit__core) == 0, "no module");
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    fuzz_check(
        !PyStatus_Exception(PyConfig_SetBytesString(&config, &config.home, PYTHON_HOME))
            && !PyStatus_Exception(Py_InitializeFromConfig(&config)),
        "Python doesn't start");
    PyConfig_Clear(&config);
}

static const char make_loop[] = "import _core, os\n"
                                "class Loop(_core.Loop):\n"
                                "    def call_exception_handler(self, context):\n"
                                "        print(context, flush=True)\n"
                                "        os.abort()\n"
                                "loop = Loop()\n";

HttpServer *
fuzz_start(const HttpLimits *limits)
{
    python_start();
    fuzz_check(PyRun_SimpleString(make_loop) == 0, "no loop");
    PyObject *core = PyImport_ImportModule("_core");
    PyObject *main = PyImport_ImportModule("__main__");
    fuzz_check(core != NULL && main != NULL, "no core");
    loop = PyObject_GetAttrString(main, "loop");
    large = PyBytes_FromStringAndSize(NULL, LARGE);
    memset(PyBytes_AS_STRING(large), 'x', LARGE);
    server = http_server_new(loop_check(core, loop), &ops, limits, NULL);
    fuzz_check(server != NULL, "no server");
    /* Nobody connects to it, but listening starts the server's clock. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr any = {.sa_family = AF_UNIX};
    fuzz_check(bind(fd, &any, sizeof any.sa_family) == 0, "no address");
    fuzz_check(http_server_listen(server, fd, true, 1, false) == 0,
               "the server doesn't listen");
    Py_DECREF(main);
    Py_DECREF(core);
    return server;
}
