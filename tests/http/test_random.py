"""Damaged requests: whatever arrives, answers are well-formed and the server stays whole.

The seeds are fixed, so that a failure can be repeated; a request that once did harm belongs
into tests/wire as a case.
"""

from __future__ import annotations

import random
import socket
from typing import Any

import pytest
from support.http_server import COLLECT, DISCARD, STREAM, Handler, Server, serving
from support.responses import Response, read_all

SOUND = [
    b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n",
    b"HEAD http://h/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /p HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    b"PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
]
SPICE = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"\xff", b"0", b"chunked"]
ROUNDS = 150


def damaged(rng: random.Random) -> bytes:
    """A few requests behind each other with a few bytes taken out, doubled, changed or put in."""
    raw = bytearray(b"".join(rng.choices(SOUND, k=rng.randint(1, 4))))
    for _ in range(rng.randint(0, 4)):
        at = rng.randrange(len(raw))
        kind = rng.randrange(4)
        if kind == 0:
            del raw[at : at + rng.randint(1, 20)]
        elif kind == 1:
            raw[at:at] = raw[at : at + rng.randint(1, 40)]
        elif kind == 2:
            raw[at] = rng.randrange(256)
        else:
            raw[at:at] = rng.choice(SPICE)
        if not raw:
            return b"\r\n"
    return bytes(raw)


class Moody(Handler):
    """Treats each request in another way."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng
        self.open = 0

    def head(self, request: Any) -> int:
        self.open += 1
        if self.rng.random() < 0.1:
            request.respond_error(404)
        return self.rng.choice([DISCARD, COLLECT, STREAM])

    def request(self, request: Any) -> None:
        mood = self.rng.random()
        if mood < 0.5:
            request.respond(200, b"x" * self.rng.choice([0, 10, 20_000]))
        elif mood < 0.55:
            request.abort()
        else:
            request.pause()
            self.later(lambda: self.stream(request))

    def stream(self, request: Any) -> None:
        request.stream_begin(200, self.rng.choice([-1, 4]))
        request.stream_write(b"ab")
        request.resume()
        request.stream_write(b"cd")
        self.later(request.stream_end)

    @staticmethod
    def later(call: Any) -> None:
        import asyncio

        asyncio.get_running_loop().call_soon(call)

    def cleared(self) -> None:
        self.open -= 1


def send(server: Server, raw: bytes, rng: random.Random) -> bytes:
    """In pieces; the answers."""
    with server.connect() as sock:
        try:
            while raw:
                size = rng.choice([1, 10, 1000])
                sock.sendall(raw[:size])
                raw = raw[size:]
                if rng.random() < 0.3:
                    server.call(int)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused already
        data, closed = read_all(sock)
    assert closed
    return data


@pytest.mark.parametrize("seed", range(8))
def test_damaged_requests(seed: int) -> None:
    rng = random.Random(seed)
    handler = Moody(random.Random(-seed))
    with serving(handler) as server:
        for _ in range(ROUNDS):
            raw = damaged(rng)
            data = send(server, raw, rng)
            try:
                Response.parse_all(data) if b"HEAD" not in raw else None
            except AssertionError as error:
                error.add_note(f"sent {raw!r}, got {data[:2000]!r}")
                raise
        (sound,) = server.send(SOUND[1])
        assert sound.status in (200, 404)
        server.call(int)
        server.call(int)
    assert handler.open == 0
