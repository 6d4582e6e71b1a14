"""After the last answer: what a client still sends is read, so that it gets the answer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.http_server import DISCARD, STREAM, Handler, serving
from support.responses import Response, read_all

if TYPE_CHECKING:
    import socket

MEGABYTE = b"x" * 1_000_000
LENGTH = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n%s\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


class Denying(Handler):
    """Answers at the head, and reads nothing."""

    mode = STREAM

    def answer(self, request: Any) -> None:
        request.pause()
        request.respond(401, b"no")


class Deciding(Handler):
    """Answers before the body has come."""

    mode = DISCARD

    def head(self, request: Any) -> int:
        super().head(request)
        request.respond(403, b"no")
        return DISCARD


@pytest.mark.parametrize(
    ("handler", "raw", "status"),
    [
        (Handler, LENGTH % b"", 413),
        (Handler, LENGTH % b"Expect: 100-continue\r\n", 413),
        (Handler, CHUNKED + b"1312d00\r\n", 413),
        (Handler, b"BAD\r\n\r\n", 501),
        (Handler, b"GET /" + b"x" * 9000, 414),
        (Handler, b"GET / HTTP/1.1\r\n" + b"Name: x\r\n" * 101, 431),
        (Handler, b"GET / HTTP/1.1\r\nHost: h\r\nExpect: else\r\n\r\n", 417),
        (Handler, b"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
        (Denying, LENGTH % b"", 401),
        (Denying, LENGTH % b"Expect: 100-continue\r\n", 401),
        (Denying, CHUNKED + b"1312d00\r\n", 401),
        (Deciding, LENGTH % b"", 403),
        (Deciding, CHUNKED + b"1312d00\r\n", 403),
    ],
)
def test_an_early_answer_reaches_a_client_that_sends_on(
    handler: type[Handler], raw: bytes, status: int
) -> None:
    """All of it, before it reads: as most clients do."""
    limits = {} if status in (413, 501) else {"body": 30_000_000}
    patient = {"linger_time": 60_000, "linger_timeout": 60_000}  # however slow the client is
    with serving(handler(), **limits, **patient) as server, server.connect() as sock:
        sock.sendall(raw)
        for _ in range(20):
            sock.sendall(MEGABYTE)
        data, closed = read_all(sock)
    assert closed
    assert Response.parse_all(data)[0].status == status


def test_413_comes_before_the_body() -> None:
    """Without a 100 for who waits for one."""
    with serving(Handler()) as server:
        for expect in (b"", b"Expect: 100-continue\r\n"):
            with server.connect() as sock:
                sock.sendall(LENGTH % expect)
                data, closed = read_all(sock)
            assert closed
            assert Response.parse_all(data)[0].status == 413


def test_how_much_is_bounded() -> None:
    with serving(Handler(), linger_bytes=1_000_000) as server, server.connect() as sock:
        sock.sendall(b"BAD\r\n\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            sock.sendall(MEGABYTE * 40)


def test_how_long_it_may_be_silent_is_bounded() -> None:
    with serving(Handler(), linger_timeout=100) as server:
        server.connect().sendall(b"BAD\r\n\r\n")
        wait_until_closed(server)


def test_the_time_in_all_bounds_silence_too() -> None:
    with serving(Handler(), linger_time=100, linger_timeout=0) as server:
        server.connect().sendall(b"BAD\r\n\r\n")
        wait_until_closed(server)


def test_how_long_it_takes_in_all_is_bounded() -> None:
    """For a client that sends a byte whenever it is about to count as silent."""
    stop = threading.Event()

    def drip(sock: socket.socket) -> None:
        try:
            while not stop.wait(0.05):
                sock.sendall(b"x")
        except OSError:
            stop.set()

    with serving(Handler(), linger_time=300) as server, server.connect() as sock:
        sock.sendall(b"BAD\r\n\r\n")
        thread = threading.Thread(target=drip, args=(sock,))
        thread.start()
        closed = stop.wait(30)
        stop.set()
        thread.join()
    assert closed


def wait_until_closed(server: Any) -> None:
    for _ in range(30_000):
        if server.stats()["open"] == 0:
            return
    raise AssertionError(server.stats())


def test_a_server_that_drains_waits_only_shortly() -> None:
    handler = Handler()
    with serving(handler, linger_time=0, linger_timeout=0) as server:
        sock = server.connect()
        sock.sendall(b"BAD\r\n\r\n")
        assert sock.recv(1000)
        server.call(server.core.drain)
        handler.wait("drained")
