/* A fuzzer of HTTP/2 connections: the input is what a client sends, frame by frame. Mutations are of frames
 * (LLVMFuzzerCustomMutator), so that most inputs get past nghttp2. Frames of the types CMD_* aren't sent:
 * each is a thing that happens to the connection at this point.
 *
 * Compressed bodies of requests are decoded, and responses are compressed for clients that accept it. What is
 * answered is not compared, as it depends on when windows open; but the connection must end
 * without a request left.
 * Thread: see app.h.
 */
#include "base/py.h"

#include "app.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    HEAD = 9,     /* bytes of a frame's head */
    MOST = 4096,  /* bytes of a frame that is made up */
    FRAMES = 256, /* of an input; what follows is kept as it is */

    CMD_DRAIN = 0xf0, /* the server says that it will end */
    CMD_LOOK,         /* the deadline of open streams passes */
    CMD_IDLE,         /* that of an idle connection */
    CMD_TURN,         /* the loop goes on */
    CMD_DEAF,         /* the client stops reading, or begins again */
    CMD_END,
};

/* A frame within an input. */
typedef struct Part {
    size_t at, len; /* with its head */
    uint8_t type;
} Part;

static Reply reply;
static const char preface[] = NGHTTP2_CLIENT_MAGIC;

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size,
                                 const uint8_t *two, size_t two_size, uint8_t *out,
                                 size_t most, unsigned seed);

/* ---- Frames ------------------------------------------------------------------------------ */

/* Finds the frames after the preface. Returns how many. */
static size_t
parts_find(Part *parts, const uint8_t *data, size_t size)
{
    size_t n = 0, at = NGHTTP2_CLIENT_MAGIC_LEN;
    if (size < at || memcmp(data, preface, at) != 0) {
        return 0;
    }
    while (n < FRAMES && at + HEAD <= size) {
        size_t len = (size_t)data[at] << 16 | (size_t)data[at + 1] << 8 | data[at + 2];
        size_t left = size - at - HEAD;
        Part part = {at, HEAD + (len < left ? len : left), data[at + 3]};
        parts[n++] = part;
        at += part.len;
    }
    return n;
}

static void
length_set(uint8_t *frame, size_t len)
{
    frame[0] = (uint8_t)(len >> 16);
    frame[1] = (uint8_t)(len >> 8);
    frame[2] = (uint8_t)len;
}

/* ---- One input --------------------------------------------------------------------------- */

static void
command(uint8_t type, bool *deaf)
{
    HttpConn *c = fuzz_conn();
    bool spoken = c != NULL && c->state == CONN_UPGRADED;
    if (type == CMD_DRAIN && spoken) {
        c->upgrade->drain(c);
    } else if ((type == CMD_LOOK || type == CMD_IDLE) && spoken) {
        conn_expired(c, type == CMD_LOOK ? DEADLINE_H2_LOOK : DEADLINE_H2_IDLE);
    } else if (type == CMD_DEAF) {
        *deaf = !*deaf;
    }
    fuzz_turn();
}

/* Sends a piece, unless the server doesn't read now. False when it has closed. */
static bool
piece_send(int fd, Slice piece, bool deaf)
{
    if (!deaf) {
        return fuzz_send(&reply, fd, piece);
    }
    for (int i = 0; piece.len != 0 && i < 8; i++) {
        ssize_t n = send(fd, piece.ptr, piece.len, MSG_NOSIGNAL);
        piece.ptr += n < 0 ? 0 : n;
        piece.len -= n < 0 ? 0 : (size_t)n;
        fuzz_turn();
    }
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {MOST, MOST, MOST, 500, 61, 16, 5, 1};
    Part parts[FRAMES];
    Slice rest = slice_of((const char *)data, size);
    size_t n = parts_find(parts, data, size), done = 0;
    size_t step = size == 0 ? MOST : steps[(data[size - 1] ^ size) & 7];
    step = step < size / 100 ? size / 100 : step;
    bool deaf = false, open = true;
    int fd = fuzz_open(&reply);
    for (size_t i = 0; open && i <= n; i++) {
        bool last = i == n;
        if (!last && (parts[i].type < CMD_DRAIN || parts[i].type >= CMD_END)) {
            continue;
        }
        size_t end = last ? size : parts[i].at;
        while (open && done < end) {
            size_t some = end - done < step ? end - done : step;
            open = piece_send(fd, slice_of(rest.ptr + done, some), deaf);
            done += some;
        }
        if (!last) {
            command(parts[i].type, &deaf);
            done += parts[i].len;
        }
    }
    fuzz_close(&reply, fd, open);
    return 0;
}

