"""Deadlines, with short limits. What is measured is only that something ends, or doesn't."""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from typing import Any

import pytest
from support.deadlines import TooLate, in_time, is_quiet, or_too_late, trickle
from support.http_server import Handler, serving
from support.responses import Response, read_all

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class Later(Handler):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Any] = []

    def answer(self, request: Any) -> None:
        self.waiting.append(request)


def test_an_idle_connection_is_closed() -> None:
    def attempt(limit: int) -> None:
        with (
            serving(Handler(), keep_alive=limit) as server,
            server.connect() as fresh,
            server.connect() as used,
        ):
            ask_in_time(used)
            assert read_all(fresh) == (b"", True)
            assert read_all(used) == (b"", True)

    in_time(attempt)


def ask_in_time(sock: Any) -> None:
    """Uses a connection, unless that has been idle for too long already."""
    with or_too_late():
        sock.sendall(GET)
        answer = sock.recv(65536)
    if not answer:
        raise TooLate
    Response.parse(answer)


def test_empty_lines_do_not_keep_a_connection() -> None:
    with serving(Handler(), keep_alive=50) as server, server.connect() as sock:
        sock.settimeout(0.01)
        received, closed = b"", False
        while not closed:
            # What arrives while the server closes is answered with a reset.
            with contextlib.suppress(ConnectionError):
                sock.sendall(b"\r\n")
            received, closed = read_all(sock)
        assert received == b""


def test_a_head_that_does_not_end_is_refused() -> None:
    with serving(Handler(), header_timeout=500) as server:
        for begun in (b"G", GET[:-1], GET + GET[:-1]):
            *good, last = server.send(begun)
            assert [r.status for r in good] == [200] * (begun.count(b"GET") - 1)
            assert (last.status, last["connection"]) == (408, "close")


def test_a_head_that_trickles_is_refused() -> None:
    """New bytes don't move the deadline on."""
    limits = {"header_timeout": 500, "header_fields": 0}
    with serving(Handler(), **limits) as server, server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n")
        assert Response.parse(trickle(sock, b"a: b\r\n"))[0].status == 408


def test_a_body_that_stands_still_is_refused() -> None:
    handler = Handler()
    raw = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx"
    with serving(handler, body_grace=50, body_rate=1000) as server:
        (response,) = server.send(raw)
    assert (response.status, response["connection"]) == (408, "close")
    assert ("gone",) in handler.events


def test_a_body_that_is_fast_enough_takes_as_long_as_it_takes() -> None:
    """One body trickles while another stands still: the second is refused, the first is not."""
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    with (
        serving(Handler(), body_grace=1000, body_rate=10) as server,
        server.connect() as slow,
        server.connect() as still,
    ):
        slow.sendall(head)
        still.sendall(head)
        still.settimeout(0.005)
        data, sent = b"", 0
        while not data:
            slow.sendall(b"a\r\n0123456789\r\n")  # as much as is wanted in a second
            sent += 10
            with contextlib.suppress(TimeoutError):
                data = still.recv(1000)
        assert Response.parse(data)[0].status == 408
        slow.sendall(b"0\r\n\r\n")
        response = Response.receive(slow)
        assert response.status == 200
        assert len(response.body) == sent


def test_a_client_that_takes_no_byte_is_given_up() -> None:
    class Large(Handler):
        def answer(self, request: Any) -> None:
            request.stream_begin(200)
            request.stream_write(b"x" * 30_000_000)

    handler = Large()
    with serving(handler, write_timeout=50) as server, server.connect() as sock:
        sock.sendall(GET)
        handler.wait("gone")


def test_a_request_under_way_is_not_hurried() -> None:
    """The answer may take longer than all the limits."""
    names = ("keep_alive", "header_timeout", "body_grace", "write_timeout")

    def attempt(limit: int) -> None:
        handler = Later()
        with serving(handler, **dict.fromkeys(names, limit)) as server:
            with or_too_late():
                slow, idle = server.connect(), server.connect()
                slow.sendall(GET)
            while not handler.waiting:
                if not is_quiet(slow):
                    raise TooLate
            assert read_all(idle) == (b"", True)  # a whole limit has passed
            request = handler.waiting.pop()
            assert server.call(request.respond, 200, b"late") == 0
            assert Response.receive(slow).body == b"late"
            del request

    in_time(attempt)


def test_a_refused_client_that_keeps_the_connection_open_is_closed_on() -> None:
    """Lingering ends by itself."""
    with serving(Handler()) as server, server.connect() as sock:
        sock.sendall(b"BAD\r\n\r\n")
        data, closed = read_all(sock)
        assert closed
        assert Response.parse(data)[0].status == 501
        assert server.stats()["open"] == 1
        while server.stats()["open"]:  # nothing that the client could see happens then
            time.sleep(0.1)


def test_a_busy_loop_does_not_count_against_the_client() -> None:
    """A deadline that passes while the loop stands still is judged only after a poll."""

    def attempt(limit: int) -> None:
        with serving(Handler(), header_timeout=limit) as server:
            with or_too_late():
                sock = server.connect()
                sock.sendall(GET[:10])
            standing, release = threading.Event(), threading.Event()

            def block() -> None:
                standing.set()
                release.wait()
                time.sleep(limit / 1000 * 2)  # the loop stands still well past the deadline

            server.call(int)  # the server has seen that the head has begun
            server.loop.call_soon_threadsafe(block)
            standing.wait()
            try:
                if not is_quiet(sock):
                    raise TooLate
                sock.sendall(GET[10:])
            finally:
                release.set()
            assert Response.receive(sock).status == 200

    in_time(attempt, first=700)


@pytest.mark.parametrize("path", ["idle", "used"])
def test_idle_connections_hardly_wake_the_loop(path: str) -> None:
    """A hundred idle connections with deadlines of their own: a wake-up a second at most."""
    with serving(Handler()) as server:
        socks = [server.connect() for _ in range(100)]
        if path == "used":
            for sock in socks:
                sock.sendall(GET)
                assert sock.recv(1000)
        server.call(int)

        def waits() -> int:
            return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw

        before = server.call(waits)
        threading.Event().wait(3)
        assert server.call(waits) - before <= 3 + 4  # and the call itself
