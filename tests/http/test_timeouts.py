"""Deadlines, with short limits. What is measured is only that something ends, or doesn't."""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from typing import Any

import pytest
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
    with (
        serving(Handler(), keep_alive=500) as server,
        server.connect() as fresh,
        server.connect() as used,
    ):
        used.sendall(GET)
        Response.parse(used.recv(1000))
        assert read_all(fresh) == (b"", True)
        assert read_all(used) == (b"", True)


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
        sock.settimeout(0.01)
        data = b""
        while not data:
            try:
                sock.sendall(b"a: b\r\n")
                data = sock.recv(1000)
            except TimeoutError:
                continue
        assert Response.parse(data)[0].status == 408


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
        response, _ = Response.parse(slow.recv(100_000))
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
    handler = Later()
    limits = dict.fromkeys(("keep_alive", "header_timeout", "body_grace", "write_timeout"), 500)
    with (
        serving(handler, **limits) as server,
        server.connect() as slow,
        server.connect() as idle,
    ):
        slow.sendall(GET)
        handler.wait("request")
        assert read_all(idle) == (b"", True)  # a whole limit has passed
        request = handler.waiting.pop()
        assert server.call(request.respond, 200, b"late") == 0
        assert Response.parse(slow.recv(1000))[0].body == b"late"
        del request


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
    with serving(Handler(), header_timeout=700) as server, server.connect() as sock:
        sock.sendall(GET[:10])
        server.call(int)
        release = threading.Event()

        def block() -> None:
            release.wait()
            time.sleep(1.5)  # the loop stands still well past the deadline

        server.loop.call_soon_threadsafe(block)
        sock.sendall(GET[10:])
        release.set()
        assert Response.parse(sock.recv(1000))[0].status == 200


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
