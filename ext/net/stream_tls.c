/* TLS on a stream (see stream.h): connects libuv's callbacks to a SecureLink. The loop's thread, with
 * the GIL.
 *
 * Records are read into the loop's shared buffer after a gap of GAP bytes. Their plaintext is written to
 * the same buffer from its beginning. So everything that one read brings is passed on in one piece.
 */
#include "base/py.h"

#include "net/stream_private.h"

#include "net/server_tls_link.h"

enum {
    GAP = SECURE_RECORD + 64,  /* bytes before the records, see secure_link_read */
    SEND_AT_ONCE = 128 * 1024, /* bytes of plaintext that are sealed before a write */
    UNASKED_MAX = 16
        * 1024, /* bytes of TLS's own records for a peer that doesn't read */
};

void
stream_secure(Stream *s, SecureLink *link)
{
    assert(s->state == STREAM_OPEN && !s->reading && s->ops->on_alloc == NULL);
    s->secure = link;
}

bool
stream_secure_is_ready(const Stream *s)
{
    return s->secure->ready;
}

const char *
stream_secure_reason(const Stream *s)
{
    return s->secure == NULL ? NULL : s->secure->reason;
}

uint64_t
stream_secure_surplus(const Stream *s)
{
    return s->secure == NULL ? 0 : s->secure->sealed - s->secure->plain;
}

/* ---- Reading ------------------------------------------------------------------------------ */

void
stream_secure_alloc(uv_handle_t *handle, size_t Py_UNUSED(suggested), uv_buf_t *buf)
{
    uv_buf_t all = loop_read_buffer(stream_of(handle)->loop);
    *buf = all.len <= GAP ? uv_buf_init(NULL, 0)
                          : uv_buf_init(all.base + GAP, (unsigned)all.len - GAP);
}

/* Sends the records that TLS itself has produced. A peer that causes many of them and doesn't read would
 * fill our memory, so UNASKED_MAX limits them. */
static int
link_send_own(Stream *s)
{
    SecureLink *link = s->secure;
    Buf *out = &link->host->out;
    if (out->len == 0) {
        return 0;
    }
    link->unasked = s->over_high ? link->unasked + out->len : 0;
    int err = stream_put(s, out);
    return err == 0 && link->unasked > UNASKED_MAX ? UV_ENOBUFS : err;
}

/* Whether the first bytes are an HTTP request's. Those of TLS begin with 22 (RFC 8446 section 5.1). */
static bool
link_is_plain(const Stream *s, Slice first)
{
    return s->ops->on_plain != NULL && first.ptr[0] >= 'A' && first.ptr[0] <= 'Z';
}

/* Goes on without TLS. */
static void
link_give_up(Stream *s)
{
    stream_read_stop(s);
    secure_link_free(s->secure);
    s->secure = NULL;
    s->ops->on_plain(s);
}

/* Handles records that have arrived. The owner may close the stream in each callback. Plaintext that
 * arrives together with a broken record is dropped, because no response could be sent any more. */
static void
link_feed(Stream *s, Slice records)
{
    SecureLink *link = s->secure;
    if (unlikely(!link->begun)) {
        link->begun = true;
        if (link_is_plain(s, records)) {
            link_give_up(s);
            return;
        }
    }
    bool was_ready = link->ready;
    char *plain = (char *)records.ptr - GAP;
    size_t got;
    SecureStep step = secure_link_read(link, records, plain, &got);
    int err = link_send_own(s);
    if (link->ready && !was_ready && s->ops->on_secure != NULL) {
        s->ops->on_secure(s);
    }
    if (got != 0 && step != SECURE_FAILED && s->state == STREAM_OPEN) {
        s->ops->on_data(s, slice_of(plain, got));
    }
    if (step == SECURE_FAILED || err != 0) {
        stream_fail(s, err != 0 ? err : UV_EPROTO);
    } else if (step == SECURE_ENDED && s->state == STREAM_OPEN) {
        stream_read_ended(s, UV_EOF);
    }
}

void
stream_secure_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    Stream *s = stream_of(stream);
    if (!loop_enter(s->loop) || !s->reading) {
        return;
    }
    if (nread > 0) {
        link_feed(s, slice_of(buf->base, (size_t)nread));
    } else {
        stream_read_ended(s, nread);
    }
}

void
stream_secure_feed(Stream *s, Slice early)
{
    uv_buf_t all = loop_read_buffer(s->loop);
    size_t room = all.len - GAP;
    while (early.len != 0 && s->state == STREAM_OPEN && s->reading
           && s->secure != NULL) {
        size_t size = early.len < room ? early.len : room;
        memcpy(all.base + GAP, early.ptr, size);
        early = slice_of(early.ptr + size, early.len - size);
        link_feed(s, slice_of(all.base + GAP, size));
    }
}

/* ---- Writing ------------------------------------------------------------------------------ */

/* Seals `plain` into records, and writes them out whenever SEND_AT_ONCE bytes have gathered. */
static int
link_seal(Stream *s, Slice plain)
{
    Buf *out = &s->secure->host->out;
    int err = 0;
    while (plain.len != 0 && err == 0) {
        size_t size = plain.len < SEND_AT_ONCE ? plain.len : SEND_AT_ONCE;
        err = secure_link_write(s->secure, slice_of(plain.ptr, size));
        plain = slice_of(plain.ptr + size, plain.len - size);
        if (err == 0 && out->len >= SEND_AT_ONCE) {
            err = stream_put(s, out);
        }
    }
    return err;
}

/* Adds `piece` to the current record, which has `*have` bytes so far. Whole records are sealed directly
 * from `piece`. */
static int
link_pack(Stream *s, Slice piece, size_t *have)
{
    char *record = s->secure->host->record;
    int err = 0;
    while (piece.len != 0 && err == 0) {
        size_t size;
        if (*have == 0 && piece.len >= SECURE_RECORD) {
            size = piece.len - piece.len % SECURE_RECORD;
            err = link_seal(s, slice_of(piece.ptr, size));
        } else {
            size_t room = SECURE_RECORD - *have;
            size = piece.len < room ? piece.len : room;
            memcpy(record + *have, piece.ptr, size);
            *have += size;
        }
        if (*have == SECURE_RECORD) {
            err = link_seal(s, slice_of(record, SECURE_RECORD));
            *have = 0;
        }
        piece = slice_of(piece.ptr + size, piece.len - size);
    }
    return err;
}

int
stream_secure_send(Stream *s, const uv_buf_t *bufs, unsigned n)
{
    SecureLink *link = s->secure;
    size_t have = 0;
    int err = link->ready && !link->shut ? 0 : UV_EPIPE;
    if (err == 0 && n == 1) {
        err = link_seal(s, slice_of(bufs->base, bufs->len));
    } else {
        for (unsigned i = 0; i < n && err == 0; i++) {
            err = link_pack(s, slice_of(bufs[i].base, bufs[i].len), &have);
        }
        if (err == 0) {
            err = link_seal(s, slice_of(link->host->record, have));
        }
    }
    if (err != 0) {
        buf_clear(&link->host->out);
        return err;
    }
    return stream_put(s, &link->host->out);
}

void
stream_secure_end(Stream *s)
{
    secure_link_shut(s->secure);
    (void)stream_put(
        s, &s->secure->host->out); /* the next read or write reports an error */
}