/* ---- Making up frames -------------------------------------------------------------------- */

static unsigned dice;

static unsigned
roll(unsigned sides)
{
    dice = dice * 1103515245 + 12345;
    return (dice >> 16 & 0x7fff) % sides;
}

/* Appends a header field without indexing, its name by its number in HPACK's table. */
static size_t
field_put(uint8_t *out, unsigned name, const char *value, size_t len)
{
    size_t n = 0;
    out[n++] = name < 15 ? (uint8_t)name : 15;
    if (name >= 15) {
        out[n++] = (uint8_t)(name - 15);
    }
    out[n++] = (uint8_t)len;
    memcpy(out + n, value, len);
    return n + len;
}

/* A header section: mostly a good request. */
static size_t
section_put(uint8_t *out)
{
    static const char *const codings[] = {"gzip", "br", "zstd", "identity", "br, gzip"};
    size_t n = 0;
    char path[2] = {'/', (char)(0x20 + roll(0x60))}, digits[12];
    out[n++] = roll(8) == 0 ? 0x82 : 0x83; /* GET, POST */
    out[n++] = 0x86;                       /* :scheme http */
    n += field_put(out + n, 4, path, 2);
    if (roll(16) != 0) {
        n += field_put(out + n, 1, "h", 1);
    }
    if (roll(3) == 0) {
        int len = snprintf(digits, sizeof digits, "%u", roll(5) == 0 ? 5000 : roll(40));
        n += field_put(out + n, 28, digits, (size_t)len);
    }
    if (roll(4) == 0) {
        const char *coding = codings[roll(5)];
        n += field_put(out + n, roll(2) ? 16 : 26, coding, strlen(coding));
    }
    if (roll(8) == 0) {
        n += field_put(out + n, 35, "100-continue", 12);
    }
    for (unsigned i = roll(4); i != 0; i--) {
        static const uint8_t others[] = {0xbe, 0xbf, 0x20, 0x3f,
                                         0x40, 0x90, 0x84, 0x51};
        out[n++] = roll(4) == 0 ? others[roll(8)] : (uint8_t)(0x8f + roll(40));
    }
    return n;
}

static size_t
settings_put(uint8_t *out)
{
    static const uint32_t values[] = {0,     1,       100,       16384,
                                      65535, 1 << 20, INT32_MAX, UINT32_MAX};
    size_t n = 0;
    for (unsigned i = roll(4); i != 0; i--) {
        uint32_t value = values[roll(8)];
        out[n++] = 0;
        out[n++] = (uint8_t)(1 + roll(9));
        for (int shift = 24; shift >= 0; shift -= 8) {
            out[n++] = (uint8_t)(value >> shift);
        }
    }
    return n;
}

static size_t
data_put(uint8_t *out, size_t most)
{
    static const uint8_t gzip[] = {0x1f, 0x8b, 8,    0,    0,    0,    0, 0, 0, 3, 0x4b,
                                   4,    0,    0x43, 0xbe, 0xb7, 0xe8, 1, 0, 0, 0};
    if (roll(4) == 0) {
        memcpy(out, gzip, sizeof gzip);
        return sizeof gzip;
    }
    size_t len = roll(8) == 0 ? roll(3000) : roll(24);
    len = len < most ? len : most;
    memset(out, 'd', len);
    return len;
}

