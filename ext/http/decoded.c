/* See decoded.h. A body in several codings is refused: only attackers send one. What a read brings is
 * decoded as a whole, so that at most 64 KiB times HttpLimits.decode_ratio, and 1 MiB, are in memory at once. */
#include "base/py.h"

#include "http/decoded.h"

#include "base/list.h"
#include "coding/decoder.h"
#include "http/conn.h"

#include <uv.h>

enum {
    FREE = 1024 * 1024, /* bytes that a body may have, whatever the ratio */
    KEEP = 64 * 1024,   /* bytes of scratch memory that stay allocated */
};

struct Decoded {
    Decoder *decoder; /* owned */
    uint64_t taken;   /* bytes that came */
    uint64_t made;    /* bytes that they stood for */
};

void
http_server_decode(HttpServer *server, const bool codings[CODINGS])
{
    for (Coding coding = CODING_GZIP; coding < CODINGS; coding++) {
        server->decodes[coding] = codings[coding];
        server->decodes[CODING_NONE] |= codings[coding];
    }
}

/* Takes the fields away that describe the coded body. */
static void
fields_forget(HttpRequest *req)
{
    int32_t *const known[] = {&req->host, &req->content_type, &req->cookie,
                              &req->upgrade};
    uint32_t kept = 0;
    for (uint32_t i = 0; i < req->nfields; i++) {
        Slice name = http_field_name(req, i);
        if (slice_eq(name, SLICE("content-encoding"))
            || slice_eq(name, SLICE("content-length"))) {
            continue;
        }
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
            if (*known[k] == (int32_t)i) {
                *known[k] = (int32_t)kept;
            }
        }
        req->fields[kept++] = req->fields[i];
    }
    req->nfields = kept;
    req->content_length = -1;
}

Fault
decoded_begin(HttpRequest *req, Decoded **out)
{
    int32_t at = http_field_find(req, SLICE("content-encoding"), 0);
    if (at < 0 || !req->has_body) {
        return FAULT_NONE;
    }
    Slice name = list_trim(http_field_value(req, (uint32_t)at));
    bool one = http_field_find(req, SLICE("content-encoding"), (uint32_t)at + 1) < 0;
    if (one && (name.len == 0 || slice_eq_nocase(name, SLICE("identity")))) {
        return FAULT_NONE;
    }
    Coding coding = one ? coding_find(name) : CODING_NONE;
    if (coding == CODING_NONE || !req->server->decodes[coding]) {
        return fault_make(415, "The content coding of the body is not supported");
    }
    Decoded *self = PyMem_RawCalloc(1, sizeof(*self));
    if (self == NULL || (self->decoder = decoder_open(coding)) == NULL) {
        PyMem_RawFree(self);
        return fault_make(503, "The server is out of memory");
    }
    *out = self;
    fields_forget(req);
    return FAULT_NONE;
}

/* The most bytes that the next piece may decode to. `*is_ratio`: HttpLimits.decode_ratio is the tighter of the two
 * limits. */
static uint64_t
decoded_most(const Decoded *self, const HttpRequest *req, bool *is_ratio)
{
    uint64_t ratio = req->server->limits.decode_ratio;
    uint64_t limit = req->body_limit;
    uint64_t by_ratio = ratio == 0 ? INT64_MAX : self->taken * ratio + FREE;
    uint64_t most = limit == 0 || by_ratio < limit ? by_ratio : limit;
    *is_ratio = most == by_ratio;
    return most - self->made;
}

Fault
decoded_piece(Decoded *self, HttpRequest *req, Slice piece, Slice *out)
{
    Buf *scratch = &req->server->scratch;
    bool is_ratio;
    buf_reset(scratch, KEEP);
    self->taken += piece.len;
    int err =
        decoder_put(self->decoder, piece, decoded_most(self, req, &is_ratio), scratch);
    self->made += scratch->len;
    *out = buf_slice(scratch);
    switch (err) {
    case 0:
        return FAULT_NONE;
    case UV_EMSGSIZE:
        return is_ratio
                   ? (Fault){413, "The body is compressed too much", "decode_ratio"}
                   : exchange_excess(req);
    case UV_ENOMEM:
        return fault_make(503, "The server is out of memory");
    default:
        return fault_make(400, "The compressed body is malformed");
    }
}

bool
decoded_is_cut(const Decoded *self)
{
    return self != NULL && self->taken != 0 && !self->decoder->complete;
}

void
decoded_free(Decoded *self)
{
    if (self != NULL) {
        decoder_close(self->decoder);
        PyMem_RawFree(self);
    }
}
