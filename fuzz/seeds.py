"""What the fuzzers begin with: each a list of inputs."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Mapping

from support.wire_documents import cases

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def frame(first: int, payload: bytes, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A client's frame; `first` is its first byte."""
    length = len(payload)
    head = struct.pack("!BB", first, 0x80 | length)
    if length > 125:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return head + mask + masked


def deflated(payload: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def websockets() -> list[bytes]:
    """Conversations: text, fragments, control frames, compression, the closing handshake."""
    close = frame(0x88, struct.pack("!H", 1000) + b"bye")
    plain = [
        frame(0x81, b"hello") + close,
        frame(0x01, b"he") + frame(0x89, b"ping") + frame(0x80, b"llo") + close,
        frame(0x82, bytes(range(200))) + frame(0x8A, b"") + frame(0x88, b""),
        frame(0x81, b"close") + close,
        frame(0x81, "ä€😀".encode()) + frame(0x81, b"\xff"),
    ]
    packed = [
        frame(0xC1, deflated(b"hello " * 20)) + frame(0xC2, deflated(b"hello")) + close,
        frame(0x41, deflated(b"hello")[:3]) + frame(0x80, deflated(b"hello")[3:]) + close,
    ]
    found = [UPGRADE + b"\r\n" + frames for frames in plain]
    return found + [UPGRADE + DEFLATE + b"\r\n" + frames for frames in packed]


def requests() -> list[bytes]:
    """What the layer above does depends on the last byte of the path (plan_of in http.c)."""
    body = b"Content-Length: 5\r\n\r\nhello"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: v\r\n\r\n"
    found = []
    for bits in range(64):
        line = b"POST /" + bytes([ord("/") ^ bits]) + b" HTTP/1.1\r\nHost: h\r\n"
        if 0x21 <= line[6] < 0x7F and line[6] not in b"?#":
            found += [(line + body) * 2, line + chunked, (line + chunked) * 2]
    return found


def http() -> list[bytes]:
    return [*(case.raw for case in cases()), *websockets(), *requests()]


# ---- HTTP/2 -----------------------------------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    *(0, 1, 2, 3, 4, 6, 7, 8, 9),
)
PRIORITY_UPDATE = 16
DRAIN, LOOK, IDLE, TURN, DEAF = range(0xF0, 0xF5)  # commands of h2.c
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def h2_frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def section(path: bytes = b"/", *, get: bool = False, fields: Mapping[int, bytes] = {}) -> bytes:
    """A header section in HPACK; names by their number in the static table, nothing indexed."""
    found = (b"\x82" if get else b"\x83") + b"\x86"
    for name, value in {4: path, 1: b"h", **fields}.items():
        number = bytes([name]) if name < 15 else bytes([15, name - 15])
        found += number + bytes([len(value)]) + value
    return found


def h2() -> list[bytes]:
    """Each kind of frame, alone and among others, and what the layer above does (plan_of)."""
    start = PREFACE + h2_frame(SETTINGS)
    whole = END_HEADERS | END_STREAM
    get = h2_frame(HEADERS, whole, 1, section(get=True))
    post = h2_frame(HEADERS, END_HEADERS, 1, section())
    data = h2_frame(DATA, END_STREAM, 1, b"hello")
    window = struct.pack("!HI", 4, 10)
    found = [
        start + get,
        PREFACE + h2_frame(SETTINGS, 0, 0, window) + post + data + h2_frame(SETTINGS, ACK),
        start + post + h2_frame(DATA, 0, 1, b"hel") + h2_frame(DATA, END_STREAM, 1, b"lo"),
        start + post + h2_frame(DATA, 8 | END_STREAM, 1, b"\x02hello\0\0"),
        start + post + h2_frame(RST_STREAM, 0, 1, struct.pack("!I", 8)) + get,
        start + h2_frame(PING, 0, 0, b"12345678") + h2_frame(GOAWAY, 0, 0, bytes(8)) + get,
        start + h2_frame(PRIORITY, 0, 1, struct.pack("!IB", 3, 9)) + get,
        start + h2_frame(PRIORITY_UPDATE, 0, 0, struct.pack("!I", 1) + b"u=1, i") + get,
        start + post + data[:9] + b"hello" + h2_frame(HEADERS, whole, 1, b"\x00\x01t\x01v"),
        start + get + h2_frame(DRAIN) + h2_frame(PING, ACK, 0, b"draining"),
        start + post + h2_frame(LOOK) + data + h2_frame(IDLE) + h2_frame(TURN),
        start + h2_frame(DEAF) + get * 3 + h2_frame(DEAF),
    ]
    half = section(b"/", fields={28: b"5"})
    for size in (1, 5, len(half)):
        head = h2_frame(HEADERS, 0, 1, half[:size])
        found.append(start + head + h2_frame(CONTINUATION, END_HEADERS, 1, half[size:]) + data)
    packed = gzip.compress(b"hello" * 40, mtime=0)
    coded = h2_frame(HEADERS, END_HEADERS, 1, section(fields={26: b"gzip", 16: b"br, zstd"}))
    found.append(start + coded + h2_frame(DATA, END_STREAM, 1, packed))
    for last in range(0x20, 0x80):
        several = [
            h2_frame(HEADERS, END_HEADERS, stream, section(b"/" + bytes([last])))
            for stream in (1, 3)
        ]
        more = h2_frame(WINDOW_UPDATE, 0, 1, struct.pack("!I", 100000))
        found.append(start + b"".join(several) + data + more)
    return found


# ---- Compressed bodies ------------------------------------------------------------------------

# Each stands for b"hello " four times.
CODED = {
    0: gzip.compress(b"hello " * 4, mtime=0),
    1: bytes.fromhex("1517000024406a9065eaf09c0e"),
    2: bytes.fromhex("28b52ffd20186500003068656c6c6f200100f14a11"),
}


def coded() -> list[bytes]:
    """The first byte is that of kind_of in coded.c."""
    found = []
    for first in range(256):
        body = CODED[first % 3]
        found.append(bytes([first]) + body)
        if first % 16 == 0:
            found += [bytes([first]) + body * 2, bytes([first]) + body[:-3], bytes([first])]
    return found


SEEDS: dict[str, Callable[[], list[bytes]]] = {"http": http, "h2": h2, "coded": coded}
