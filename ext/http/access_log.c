/* The access log (see access_log.h): the plain layout of the lines, and which lines are dropped.
 * access_format.c has the other layouts; log_writer.c writes the lines.
 */
#include "base/py.h"

#include "http/access_log.h"

#include "base/fmt.h"
#include "http/access_values.h"

enum {
    LOG_FLUSH = 32 * 1024, /* bytes: more than this is handed over at once */
    LOG_FIXED = 160,       /* most bytes of a line without target and reason */
    LOG_REPORT = 64,       /* most bytes of the line that reports dropped lines */
    LOG_USUAL = 512, /* a formatted line's bytes, as far as the limit is concerned */
};

static size_t
log_put(char *out, Slice text)
{
    memcpy(out, text.ptr, text.len);
    return text.len;
}

/* The target. The quotation mark and the backslash are escaped, because the log quotes the request
 * line. */
static size_t
log_put_target(char *out, Slice target)
{
    size_t n = 0;
    for (size_t i = 0; i < target.len; i++) {
        char c = target.ptr[i];
        if (c == '"') {
            n += log_put(out + n, SLICE("%22"));
        } else if (c == '\\') {
            n += log_put(out + n, SLICE("%5C"));
        } else {
            out[n++] = c;
        }
    }
    return n;
}

/* `GET /x HTTP/1.1`, or nothing when there is no target. */
static size_t
log_put_request_line(char *out, const HttpRequest *req)
{
    if (req == NULL || req->target_len == 0) {
        return 0;
    }
    size_t n = log_put(out, http_request_method(req));
    out[n++] = ' ';
    n += log_put_target(out + n, http_request_target(req));
    out[n++] = ' ';
    n += log_put(out + n, http_request_version(req));
    return n;
}

/* Whether a line of `more` bytes must be dropped. Once lines have been dropped, the waiting bytes must
 * first fall to half of the limit. */
static bool
log_is_full(const AccessLog *log, size_t more)
{
    if (log->limit == 0) {
        return false;
    }
    size_t limit = log->dropped == 0 ? log->limit : log->limit / 2;
    return log->lines.len + log_writer_waiting(log->writer) + more > limit;
}

static void
log_report(AccessLog *log)
{
    if (log->dropped == 0) {
        return;
    }
    if (log->format != NULL) {
        if (access_format_put_dropped(log->format, &log->lines, log->dropped) == 0) {
            log->dropped = 0;
        }
        return;
    }
    if (buf_reserve(&log->lines, LOG_REPORT) != 0) {
        return;
    }
    char *line = log->lines.ptr + log->lines.len;
    size_t n = log_put(line, SLICE("WARNING:  access log: "));
    n += fmt_decimal(line + n, log->dropped);
    n += log_put(line + n, log->dropped == 1 ? SLICE(" line") : SLICE(" lines"));
    n += log_put(line + n, SLICE(" dropped\n"));
    log->lines.len += n;
    log->dropped = 0;
}

/* Whether a line of `most` bytes may be added; counts it as dropped otherwise. */
static bool
log_has_room(AccessLog *log, size_t most)
{
    if (unlikely(log_is_full(log, most))) {
        log->dropped++;
        return false;
    }
    log_report(log);
    return true;
}

static void
log_flush_much(AccessLog *log)
{
    if (log->lines.len >= LOG_FLUSH) {
        access_log_flush(log);
    }
}

void
access_log_open(AccessLog *log, int fd, size_t limit)
{
    log_writer_free(log->writer);
    log->writer = fd < 0 ? NULL : log_writer_new(fd);
    log->limit = limit;
}

void
access_log_add(AccessLog *log, const NetAddr *peer, const HttpRequest *req, int status)
{
    if (log->writer == NULL || log->format != NULL) {
        return;
    }
    Slice reason = access_reason(status);
    size_t target_len = req != NULL ? req->target_len : 0;
    size_t most = LOG_FIXED + 3 * target_len + reason.len;
    if (!log_has_room(log, most)) {
        return;
    }
    if (buf_reserve(&log->lines, most) != 0) {
        return;
    }
    char *line = log->lines.ptr + log->lines.len;
    size_t n = log_put(line, SLICE("INFO:     "));
    n += net_addr_text(peer, line + n);
    n += log_put(line + n, SLICE(" - \""));
    n += log_put_request_line(line + n, req);
    n += log_put(line + n, SLICE("\" "));
    n += fmt_decimal(line + n, (uint64_t)status);
    line[n++] = ' ';
    n += log_put(line + n, reason);
    line[n++] = '\n';
    log->lines.len += n;
    log_flush_much(log);
}

void
access_log_entry(AccessLog *log, const AccessEntry *entry)
{
    if (log->writer == NULL) {
        return;
    }
    size_t most = LOG_USUAL + (entry->req != NULL ? entry->req->head.len : 0);
    if (!log_has_room(log, most)) {
        return;
    }
    (void)access_format_put(log->format, &log->lines, entry); /* or the line is lost */
    log_flush_much(log);
}

int
access_log_reopen(AccessLog *log, int fd)
{
    return log->writer == NULL ? 0 : log_writer_reopen(log->writer, fd);
}

void
access_log_flush(AccessLog *log)
{
    if (log->writer != NULL) {
        log_writer_put(log->writer, &log->lines);
    }
}

void
access_log_settle(AccessLog *log)
{
    if (log->writer != NULL) {
        log_report(log);
        access_log_flush(log);
        log_writer_settle(log->writer);
    }
}

void
access_log_free(AccessLog *log)
{
    access_log_settle(log);
    log_writer_free(log->writer);
    access_format_free(log->format);
    buf_free(&log->lines);
}