/* Puts the payload of a frame, at most `most` bytes, with room for 200 at least. */
static size_t
payload_put(uint8_t *out, size_t most, uint8_t type)
{
    static const uint32_t windows[] = {1, 100, 40000, 1 << 20, INT32_MAX, 0};
    uint32_t number = type == NGHTTP2_WINDOW_UPDATE ? windows[roll(6)] : roll(14);
    switch (type) {
    case NGHTTP2_DATA:
        return data_put(out, most);
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:
        return section_put(out);
    case NGHTTP2_SETTINGS:
        return settings_put(out);
    case NGHTTP2_PRIORITY:
        memset(out, 0, 5);
        out[3] = (uint8_t)roll(8);
        return 5;
    case NGHTTP2_PRIORITY_UPDATE:
        memcpy(out, "\0\0\0\1u=0,i", 9);
        out[3] = (uint8_t)(1 + 2 * roll(6));
        return 4 + roll(6);
    case NGHTTP2_PING:
        memset(out, (int)roll(256), 8);
        return 8;
    case NGHTTP2_GOAWAY:
        memset(out, 0, 8);
        return 8;
    case NGHTTP2_RST_STREAM:
    case NGHTTP2_WINDOW_UPDATE:
        for (int i = 0; i < 4; i++) {
            out[i] = (uint8_t)(number >> (24 - 8 * i));
        }
        return 4;
    default:
        return 0;
    }
}

static uint8_t
flags_roll(uint8_t type)
{
    switch (type) {
    case NGHTTP2_HEADERS: /* END_HEADERS mostly, END_STREAM often */
        return (roll(8) ? 4 : 0) | (roll(2) ? 1 : 0);
    case NGHTTP2_CONTINUATION:
        return roll(2) ? 4 : 0;
    case NGHTTP2_DATA:
        return roll(3) == 0;
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PING:
        return roll(6) == 0;
    default:
        return 0;
    }
}

/* The stream of the last HEADERS before `at`, and perhaps the next one. */
static uint32_t
stream_roll(const Part *parts, size_t n, const uint8_t *data, bool opens)
{
    uint32_t newest = 0;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].type == NGHTTP2_HEADERS && parts[i].len >= HEAD) {
            const uint8_t *id = data + parts[i].at + 5;
            newest = (uint32_t)(id[2] & 0xf) << 8 | id[3];
        }
    }
    if (roll(16) == 0) {
        return roll(12);
    }
    if (opens && roll(8) != 0) {
        return newest + (newest & 1 ? 2 : 1);
    }
    return newest == 0 ? 1 : newest - (roll(3) == 0 && newest > 2 ? 2 : 0);
}

/* Puts a whole frame that may follow the first `n` parts. */
static size_t
frame_put(uint8_t *out, size_t most, const Part *parts, size_t n, const uint8_t *data)
{
    static const uint8_t types[] = {
        0, 0, 0, 1, 1, 1,  1,         2,        3,        3,        4,
        6, 7, 8, 8, 9, 16, CMD_DRAIN, CMD_LOOK, CMD_IDLE, CMD_TURN, CMD_DEAF};
    uint8_t type = types[roll(sizeof types)];
    bool whole = type == NGHTTP2_SETTINGS || type == NGHTTP2_PING
                 || type == NGHTTP2_GOAWAY || type == NGHTTP2_PRIORITY_UPDATE
                 || (type == NGHTTP2_WINDOW_UPDATE && roll(2)) || type >= CMD_DRAIN;
    uint32_t id = whole ? 0 : stream_roll(parts, n, data, type == NGHTTP2_HEADERS);
    size_t len = payload_put(out + HEAD, most - HEAD, type);
    out[3] = type;
    out[4] = flags_roll(type);
    for (int i = 0; i < 4; i++) {
        out[5 + i] = (uint8_t)(id >> (24 - 8 * i));
    }
    length_set(out, len);
    return HEAD + len;
}

/* ---- Mutations --------------------------------------------------------------------------- */

/* Replaces `cut` bytes at `at` by `len` others, if there is room. Returns the new size. */
static size_t
bytes_replace(uint8_t *data, size_t size, size_t most, size_t at, size_t cut,
              const uint8_t *bytes, size_t len)
{
    if (size - cut + len > most) {
        return size;
    }
    memmove(data + at + len, data + at + cut, size - at - cut);
    memcpy(data + at, bytes, len);
    return size - cut + len;
}

