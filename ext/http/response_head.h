/* The head of a response as bytes, appended to HttpServer.out. Thread: the loop's. */
#ifndef FLUVIAL_HTTP_RESPONSE_HEAD_H
#define FLUVIAL_HTTP_RESPONSE_HEAD_H

#include "http/response_fields.h"
#include "http/server_private.h"

typedef struct ResponseHead {
    int status;
    Slice content_type;       /* empty: none */
    const HttpFields *fields; /* borrowed; may be NULL */
    int64_t length;           /* Content-Length; -1: none */
    bool chunked;
    bool close;
    bool
        keep_alive; /* send "Connection: keep-alive": the default of HTTP/1.0 is close */
    Slice reason;   /* empty: http_reason(status) */
    Slice id;       /* of the request; empty: none */
} ResponseHead;

/* The value of Content-Length for a body of `length` bytes (-1: not known). -1: no such field. */
static inline int64_t
response_stated_length(const HttpRequest *req, const HttpHead *head, int64_t length)
{
    const HttpFields *fields = head->fields;
    bool stated = fields != NULL && fields->has_content_length;
    if (head->status == 204) {
        return -1;
    }
    if (head->status == 304 || (req->is_head && length <= 0)) {
        return stated ? fields->content_length : head->status == 304 ? -1 : length;
    }
    return length < 0 && stated ? fields->content_length : length;
}

/* Takes fields off `lines`, which are those of http_server_fields that are left, until one is found that the response
 * gets, too: "name: value\r\n". False: there is none. */
bool response_next_added(const ResponseHead *head, Slice *lines, Slice *line);

/* Appends the head, and reserves room for `more` bytes after it. 0 or UV_ENOMEM. */
int response_put_head(HttpServer *server, const ResponseHead *head, size_t more);

/* Appends an interim response: a status line and fields. 0 or UV_ENOMEM. */
int response_put_interim(HttpServer *server, int status, const HttpFields *fields);

enum { DETAIL_BODY_MAX = 160 }; /* bytes */

/* The body {"detail": detail}, in `room`. The detail must need no JSON escapes, and have 140 bytes at most. */
Slice response_detail(char room[DETAIL_BODY_MAX], Slice detail);

/* Adds to the refusal of a body's content coding (415) those that are taken, in Accept-Encoding (RFC 9110 section
 * 15.5.16). Nothing for other statuses. */
void response_offer_codings(const HttpServer *server, int status, HttpFields *fields);
/* Appends a whole response {"detail": fault.detail} to the request with this id that ends the connection.
 * `bodyless`: without the body, for HEAD. The detail must need no JSON escapes. Returns the bytes of its body; 0 also when out of
 * memory, and then nothing is appended. */
size_t response_put_refusal(HttpServer *server, Fault fault, Slice id, bool bodyless);

#endif
