/*
 * The limit: an HTTP server on libuv and llhttp alone, against which every other figure
 * is a ratio.
 *
 * Each complete request gets the same constant answer, of the size of Fluvial's answer
 * on /async. All answers to one read leave in one write. One thread, one loop; a
 * connection is freed in its close callback. Nothing is limited or timed: what a real
 * server adds to this is what the benchmark shows.
 *
 * Usage: raw PORT
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llhttp.h>
#include <uv.h>

#define READ_SIZE 65536
#define BLOCK_ANSWERS 1024 /* answers that lie ready, one behind the other */

static const char ANSWER[] = "HTTP/1.1 200 OK\r\n"
                             "server: libuv-c\r\n"
                             "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                             "content-type: application/json\r\n"
                             "content-length: 16\r\n"
                             "\r\n"
                             "{\"type\":\"async\"}";
#define ANSWER_SIZE (sizeof ANSWER - 1)

typedef struct {
    llhttp_settings_t settings;
    char *block; /* BLOCK_ANSWERS copies of ANSWER */
    char read_buffer[READ_SIZE];
} Server;

typedef struct {
    uv_tcp_t tcp; /* first, so that a handle is its connection */
    llhttp_t parser;
    Server *server;
    size_t due;  /* requests parsed from this read, not yet answered */
    bool closes; /* the last parsed request asked for the connection's end */
} Conn;

static void
die(const char *what, int err)
{
    fprintf(stderr, "raw: %s: %s\n", what, uv_strerror(err));
    exit(1);
}

static void
conn_closed(uv_handle_t *handle)
{
    free(handle);
}

static void
conn_close(Conn *conn)
{
    if (!uv_is_closing((uv_handle_t *)conn)) {
        uv_close((uv_handle_t *)conn, conn_closed);
    }
}

static void
conn_written(uv_write_t *req, int status)
{
    Conn *conn = (Conn *)req->handle;
    if (status < 0 || conn->closes) {
        conn_close(conn);
    }
    free(req);
}

/* Queues what the kernel didn't take at once. The bytes are constant, so nothing is
 * copied. */
static int
conn_queue(Conn *conn, const char *data, size_t size)
{
    uv_write_t *req = malloc(sizeof *req);
    if (req == NULL) {
        return UV_ENOMEM;
    }
    uv_buf_t buf = uv_buf_init((char *)data, (unsigned)size);
    int err = uv_write(req, (uv_stream_t *)conn, &buf, 1, conn_written);
    if (err < 0) {
        free(req);
    }
    return err;
}

/* Returns 1 when all of it is written, 0 when some is queued, or a UV_E*. */
static int
conn_write(Conn *conn, const char *data, size_t size)
{
    uv_buf_t buf = uv_buf_init((char *)data, (unsigned)size);
    int sent = uv_try_write((uv_stream_t *)conn, &buf, 1);
    if (sent == UV_EAGAIN) {
        sent = 0;
    }
    if (sent < 0) {
        return sent;
    }
    if ((size_t)sent == size) {
        return 1;
    }
    return conn_queue(conn, data + sent, size - (size_t)sent);
}

static void
conn_answer(Conn *conn)
{
    int done = 1;
    while (conn->due > 0) {
        size_t count = conn->due < BLOCK_ANSWERS ? conn->due : BLOCK_ANSWERS;
        conn->due -= count;
        done = conn_write(conn, conn->server->block, count * ANSWER_SIZE);
        if (done < 0) {
            conn_close(conn);
            return;
        }
    }
    if (conn->closes && done == 1) {
        conn_close(conn);
    }
}

static int
on_message_complete(llhttp_t *parser)
{
    Conn *conn = parser->data;
    conn->due++;
    conn->closes = !llhttp_should_keep_alive(parser);
    return 0;
}

static void
conn_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    Conn *conn = (Conn *)handle;
    *buf = uv_buf_init(conn->server->read_buffer, READ_SIZE);
}

static void
conn_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    Conn *conn = (Conn *)stream;
    if (nread == 0) {
        return;
    }
    if (nread < 0) {
        conn_close(conn);
        return;
    }
    llhttp_errno_t err = llhttp_execute(&conn->parser, buf->base, (size_t)nread);
    if (err != HPE_OK) {
        conn_close(conn);
        return;
    }
    conn_answer(conn);
}

static void
server_accept(uv_stream_t *listener, int status)
{
    if (status < 0) {
        return;
    }
    Conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        return;
    }
    conn->server = listener->data;
    llhttp_init(&conn->parser, HTTP_REQUEST, &conn->server->settings);
    conn->parser.data = conn;
    uv_tcp_init(listener->loop, &conn->tcp);
    if (uv_accept(listener, (uv_stream_t *)conn) < 0) {
        conn_close(conn);
        return;
    }
    uv_tcp_nodelay(&conn->tcp, 1);
    if (uv_read_start((uv_stream_t *)conn, conn_alloc, conn_read) < 0) {
        conn_close(conn);
    }
}

static void
server_init(Server *server)
{
    llhttp_settings_init(&server->settings);
    server->settings.on_message_complete = on_message_complete;
    server->block = malloc(BLOCK_ANSWERS * ANSWER_SIZE);
    if (server->block == NULL) {
        die("malloc", UV_ENOMEM);
    }
    for (size_t i = 0; i < BLOCK_ANSWERS; i++) {
        memcpy(server->block + i * ANSWER_SIZE, ANSWER, ANSWER_SIZE);
    }
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: raw PORT\n");
        return 2;
    }
    Server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        die("calloc", UV_ENOMEM);
    }
    server_init(server);

    uv_loop_t *loop = uv_default_loop();
    struct sockaddr_in addr;
    uv_tcp_t listener;
    uv_ip4_addr("127.0.0.1", atoi(argv[1]), &addr);
    uv_tcp_init(loop, &listener);
    listener.data = server;
    int err = uv_tcp_bind(&listener, (const struct sockaddr *)&addr, 0);
    if (err == 0) {
        err = uv_listen((uv_stream_t *)&listener, 2048, server_accept);
    }
    if (err < 0) {
        die("listen", err);
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
