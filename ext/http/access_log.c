/* The access log (see access_log.h). Lines are lost rather than waited for when the descriptor
 * doesn't block and takes nothing for long.
 */
#include "base/py.h"

#include "http/access_log.h"

#include "base/fmt.h"
#include "http/response.h"

#include <errno.h>
#include <unistd.h>

enum {
    LOG_FLUSH = 32 * 1024, /* bytes: written at once past that */
    LOG_MAX = 1024 * 1024, /* bytes: lines are dropped past that */
    LOG_KEEP = 64 * 1024,  /* bytes of memory kept between flushes */
    LOG_FIXED = 160,       /* bytes at most of a line without target and reason */
};

static size_t
put(char *out, Slice text)
{
    memcpy(out, text.ptr, text.len);
    return text.len;
}

/* The target, with the two bytes escaped that would end or escape the quotation. */
static size_t
put_target(char *out, Slice target)
{
    size_t n = 0;
    for (size_t i = 0; i < target.len; i++) {
        char c = target.ptr[i];
        if (c == '"') {
            n += put(out + n, SLICE("%22"));
        } else if (c == '\\') {
            n += put(out + n, SLICE("%5C"));
        } else {
            out[n++] = c;
        }
    }
    return n;
}

/* `GET /x HTTP/1.1`, or nothing when there is no target. */
static size_t
put_request_line(char *out, const HttpRequest *req)
{
    if (req == NULL || req->target_len == 0) {
        return 0;
    }
    size_t n = put(out, http_request_method(req));
    out[n++] = ' ';
    n += put_target(out + n, http_request_target(req));
    n += put(out + n, req->minor == 0 ? SLICE(" HTTP/1.0") : SLICE(" HTTP/1.1"));
    return n;
}

void
access_log_add(AccessLog *log, const NetAddr *peer, const HttpRequest *req, int status)
{
    if (log->fd < 0 || log->lines.len > LOG_MAX) {
        return;
    }
    Slice reason = http_reason(status);
    size_t target_len = req != NULL ? req->target_len : 0;
    size_t most = LOG_FIXED + 3 * target_len + reason.len;
    if (buf_reserve(&log->lines, most) != 0) {
        return;
    }
    char *line = log->lines.ptr + log->lines.len;
    size_t n = put(line, SLICE("INFO:     "));
    n += net_addr_text(peer, line + n);
    n += put(line + n, SLICE(" - \""));
    n += put_request_line(line + n, req);
    n += put(line + n, SLICE("\" "));
    n += fmt_decimal(line + n, (uint64_t)status);
    line[n++] = ' ';
    n += put(line + n, reason);
    line[n++] = '\n';
    log->lines.len += n;
    if (log->lines.len >= LOG_FLUSH) {
        access_log_flush(log);
    }
}

void
access_log_flush(AccessLog *log)
{
    size_t done = 0;
    while (log->fd >= 0 && done < log->lines.len) {
        ssize_t n = write(log->fd, log->lines.ptr + done, log->lines.len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            log->fd = -1; /* nobody reads it any more */
        }
        if (n < 0) {
            break;
        }
        done += (size_t)n;
    }
    buf_consume(&log->lines, done);
    if (log->lines.len == 0) {
        buf_reset(&log->lines, LOG_KEEP);
    }
}

void
access_log_free(AccessLog *log)
{
    access_log_flush(log);
    buf_free(&log->lines);
}
