/*
 * Load for an HTTP/1.1 server that wrk can't give: connections that are closed after so many
 * requests, and requests with large bodies. Each connection sends a request, waits until its
 * response has come whole, and sends the next; after the last one it connects anew. One thread,
 * on epoll. A response must be a 2xx with Content-Length.
 *
 * The file holds the requests, which are sent in turn: for each its length in digits, a newline,
 * and its bytes. Prints the responses, and the seconds that they took.
 *
 * Usage: http_load PORT CONNECTIONS SECONDS REQUESTS-PER-CONNECTION FILE
 */
#define _GNU_SOURCE /* strcasestr */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, HEAD = 8192, REQUESTS = 64 };

typedef struct {
    char *bytes;
    size_t size;
} Request;

typedef struct {
    int fd;
    unsigned done;      /* requests on this connection */
    size_t sent;        /* of the request that is on its way */
    bool watches_write; /* for the kernel's buffer was full */
    char head[HEAD];    /* of the response, and what came with it */
    size_t have;
    long long left; /* bytes of its content; -1: the head isn't complete */
} Conn;

typedef struct {
    int port;
    size_t count;
    double seconds;
    unsigned each; /* requests on a connection; 0: without end */
    int epoll;
    Request requests[REQUESTS];
    unsigned n;
    Conn *conns;
    unsigned long responses;
} Load;

static void
die(const char *what)
{
    fprintf(stderr, "http_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double
now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
requests_read(Load *load, const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t size;
    if (file == NULL) {
        die(path);
    }
    while (load->n < REQUESTS && fscanf(file, "%zu%*1[\n]", &size) == 1) {
        Request *request = &load->requests[load->n++];
        request->size = size;
        request->bytes = malloc(size);
        if (request->bytes == NULL || fread(request->bytes, 1, size, file) != size) {
            die(path);
        }
    }
    (void)fclose(file);
}

/* ---- One connection ------------------------------------------------------------------------ */

static void conn_send(Load *load, Conn *conn);

static void
conn_watch(Load *load, Conn *conn, int how, bool writes)
{
    struct epoll_event event = {.events = EPOLLIN | (writes ? EPOLLOUT : 0),
                                .data.ptr = conn};
    conn->watches_write = writes;
    if (epoll_ctl(load->epoll, how, conn->fd, &event) != 0) {
        die("epoll_ctl");
    }
}

static void
conn_open(Load *load, Conn *conn)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)load->port)};
    int on = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0 || connect(conn->fd, (struct sockaddr *)&to, sizeof to) != 0) {
        die("connect");
    }
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fcntl(conn->fd, F_SETFL, O_NONBLOCK) != 0) {
        die("fcntl");
    }
    conn->done = 0;
    conn_watch(load, conn, EPOLL_CTL_ADD, false);
}

/* Begins the next request. Connections start with different ones. */
static void
conn_next(Load *load, Conn *conn)
{
    conn->sent = 0;
    conn->have = 0;
    conn->left = -1;
    conn_send(load, conn);
}

static const Request *
conn_request(const Load *load, const Conn *conn)
{
    return &load->requests[(conn->done + (unsigned)(conn - load->conns)) % load->n];
}

static void
conn_send(Load *load, Conn *conn)
{
    const Request *request = conn_request(load, conn);
    while (conn->sent < request->size) {
        ssize_t n = send(conn->fd, request->bytes + conn->sent,
                         request->size - conn->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            die("send");
        }
        if (n < 0) {
            break;
        }
        conn->sent += (size_t)n;
    }
    bool blocked = conn->sent < request->size;
    if (blocked != conn->watches_write) {
        conn_watch(load, conn, EPOLL_CTL_MOD, blocked);
    }
}

/* Looks for the end of the head, and takes its Content-Length. */
static void
head_take(Conn *conn)
{
    conn->head[conn->have] = '\0';
    const char *end = strstr(conn->head, "\r\n\r\n");
    if (end == NULL) {
        return;
    }
    const char *length = strcasestr(conn->head, "\r\ncontent-length:");
    if (strncmp(conn->head, "HTTP/1.1 2", 10) != 0 || length == NULL || length > end) {
        fprintf(stderr, "http_load: the response is %.200s\n", conn->head);
        exit(1);
    }
    size_t came = conn->have - (size_t)(end + 4 - conn->head);
    conn->left = strtoll(length + strlen("\r\ncontent-length:"), NULL, 10);
    conn->left -= (long long)came;
}

/* Reads what is there. Whether the response is complete. */
static bool
conn_read(Conn *conn)
{
    static char rest[1 << 18];
    bool in_head = conn->left < 0;
    char *to = in_head ? conn->head + conn->have : rest;
    size_t room = in_head ? HEAD - 1 - conn->have : sizeof rest;
    ssize_t n = recv(conn->fd, to, room, 0);
    if (n < 0 && errno == EAGAIN) {
        return false;
    }
    if (n <= 0) {
        errno = n == 0 ? ECONNRESET : errno;
        die("recv");
    }
    if (in_head) {
        conn->have += (size_t)n;
        head_take(conn);
    } else {
        conn->left -= n;
    }
    return conn->left == 0;
}

static void
conn_ready(Load *load, Conn *conn, unsigned events)
{
    if (events & EPOLLOUT) {
        conn_send(load, conn);
    }
    if ((events & ~(unsigned)EPOLLOUT) == 0 || !conn_read(conn)) {
        return;
    }
    load->responses++;
    conn->done++;
    if (conn->done == load->each) {
        (void)close(conn->fd);
        conn_open(load, conn);
    }
    conn_next(load, conn);
}

/* ---- All of them --------------------------------------------------------------------------- */

static void
load_run(Load *load)
{
    struct epoll_event events[EVENTS];
    double start = now(), end = start + load->seconds;
    for (size_t i = 0; i < load->count; i++) {
        conn_open(load, &load->conns[i]);
        conn_next(load, &load->conns[i]);
    }
    while (now() < end) {
        int n = epoll_wait(load->epoll, events, EVENTS, 100);
        for (int i = 0; i < n; i++) {
            conn_ready(load, events[i].data.ptr, events[i].events);
        }
    }
    printf("%lu %.6f\n", load->responses, now() - start);
}

int
main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: http_load PORT CONNECTIONS SECONDS EACH FILE\n");
        return 2;
    }
    Load load = {.port = atoi(argv[1]),
                 .count = strtoul(argv[2], NULL, 10),
                 .seconds = strtod(argv[3], NULL),
                 .each = (unsigned)strtoul(argv[4], NULL, 10)};
    requests_read(&load, argv[5]);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.conns = calloc(load.count, sizeof *load.conns);
    if (load.n == 0 || load.epoll < 0 || load.conns == NULL) {
        die("start");
    }
    load_run(&load);
    return 0;
}
