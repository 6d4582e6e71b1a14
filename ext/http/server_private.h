/* The HttpServer struct, for the files of this layer: what all connections of a server share.
 * server.c owns it.
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_SERVER_PRIVATE_H
#define FLUVIAL_HTTP_SERVER_PRIVATE_H

#include "base/py.h"
#include "base/buf.h"
#include "base/ring.h"
#include "coding/coding.h"
#include "http/access_log.h"
#include "http/date.h"
#include "http/deadline.h"
#include "http/limits.h"
#include "http/metrics.h"
#include "http/ops.h"
#include "http/request_id.h"
#include "http/trust.h"
#include "http/watch.h"
#include "net/server_tls_link.h"
#include "net/server.h"

/* Why a request is refused; status 0 when it isn't. */
typedef struct Fault {
    int status;
    const char *detail; /* static; becomes part of the response */
    const char *limit;  /* static: the field of HttpLimits that was exceeded, or NULL */
} Fault;

static const Fault FAULT_NONE = {0, NULL, NULL};

static inline Fault
fault_make(int status, const char *detail)
{
    return (Fault){status, detail, NULL};
}

typedef struct ServerListener ServerListener;
typedef struct Compressor Compressor; /* see compressor.h */

typedef enum ServerState {
    SERVER_NEW, /* never listened: no libuv handle is open */
    SERVER_RUNNING,
    SERVER_DRAINING, /* accepts nothing; connections end after the responses they owe */
    SERVER_STOPPING, /* no listener and no connection; the timer is being closed */
    SERVER_DRAINED,
} ServerState;

enum {
    OUT_PARTS = 64,
    KNOWN_HOST_MAX = 64, /* bytes */
};

/* Parked bytes of one connection in HttpServer.out: they wait to leave with others, see out.h. */
typedef struct OutPart {
    HttpConn *conn; /* borrowed; NULL: the bytes are written or dropped */
    size_t from, to;
    int fd;      /* the connection's socket */
    size_t sent; /* bytes written by the thread of watch.h */
} OutPart;

/* The last value of a Host field that was well-formed, unless it was longer: nearly all requests to a server
 * carry the same. */
typedef struct KnownHost {
    size_t len;
    char bytes[KNOWN_HOST_MAX];
} KnownHost;

struct HttpServer {
    Loop *loop;         /* borrowed; outlives the server */
    const HttpOps *ops; /* static */
    void *context;      /* the upper layer's */
    HttpLimits limits;
    SecureHost *secure; /* owned; NULL: no TLS */
    ServerState state;
    bool freed;        /* http_server_free was called; requests are still held */
    bool shared;       /* other processes accept from the same sockets */
    bool ends_streams; /* http_server_end_streams is running */
    bool aborting;     /* http_server_abort was called */

    ServerListener *listeners; /* owned */
    Ring conns;                /* HttpConn.all */
    Ring ready; /* HttpConn.ready: connections with work to do before the loop blocks */

    /* Bytes on their way out, see out.h. */
    Buf out;
    HttpConn *gather;         /* borrowed: the gathering connection, or NULL */
    size_t gather_from;       /* where its bytes begin in `out` */
    bool batching;            /* what it writes is a batch, see http_batch_begin */
    OutPart parts[OUT_PARTS]; /* parked: the first nparts */
    unsigned nparts;
    /* How often something was parked in this iteration, and in the last one in which anything was. */
    unsigned batch, last_batch;
    uint64_t parked_at;   /* loop_now_ns() of the first */
    uint64_t parked_last; /* the same of the last */
    OutWatch watch;       /* bounds how long they wait */
    bool due; /* callbacks are running, perhaps those of other connections */
    bool
        parking; /* the hook that writes parked bytes will still run in this iteration */

    HttpRequest *spare; /* owned: for reuse, linked by `next` */
    uint32_t nspare;
    uint32_t held; /* number of requests that exist and are not spare */

    struct H2Mem *h2_mem; /* owned; NULL before the first connection of HTTP/2 */
    Deadlines deadlines;
    LoopHook hook;
    LoopHook due_hook; /* see loop_due_hook_add */
    DateCache date;
    Buf ws_origins;          /* owned: see http_server_ws_origins */
    Buf hosts;               /* owned: see http_server_hosts */
    KnownHost known;         /* see host_check in request_head.c */
    Buf added;               /* owned: see http_server_fields */
    bool no_server, no_date; /* the same */
    Buf probes;              /* owned: see http_server_probes */
    Buf urgent;              /* owned: see http_server_urgent */
    Trust trust;             /* see http_server_proxies */
    Trust greeters;          /* see http_server_greeters; used if has_greeters */
    bool has_greeters;
    uint8_t rare;   /* of RARE_*: what HttpConn.rare begins with */
    RequestIds ids; /* see http_server_request_ids */
    AccessLog log;
    Compressor *compressor; /* owned; NULL: nothing is compressed */
    bool decodes[CODINGS];  /* of request bodies; CODING_NONE: any of the others */
    Buf scratch;            /* owned: a decoded piece */
    HttpStats stats;
    Metrics *metrics;        /* owned; NULL: off */
    struct Measure *measure; /* owned: what measure.c needs for them; NULL: off */
};

/* A limit of 0 is off. */
static inline bool
limit_exceeded(uint64_t limit, uint64_t value)
{
    return limit != 0 && value > limit;
}

/* A connection has been closed and freed. Continues a drain, or lets a waiting connection in. */
void server_conn_closed(HttpServer *server);

/* Calls on_refused. */
void server_refused(HttpServer *server, const NetAddr *peer, HttpRefusal refusal);

/* request_life.c: a zeroed request with one reference; NULL when out of memory. */
HttpRequest *http_request_new(HttpServer *server);
/* Frees the unused room in the buffers of a complete head: the request may live as long as a
 * WebSocket. */
void request_trim(HttpRequest *req);
/* Frees the spare requests. */
void request_free_spare(HttpServer *server);
/* server.c: the last held request is gone after http_server_free. */
void server_release(HttpServer *server);

#endif
