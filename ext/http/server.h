/* The HTTP server: listeners, connections, limits and deadlines. It knows nothing of routes and
 * calls the layer above through one const struct of functions, HttpOps.
 *
 * Thread: the loop's, with the GIL.
 */
#ifndef FLUVIAL_HTTP_SERVER_H
#define FLUVIAL_HTTP_SERVER_H

#include "base/py.h"
#include "coding/coding.h"
#include "http/access_format.h"
#include "http/compressor.h"
#include "http/limits.h"
#include "http/metrics.h"
#include "http/ops.h"
#include "http/request.h"
#include "http/response.h"
#include "loop/loop.h"
#include "net/server_tls_set.h"

/* Creates a server. `context` belongs to the upper layer; http_server_context returns it. */
HttpServer *http_server_new(Loop *loop, const HttpOps *ops, const HttpLimits *limits,
                            void *context);
void *http_server_context(const HttpServer *server);
Loop *http_server_loop(const HttpServer *server);

/* Accepts connections on the socket `fd`, which is bound but not yet listening. The server owns it
 * from then on if the result is 0. `proxied`: each connection begins with a header of the PROXY protocol,
 * and only trusted proxies may connect. */
int http_server_listen(HttpServer *server, int fd, bool is_unix, int backlog,
                       bool proxied);

/* Other processes accept from the sockets that http_server_listen gets from now on. */
void http_server_share(HttpServer *server);

/* Serves the connected Unix socket `fd`, which is non-blocking. The server owns it from then on if the
 * result is 0. */
int http_server_take(HttpServer *server, int fd);

/* Uses TLS on all connections, configured by `set` (borrowed; a reference is taken). Must be called
 * before http_server_listen; after that again at any time, for the connections that come then. 0 or UV_ENOMEM. */
int http_server_secure(HttpServer *server, SecureSet *set);
bool http_server_is_secure(const HttpServer *server);

/* Begins an orderly stop. The listeners are closed; `queued`: after the connections in their queues have been
 * accepted. Each connection is closed after the response that it owes. `idle`: connections that owe no response are
 * closed at once, except those on which a request is on its way, or may be, because the last response began before
 * the stop and said that the connection stays open. A second call closes these, too. on_drained is called at the
 * end, never before this returns. */
void http_server_drain(HttpServer *server, bool idle, bool queued);
/* Breaks off the streamed responses whose length isn't known, which may never end: on_gone follows for
 * each. */
void http_server_end_streams(HttpServer *server);
/* Whether it is running: on_gone means then that the server stops, not that the client has left. */
bool http_server_ends_streams(const HttpServer *server);
/* Calls `found` for each, which must not call back into the server. */
void http_server_pending(HttpServer *server,
                         void (*found)(void *arg, HttpPending pending), void *arg);
/* Whether http_server_pending finds the request. */
bool http_request_is_pending(const HttpRequest *req);
/* Closes every connection now; on_drained follows. */
void http_server_abort(HttpServer *server);
/* Frees a server that is drained or never listened. Requests that the layer above still holds
 * stay valid. The context must stay valid until app_clear has been called for each of them. */
void http_server_free(HttpServer *server);

/* Writes one line per response to the descriptor `fd` (-1: off). The lines are gathered, and handed to
 * the writing thread before the loop blocks. */
void http_server_access_log(HttpServer *server, int fd);
/* Writes them to `fd` from now on: see access_log_reopen. */
int http_server_reopen_log(HttpServer *server, int fd);
/* The layout of these lines, which the server owns from then on. NULL, the default: the plain one. */
void http_server_access_format(HttpServer *server, AccessFormat *format);
/* Whether the times of requests are measured. */
bool http_server_is_timed(const HttpServer *server);

/* The origins whose pages may open WebSockets, in lower case, separated by spaces. `same` stands for
 * the host that the request names, `*` for all. Empty (the default): all origins; but a request to a
 * local name (localhost, 127.0.0.1) that no proxy has forwarded must come from a local one. 0 or UV_ENOMEM. */
int http_server_ws_origins(HttpServer *server, Slice origins);

/* The hosts that requests may name, in lower case, separated by spaces; `*.example.org` stands for all
 * names below it. Others get a 400. Empty (the default): all. 0 or UV_ENOMEM. */
int http_server_hosts(HttpServer *server, Slice hosts);

/* The fields that responses have which don't bring their own of that name: `lines` are "name: value\r\n" …, none of
 * them about framing or the connection. `no_server` and `no_date`: without the usual Server, the usual Date.
 * 0 or UV_ENOMEM. */
int http_server_fields(HttpServer *server, Slice lines, bool no_server, bool no_date);

/* The paths, separated by spaces, of what tells whether the server is well. They are asked for by addresses, so any
 * host may be named for them, and they get a response however many requests are in flight. 0 or UV_ENOMEM.
 * http_request_is_probe says whether a request is for one of them. */
int http_server_probes(HttpServer *server, Slice paths);

/* More paths whose requests get a response however many are in flight, separated by spaces. 0 or UV_ENOMEM. */
int http_server_urgent(HttpServer *server, Slice paths);
/* Who is believed what about clients: the arguments of trust_set (trust.h). The default: nobody. */
int http_server_proxies(HttpServer *server, Slice nets, bool unix_sockets,
                        uint8_t fields);
/* Who may connect to listeners with the PROXY protocol. The default: those that are believed. */
int http_server_greeters(HttpServer *server, Slice nets, bool unix_sockets);

/* Gives each request an id, which a trusted peer may send in the field `name`, and sends it back in that field:
 * see request_ids_set. */
int http_server_request_ids(HttpServer *server, Slice name);

/* The codings in which bodies of requests are decoded; others are refused with 415. By default all bodies are
 * left as they are, with their Content-Encoding. */
void http_server_decode(HttpServer *server, const bool codings[CODINGS]);
const HttpLimits *http_server_limits(const HttpServer *server);

/* Of the library for HTTP/2; empty without it. */
const char *http_nghttp2_version(void);

HttpStats http_server_stats(const HttpServer *server);

/* Back-pressure on an HTTP_BODY_STREAM body: no on_body between pause and resume. Pausing in
 * on_request also holds back the "100 Continue" that a client may wait for. */
void http_body_pause(HttpRequest *req);
void http_body_resume(HttpRequest *req);

#endif
