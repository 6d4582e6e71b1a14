/*
 * Load for an echo server: connections that each send a message, wait until it has come
 * back in full, and send the next. One thread, on epoll and the kernel's sockets alone, so
 * that it owes nothing to the loops that it measures.
 *
 * Over WebSocket (RFC 6455) a message is one frame, text up to 64 KiB and binary above.
 * Prints the messages that came back, and the seconds that they took.
 *
 * Usage: echo_load tcp|udp|tls|ws PORT | unix PATH  CONNECTIONS BYTES SECONDS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { EVENTS = 256, READ_SIZE = 262144, CONNECT_TRIES = 100 };

typedef struct {
    int fd;
    SSL *ssl;     /* NULL without TLS */
    size_t sent;  /* of the message that is on its way */
    size_t back;  /* of it, received again */
    bool blocked; /* the kernel's buffer is full: watched for writing, too */
} Conn;

typedef struct {
    const char *kind;
    const char *where;
    size_t count;
    size_t size; /* of a message's content */
    double seconds;
    int epoll;
    char *message; /* as it is sent, with a WebSocket's header */
    size_t message_size;
    char *reply; /* as it comes back */
    size_t reply_size;
    char *buffer;
    SSL_CTX *tls;
    unsigned long messages;
} Load;

static void
die(const char *what)
{
    fprintf(stderr, "echo_load: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(1);
}

static double
now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- WebSocket ---------------------------------------------------------------------------- */

/* The header of a final frame; returns its size. The mask follows when there is one. */
static size_t
frame_header(char *out, size_t size, bool masked)
{
    unsigned char *at = (unsigned char *)out;
    *at++ = (unsigned char)(0x80 | (size > 65536 ? 2 : 1));
    unsigned char mask = masked ? 0x80 : 0;
    unsigned bytes = size < 126 ? 0 : size < 65536 ? 2 : 8;
    *at++ = (unsigned char)(mask | (bytes == 0 ? size : bytes == 2 ? 126 : 127));
    for (unsigned i = bytes; i-- > 0;) {
        *at++ = (unsigned char)((uint64_t)size >> (8 * i));
    }
    return (size_t)((char *)at - out);
}

static void
conn_upgrade(const Load *load, const Conn *conn)
{
    char head[512];
    int len =
        snprintf(head, sizeof head,
                 "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                 load->where);
    if (send(conn->fd, head, (size_t)len, MSG_NOSIGNAL) != len) {
        die("upgrade");
    }
    /* The server says nothing before our first message: the head is all that comes. */
    size_t got = 0;
    while (got < 4 || memcmp(load->buffer + got - 4, "\r\n\r\n", 4) != 0) {
        ssize_t n = recv(conn->fd, load->buffer + got, 1, 0);
        if (n <= 0 || ++got == READ_SIZE) {
            die("upgrade");
        }
    }
    if (got < 12 || memcmp(load->buffer, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "echo_load: not upgraded: %.*s\n", (int)got, load->buffer);
        exit(1);
    }
}

/* ---- Connecting --------------------------------------------------------------------------- */

static int
socket_connected(const Load *load)
{
    struct sockaddr_in inet = {.sin_family = AF_INET};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    const struct sockaddr *addr = (const struct sockaddr *)&inet;
    socklen_t len = sizeof inet;
    int type = SOCK_STREAM;
    if (strcmp(load->kind, "unix") == 0) {
        strncpy(local.sun_path, load->where, sizeof local.sun_path - 1);
        addr = (const struct sockaddr *)&local;
        len = sizeof local;
    } else {
        inet.sin_port = htons((uint16_t)atoi(load->where));
        inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        type = strcmp(load->kind, "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;
    }
    int fd = socket(addr->sa_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        die("socket");
    }
    /* A Unix socket's backlog may be full for a moment. */
    for (int i = 0; connect(fd, addr, len) != 0; i++) {
        if (errno != EAGAIN || i == CONNECT_TRIES) {
            die("connect");
        }
        usleep(10000);
    }
    if (addr->sa_family == AF_INET && type == SOCK_STREAM) {
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return fd;
}

static void
conn_open(Load *load, Conn *conn)
{
    conn->fd = socket_connected(load);
    if (load->tls != NULL) {
        conn->ssl = SSL_new(load->tls);
        if (conn->ssl == NULL || SSL_set_fd(conn->ssl, conn->fd) != 1
            || SSL_connect(conn->ssl) != 1) {
            die("TLS handshake");
        }
    }
    if (strcmp(load->kind, "ws") == 0) {
        conn_upgrade(load, conn);
    }
    if (fcntl(conn->fd, F_SETFL, fcntl(conn->fd, F_GETFL) | O_NONBLOCK) != 0) {
        die("fcntl");
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
        die("epoll_ctl");
    }
}

/* ---- Messages ----------------------------------------------------------------------------- */

/* As send(2) and recv(2): -1 with EAGAIN when it would have to wait. */
static ssize_t
conn_send(Conn *conn, const char *data, size_t len)
{
    if (conn->ssl == NULL) {
        return send(conn->fd, data, len, MSG_NOSIGNAL);
    }
    int n = SSL_write(conn->ssl, data, (int)len);
    if (n <= 0) {
        int why = SSL_get_error(conn->ssl, n);
        errno =
            why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ ? EAGAIN : EIO;
    }
    return n <= 0 ? -1 : n;
}

static ssize_t
conn_recv(Conn *conn, char *buffer, size_t len)
{
    if (conn->ssl == NULL) {
        return recv(conn->fd, buffer, len, 0);
    }
    int n = SSL_read(conn->ssl, buffer, (int)len);
    if (n <= 0) {
        int why = SSL_get_error(conn->ssl, n);
        errno = why == SSL_ERROR_WANT_READ ? EAGAIN : EIO;
        return why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
    }
    return n;
}

static void
conn_watch(const Load *load, Conn *conn, bool writing)
{
    if (conn->blocked == writing) {
        return;
    }
    conn->blocked = writing;
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0u),
                                .data.ptr = conn};
    if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, conn->fd, &event) != 0) {
        die("epoll_ctl");
    }
}

