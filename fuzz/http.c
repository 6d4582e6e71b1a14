/* A fuzzer of HTTP and WebSocket connections: what libFuzzer makes up is sent over a socket pair to a
 * connection of a real server on a real loop, in one piece and then in pieces. Both times the server
 * must answer the same and end the connection; the sanitizers and the core's assertions watch.
 *
 * In the place of ext/app stands a layer that calls no Python. What it does with a request is read
 * from the last byte of the path (see plan_of), so that the fuzzer can choose. Built and run by
 * fuzz/run.py. One thread, with the GIL; one connection at a time.
 */
#include "base/py.h"

#include "http/conn.h"
#include "http/response.h"
#include "http/server.h"
#include "http/ws/ws.h"
#include "loop/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REPLY_MAX = 1 << 20, /* bytes kept of what the server sends */
    TURNS_MAX = 1000,    /* iterations after which a connection counts as stuck */
    LATER_MAX = 64,      /* requests that are answered in the next iteration */
};

typedef struct Reply {
    size_t len;
    char bytes[REPLY_MAX];
} Reply;

/* A request as this layer sees it, see http_request_app. */
typedef struct FuzzCall {
    uint64_t received; /* bytes of a streamed body */
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
} Plan;

static PyObject *loop;
static HttpServer *server;
static HttpRequest *later[LATER_MAX];
static unsigned nlater;
static WsConn *resting; /* a WebSocket that was paused; NULL: none */
static bool timed;      /* what is answered depends on what has arrived by then */
static Reply whole, pieces;

PyMODINIT_FUNC PyInit__core(void);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool good, const char *what)
{
    if (!good) {
        if (PyErr_Occurred()) {
            PyErr_Print();
        }
        (void)fprintf(stderr, "fuzz/http.c: %s\n", what);
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
    };
}

