/* HttpRequest objects: creating, recycling and freeing them (see request.h). A server keeps a few
 * spare ones with their buffers. So a request on a busy connection allocates nothing, and an idle
 * connection has no request. The loop's thread.
 */
#include "base/py.h"

#include "http/server_private.h"

#include <llhttp.h>

enum {
    SPARE_MAX = 64,        /* requests kept for reuse */
    SPARE_HEAD = 8 * 1024, /* bytes kept of a spare request's buffers */
    SPARE_BODY = 4 * 1024,
    SPARE_FIELDS = 128,
};

static void
request_init(HttpRequest *req, HttpServer *server)
{
    req->refs = 1;
    req->server = server;
    req->content_length = -1;
    req->body_limit = server->limits.body;
    req->length_left = -1;
    req->host = -1;
    req->content_type = -1;
    req->cookie = -1;
    req->upgrade = -1;
}

static HttpRequest *
request_alloc(HttpServer *server)
{
    return PyMem_RawCalloc(1, sizeof(HttpRequest) + server->ops->app_size);
}

HttpRequest *
http_request_new(HttpServer *server)
{
    HttpRequest *req = server->spare;
    if (likely(req != NULL)) {
        server->spare = req->next;
        server->nspare--;
        req->next = NULL;
    } else {
        req = request_alloc(server);
        if (req == NULL) {
            return NULL;
        }
    }
    server->held++;
    request_init(req, server);
    return req;
}

/* ---- Without a connection ---------------------------------------------------------------- */

HttpRequest *
http_request_make(HttpServer *server, unsigned method, int minor, Slice path,
                  Slice query)
{
    HttpRequest *req = http_request_new(server);
    if (req == NULL) {
        return NULL;
    }
    req->told = true;
    req->requested = true;
    req->body_complete = true;
    req->response = HTTP_RESPONSE_DONE;
    req->method = (uint8_t)method;
    req->is_head = method == HTTP_HEAD;
    req->minor = (uint8_t)minor;
    if (buf_append_slice(&req->head, path) != 0 || buf_append(&req->head, "?", 1) != 0
        || buf_append_slice(&req->head, query) != 0) {
        http_request_unref(req);
        return NULL;
    }
    req->path_len = (uint32_t)path.len;
    req->query = (uint32_t)path.len + 1;
    req->query_len = (uint32_t)query.len;
    req->target_len = (uint32_t)(query.len != 0 ? req->head.len : path.len);
    return req;
}

/* ---- The end ----------------------------------------------------------------------------- */

static void
request_destroy(HttpRequest *req)
{
    buf_free(&req->sent_fields);
    buf_free(&req->head);
    buf_free(&req->body);
    PyMem_RawFree(req->fields);
    PyMem_RawFree(req);
}

/* Zeroes the request for reuse, and keeps its buffers up to SPARE_HEAD and SPARE_BODY. */
static void
request_recycle(HttpRequest *req)
{
    HttpServer *server = req->server;
    if (unlikely(req->sent_fields.cap != 0)) {
        buf_free(&req->sent_fields);
    }
    Buf head = req->head;
    Buf body = req->body;
    HttpField *fields = req->fields;
    uint32_t cap_fields = req->cap_fields;
    size_t size = sizeof(*req) + (req->told ? server->ops->app_size : 0);
    memset(req, 0, size);
    buf_reset(&head, SPARE_HEAD);
    buf_reset(&body, SPARE_BODY);
    req->head = head;
    req->body = body;
    req->fields = fields;
    req->cap_fields = cap_fields;
    req->next = server->spare;
    server->spare = req;
    server->nspare++;
}

void
http_request_unref(HttpRequest *req)
{
    assert(req->refs > 0);
    if (--req->refs != 0) {
        return;
    }
    HttpServer *server = req->server;
    if (req->told) {
        req->refs = 1; /* app_clear may run Python code that uses the request */
        server->ops->app_clear(req);
        assert(req->refs == 1);
    }
    if (server->nspare < SPARE_MAX && req->cap_fields <= SPARE_FIELDS
        && !server->freed) {
        request_recycle(req);
    } else {
        request_destroy(req);
    }
    server->held--;
    if (unlikely(server->freed && server->held == 0)) {
        server_release(server);
    }
}

void
request_trim(HttpRequest *req)
{
    char *head = PyMem_RawRealloc(req->head.ptr, req->head.len);
    if (head != NULL) {
        req->head.ptr = head;
        req->head.cap = req->head.len;
    }
    HttpField *fields = PyMem_RawRealloc(req->fields, req->nfields * sizeof(*fields));
    if (fields != NULL) {
        req->fields = fields;
        req->cap_fields = req->nfields;
    }
}

void
request_free_spare(HttpServer *server)
{
    while (server->spare != NULL) {
        HttpRequest *req = server->spare;
        server->spare = req->next;
        request_destroy(req);
    }
    server->nspare = 0;
}
