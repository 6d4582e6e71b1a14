/* What is set on a server before it listens, or while it serves (see server.h): its limits, whom it trusts, which
 * paths are special, its certificates and its access log.
 */
#include "base/py.h"

#include "http/server_private.h"

/* ---- Limits ------------------------------------------------------------------------------- */

void
http_limits_default(HttpLimits *limits)
{
    *limits = (HttpLimits){
        .request_line = 8 * 1024,
        .header_block = 64 * 1024,
        .header_fields = 100,
        .body = 16 * 1024 * 1024,
        .form_size = 2147483648, /* 2 GiB */
        .trailer_block = 8 * 1024,
        .chunk_extensions = 4 * 1024,
        .header_timeout = 10 * 1000,
        .body_rate = 240,
        .body_grace = 5 * 1000,
        .keep_alive = 75 * 1000,
        .write_timeout = 60 * 1000,
        .half_closed = 5 * 1000,
        .linger_time = 30 * 1000,
        .linger_timeout = 5 * 1000,
        .linger_bytes = 48 * 1024 * 1024,
        .connections = 65536,
        .in_flight = 16384,
        .request_timeout = 0,
        .pipelined = 64 * 1024,
        .h2 = 1,
        .h2_streams = 128,
        .h2_window = 256 * 1024,
        .h2_resets = 200,
        .h2_controls = 1000,
        .h2_continuations = 16,
        .h2_stall = 30 * 1000,
        .ws_message = 16 * 1024 * 1024,
        .ws_frame = 16 * 1024 * 1024,
        .ws_queue = 32,
        .ws_ping_interval = 20 * 1000,
        .ws_ping_timeout = 20 * 1000,
        .ws_close_timeout = 10 * 1000,
        .ws_deflate = 1,
        .ws_deflate_threshold = 64,
        .decode_ratio = 100,
        .log_buffer = 1024 * 1024,
    };
}

/* ---- The rest ----------------------------------------------------------------------------- */

int
http_server_ws_origins(HttpServer *server, Slice origins)
{
    buf_clear(&server->ws_origins);
    return buf_append_slice(&server->ws_origins, origins);
}

int
http_server_hosts(HttpServer *server, Slice hosts)
{
    server->rare = hosts.len != 0 ? RARE_HOSTS : 0;
    buf_clear(&server->hosts);
    return buf_append_slice(&server->hosts, hosts);
}

int
http_server_probes(HttpServer *server, Slice paths)
{
    buf_clear(&server->probes);
    return buf_append_slice(&server->probes, paths);
}

int
http_server_urgent(HttpServer *server, Slice paths)
{
    buf_clear(&server->urgent);
    return buf_append_slice(&server->urgent, paths);
}

int
http_server_fields(HttpServer *server, Slice lines, bool no_server, bool no_date)
{
    server->no_server = no_server;
    server->no_date = no_date;
    buf_clear(&server->added);
    return buf_append_slice(&server->added, lines);
}

int
http_server_proxies(HttpServer *server, Slice nets, bool unix_sockets, uint8_t fields)
{
    return trust_set(&server->trust, nets, unix_sockets, fields);
}

int
http_server_greeters(HttpServer *server, Slice nets, bool unix_sockets)
{
    server->has_greeters = true;
    return trust_set(&server->greeters, nets, unix_sockets, 0);
}

int
http_server_request_ids(HttpServer *server, Slice name)
{
    return request_ids_set(&server->ids, name);
}

int
http_server_secure(HttpServer *server, SecureSet *set)
{
    if (server->secure != NULL) {
        secure_host_renew(server->secure, set);
        return 0;
    }
    assert(server->state == SERVER_NEW);
    server->secure = secure_host_new(set);
    return server->secure == NULL ? UV_ENOMEM : 0;
}

bool
http_server_is_secure(const HttpServer *server)
{
    return server->secure != NULL;
}

void
http_server_access_log(HttpServer *server, int fd)
{
    access_log_open(&server->log, fd, server->limits.log_buffer);
}

int
http_server_reopen_log(HttpServer *server, int fd)
{
    return access_log_reopen(&server->log, fd);
}

void
http_server_access_format(HttpServer *server, AccessFormat *format)
{
    access_format_free(server->log.format);
    server->log.format = format;
}