static void
answer_streamed(HttpRequest *req, const HttpHead *head, Plan plan, Slice body)
{
    int64_t length = plan.in_chunks ? -1 : (int64_t)body.len * 2;
    if (http_stream_begin(req, head, length) != 0) {
        return;
    }
    (void)http_stream_write(req, body, NULL);
    if (plan.aborts) {
        http_abort(req);
        return;
    }
    (void)http_stream_write(req, body, NULL);
    (void)http_stream_end(req);
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
    timed = timed || req->expect_continue || plan.early || plan.aborts;
    if (req->upgrade >= 0 && ws_is_offered(req)) {
        timed = true;
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
        check(text != NULL, "a text message is not UTF-8");
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
    .on_writable = ignore,
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

/* One iteration of the loop, which doesn't block. */
static void
turn(void)
{
    PyObject *stopped = PyObject_CallMethod(loop, "stop", NULL);
    PyObject *ran = stopped == NULL ? NULL : PyObject_CallMethod(loop, "_run", NULL);
    check(ran != NULL, "the loop has failed");
    Py_DECREF(stopped);
    Py_DECREF(ran);
    later_run();
}

/* Reads what has come. False at the end of the connection. */
static bool
reply_read(Reply *reply, int fd)
{
    for (;;) {
        size_t room = sizeof reply->bytes - reply->len;
        ssize_t n = recv(fd, reply->bytes + reply->len, room, 0);
        if (n <= 0) {
            return n < 0 && errno == EAGAIN;
        }
        reply->len += (size_t)n;
        check(reply->len < sizeof reply->bytes, "more is answered than was asked for");
    }
}

/* Sends what the server takes before it closes. False when it has closed. */
static bool
piece_send(Reply *reply, int fd, Slice piece)
{
    while (piece.len != 0) {
        ssize_t n = send(fd, piece.ptr, piece.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            return false;
        }
        piece.ptr += n < 0 ? 0 : n;
        piece.len -= n < 0 ? 0 : (size_t)n;
        turn();
        if (!reply_read(reply, fd)) {
            return false;
        }
    }
    return true;
}

/* Sends `data`, at most `step` bytes at a time, then end-of-file, and reads to the end. */
static void
serve(Reply *reply, Slice data, size_t step)
{
    int fds[2];
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const NetAddr nobody = {.family = AF_UNSPEC};
    check(socketpair(AF_UNIX, type, 0, fds) == 0, "no socket pair");
    conn_open(server, fds[0], true, &nobody, false);
    reply->len = 0;
    bool open = true;
    while (open && data.len != 0) {
        size_t n = data.len < step ? data.len : step;
        open = piece_send(reply, fds[1], slice_of(data.ptr, n));
        data = slice_of(data.ptr + n, data.len - n);
    }
    (void)shutdown(fds[1], SHUT_WR);
    for (int i = 0; open && i < TURNS_MAX; i++) {
        turn();
        open = reply_read(reply, fds[1]);
    }
    check(!open, "the connection stays open after the client's end");
    (void)close(fds[1]);
    for (int i = 0; http_server_stats(server).open != 0; i++) {
        check(i < TURNS_MAX, "the connection outlives its socket");
        turn();
    }
    turn();
    check(nlater == 0 && http_server_stats(server).in_flight == 0, "a request is left");
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

static void
replies_compare(void)
{
    if (timed) {
        return;
    }
    reply_mask(&whole);
    reply_mask(&pieces);
    reply_cut_refusal(&whole);
    reply_cut_refusal(&pieces);
    if (whole.len != pieces.len || memcmp(whole.bytes, pieces.bytes, whole.len) != 0) {
        reply_show("sent in one piece", &whole);
        reply_show("sent in pieces", &pieces);
        check(false, "the answer depends on how the request is cut");
    }
}

/* ---- What libFuzzer calls --------------------------------------------------------------- */

static void
python_start(void)
{
    PyPreConfig early;
    PyPreConfig_InitIsolatedConfig(&early);
    early.allocator = PYMEM_ALLOCATOR_MALLOC; /* the sanitizer sees each object */
    early.utf8_mode = 1;
    check(!PyStatus_Exception(Py_PreInitialize(&early)), "no Python");
    check(PyImport_AppendInittab("_core", PyInit__core) == 0, "no module");
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    check(
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

/* Small ones, so that small inputs reach them. */
static void
limits_set(HttpLimits *limits)
{
    http_limits_default(limits);
    limits->request_line = 256;
    limits->header_block = 1024;
    limits->header_fields = 12;
    limits->body = 1024;
    limits->trailer_block = 128;
    limits->chunk_extensions = 64;
    limits->pipelined = 512;
    limits->ws_message = 512;
    limits->ws_frame = 256;
    limits->ws_deflate_threshold = 8;
}

int
LLVMFuzzerInitialize(int *Py_UNUSED(argc), char ***Py_UNUSED(argv))
{
    python_start();
    check(PyRun_SimpleString(make_loop) == 0, "no loop");
    PyObject *core = PyImport_ImportModule("_core");
    PyObject *main = PyImport_ImportModule("__main__");
    check(core != NULL && main != NULL, "no core");
    loop = PyObject_GetAttrString(main, "loop");
    HttpLimits limits;
    limits_set(&limits);
    server = http_server_new(loop_check(core, loop), &ops, &limits, NULL);
    check(server != NULL, "no server");
    /* Nobody connects to it, but listening starts the server's clock. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr any = {.sa_family = AF_UNIX};
    check(bind(fd, &any, sizeof any.sa_family) == 0, "no address");
    check(http_server_listen(server, fd, true, 1, false) == 0,
          "the server doesn't listen");
    Py_DECREF(main);
    Py_DECREF(core);
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 2, 3, 5, 7, 16, 61, 200};
    Slice all = slice_of((const char *)data, size);
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum = sum * 31 + data[i];
    }
    timed = false;
    serve(&whole, all, size);
    size_t step = steps[sum >> 4 & 7];
    serve(&pieces, all, step < size / 200 ? size / 200 : step);
    replies_compare();
    return 0;
}