/* Changes the bytes of one frame. */
static size_t
frame_mutate(uint8_t *data, size_t size, size_t most, Part part)
{
    uint8_t frame[HEAD + MOST];
    if (part.len > HEAD + MOST / 2) {
        return size;
    }
    memcpy(frame, data + part.at, part.len);
    size_t len = part.len - HEAD;
    switch (roll(5)) {
    case 0:
        frame[4] = (uint8_t)(roll(2) ? roll(64) : 1U << roll(6));
        break;
    case 1:
        frame[8] = (uint8_t)(roll(2) ? frame[8] + 2U : roll(12));
        break;
    case 2:
        frame[3] = (uint8_t)roll(17);
        break;
    default:
        len = LLVMFuzzerMutate(frame + HEAD, len, len + 64);
        length_set(frame, len);
        break;
    }
    return bytes_replace(data, size, most, part.at, part.len, frame, HEAD + len);
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    Part parts[FRAMES];
    uint8_t frame[HEAD + MOST];
    dice = seed;
    if (size < NGHTTP2_CLIENT_MAGIC_LEN + HEAD && most > 200) {
        static const uint8_t start[HEAD] = {0, 0, 0, NGHTTP2_SETTINGS};
        memcpy(data, preface, NGHTTP2_CLIENT_MAGIC_LEN);
        memcpy(data + NGHTTP2_CLIENT_MAGIC_LEN, start, HEAD);
        size = NGHTTP2_CLIENT_MAGIC_LEN + HEAD;
    }
    size_t n = parts_find(parts, data, size);
    if (n == 0 || roll(30) == 0) {
        return LLVMFuzzerMutate(data, size, most);
    }
    for (unsigned times = 1 + roll(3); times != 0; times--) {
        n = parts_find(parts, data, size);
        size_t which = roll((unsigned)n);
        Part part = parts[which];
        size_t end = part.at + part.len;
        switch (roll(8)) {
        case 0: /* leaves it out */
            size = n > 1 ? bytes_replace(data, size, most, part.at, part.len, frame, 0)
                         : size;
            break;
        case 1: /* repeats it */
            if (part.len <= sizeof frame) {
                memcpy(frame, data + part.at, part.len);
                size = bytes_replace(data, size, most, end, 0, frame, part.len);
            }
            break;
        case 2:
        case 3:
            size = frame_mutate(data, size, most, part);
            break;
        default: {
            bool last = roll(2);
            size_t before = last ? n : which + 1, at = last ? size : end;
            size_t len = frame_put(frame, 512, parts, before, data);
            size = bytes_replace(data, size, most, at, 0, frame, len);
        }
        }
    }
    return size;
}

size_t
LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size, const uint8_t *two,
                          size_t two_size, uint8_t *out, size_t most, unsigned seed)
{
    Part ones[FRAMES], twos[FRAMES];
    size_t n = parts_find(ones, one, one_size), m = parts_find(twos, two, two_size);
    dice = seed;
    if (n == 0 || m == 0) {
        return 0;
    }
    const Part *cut = &ones[roll((unsigned)n)], *from = &twos[roll((unsigned)m)];
    size_t head = cut->at + cut->len, tail = two_size - from->at;
    if (head + tail > most) {
        return 0;
    }
    memcpy(out, one, head);
    memcpy(out + head, two + from->at, tail);
    return head + tail;
}

/* ---- The beginning ----------------------------------------------------------------------- */

/* Small ones, so that small inputs reach them. */
static void
limits_set(HttpLimits *limits)
{
    http_limits_default(limits);
    limits->request_line = 256;
    limits->header_block = 512;
    limits->header_fields = 12;
    limits->body = 4096;
    limits->trailer_block = 128;
    limits->h2 = 1;
    limits->h2_streams = 12;
    limits->h2_window = 2048;
    limits->h2_resets = 8;
    limits->h2_controls = 24;
    limits->h2_continuations = 3;
    limits->h2_stall = 1;
    limits->body_grace = 1;
    limits->in_flight = 10;
}

int
LLVMFuzzerInitialize(int *Py_UNUSED(argc), char ***Py_UNUSED(argv))
{
    HttpLimits limits;
    limits_set(&limits);
    fuzz_large = true;
    HttpServer *server = fuzz_start(&limits);
    const HttpCompression rules = {
        .codings = {CODING_GZIP, CODING_BROTLI, CODING_ZSTD},
        .levels = {1, 1, 1},
        .n = 3,
        .least = 8,
        .types = SLICE("text/*"),
    };
    fuzz_check(http_server_compress(server, &rules) == 0, "nothing is compressed");
    http_server_decode(server, (const bool[CODINGS]){false, true, true, true});
    return 0;
}