static void
conn_push(const Load *load, Conn *conn)
{
    size_t size = load->message_size;
    while (conn->sent < size) {
        ssize_t n = conn_send(conn, load->message + conn->sent, size - conn->sent);
        if (n < 0) {
            if (errno != EAGAIN) {
                die("send");
            }
            break;
        }
        conn->sent += (size_t)n;
    }
    conn_watch(load, conn, conn->sent < size);
}

static void
conn_pull(Load *load, Conn *conn)
{
    bool more = true;
    while (more && conn->back < load->reply_size) {
        ssize_t n = conn_recv(conn, load->buffer, READ_SIZE);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            die("the server closed a connection");
        }
        if (conn->back + (size_t)n > load->reply_size
            || memcmp(load->buffer, load->reply + conn->back, (size_t)n) != 0) {
            fprintf(stderr, "echo_load: what came back differs from what was sent\n");
            exit(1);
        }
        conn->back += (size_t)n;
        more = conn->ssl != NULL; /* TLS may keep more than the kernel tells of */
    }
    if (conn->back == load->reply_size) {
        load->messages++;
        conn->sent = conn->back = 0;
        conn_push(load, conn);
    }
}

static double
load_run(Load *load, Conn *conns)
{
    double start = now(), end = start + load->seconds, at = start;
    for (size_t i = 0; i < load->count; i++) {
        conn_push(load, &conns[i]);
    }
    while (at < end) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(load->epoll, events, EVENTS, (int)((end - at) * 1000) + 1);
        if (n < 0 && errno != EINTR) {
            die("epoll_wait");
        }
        for (int i = 0; i < n; i++) {
            Conn *conn = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                conn_push(load, conn);
            }
            if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
                conn_pull(load, conn);
            }
        }
        at = now();
    }
    return at - start;
}

/* The content, printable ASCII so that it is text, and around it what the kind wants. */
static void
load_fill(Load *load)
{
    enum { MOST = 14 }; /* bytes of a frame's header with its mask */
    static const unsigned char mask[4] = {0x12, 0xc4, 0x5a, 0x99};
    load->message = malloc(load->size + MOST);
    load->reply = malloc(load->size + MOST);
    load->buffer = malloc(READ_SIZE);
    if (load->message == NULL || load->reply == NULL || load->buffer == NULL) {
        die("memory");
    }
    bool ws = strcmp(load->kind, "ws") == 0;
    size_t out = ws ? frame_header(load->message, load->size, true) : 0;
    size_t in = ws ? frame_header(load->reply, load->size, false) : 0;
    if (ws) {
        memcpy(load->message + out, mask, sizeof mask);
        out += sizeof mask;
    }
    for (size_t i = 0; i < load->size; i++) {
        unsigned char byte = (unsigned char)(' ' + (i * 31 + i / 251) % 95);
        load->reply[in + i] = (char)byte;
        load->message[out + i] = (char)(ws ? byte ^ mask[i % 4] : byte);
    }
    load->message_size = out + load->size;
    load->reply_size = in + load->size;
}

int
main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: echo_load tcp|udp|tls|ws PORT | unix PATH  "
                        "CONNECTIONS BYTES SECONDS\n");
        return 2;
    }
    Load load = {.kind = argv[1],
                 .where = argv[2],
                 .count = strtoul(argv[3], NULL, 10),
                 .size = strtoul(argv[4], NULL, 10),
                 .seconds = strtod(argv[5], NULL),
                 .epoll = epoll_create1(EPOLL_CLOEXEC)};
    Conn *conns = calloc(load.count, sizeof *conns);
    if (conns == NULL || load.epoll < 0) {
        die("start");
    }
    load_fill(&load);
    if (strcmp(load.kind, "tls") == 0) {
        load.tls = SSL_CTX_new(TLS_client_method());
        if (load.tls == NULL) {
            die("SSL_CTX_new");
        }
    }
    for (size_t i = 0; i < load.count; i++) {
        conn_open(&load, &conns[i]);
    }
    double took = load_run(&load, conns);
    printf("%lu %f\n", load.messages, took);
    return 0;
}
