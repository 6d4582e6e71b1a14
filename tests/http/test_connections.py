"""What happens between requests: order, pipelining, half-closed and vanished clients, stops."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from typing import Any

import pytest
from support.http_server import DISCARD, STREAM, Handler, Server, serving
from support.responses import Response, read_all
from support.stuffing import stuff
from support.tls_socket import TlsSocket

PAD = b"x" * 5000
GET = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"


def reset(sock: socket.socket) -> None:
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Later(Handler):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Any] = []

    def answer(self, request: Any) -> None:
        self.waiting.append(request)

    def answer_all(self) -> None:
        """Answers what waits, and from now on at once. On the server's thread."""
        self.answer = lambda request: request.respond(200, request.describe()["target"])  # type: ignore[method-assign]
        self.release()

    def release(self, body: bytes = b"") -> int:
        """Answers the oldest waiting request with its target. On the server's thread."""
        request = self.waiting.pop(0)
        result: int = request.respond(200, request.describe()["target"] + body)
        return result


# ---- Order ---------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 16, 500])
def test_pipelined_requests_are_answered_in_order(count: int) -> None:
    class Target(Handler):
        def answer(self, request: Any) -> None:
            request.respond(200, request.describe()["target"])

    with serving(Target()) as server, server.connect() as sock:
        sock.sendall(b"".join(GET % i for i in range(count)))
        responses = Response.receive_all(sock, count)
    assert [r.body for r in responses] == [b"/%d" % i for i in range(count)]


def test_answers_of_one_read_leave_in_one_write() -> None:
    """Sixteen answers arrive as one segment's worth of bytes: nothing was flushed between, unless
    they took longer than 200 µs. With TLS each is written before the next handler runs (ADR 16)."""
    with serving(Handler()) as server, server.connect() as sock:
        sock.sendall(GET % 1)
        one = len(sock.recv(1 << 16))
        if isinstance(sock, TlsSocket):
            sock.sendall((GET % 1) * 16)
            assert len(Response.receive_all(sock, 16)) == 16
            return
        for _ in range(50):
            sock.sendall((GET % 1) * 16)
            found = len(sock.recv(1 << 16))
            if found == 16 * one:
                return
            while found < 16 * one:
                found += len(sock.recv(1 << 16))
        raise AssertionError("no sixteen answers left in one write")


def test_one_request_is_handled_at_a_time() -> None:
    handler = Later()
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(b"".join(GET % i for i in range(3)))
        for i in range(3):
            handler.wait("request", i + 1)
            assert len(handler.waiting) == 1
            assert server.stats()["in_flight"] == 1
            server.call(handler.release)
            assert Response.receive_all(sock, 1)[0].body == b"/%d" % i


def test_late_answers_with_many_requests_waiting() -> None:
    """Far more is pipelined than is read ahead; every answer comes from outside."""

    class Soon(Handler):
        def answer(self, request: Any) -> None:
            import asyncio

            asyncio.get_running_loop().call_soon(
                lambda: request.respond(200, request.describe()["target"])
            )

    count = 3000
    with serving(Soon(), pipelined=4096) as server, server.connect() as sock:
        sock.sendall(b"".join(GET % i for i in range(count)))
        responses = Response.receive_all(sock, count)
    assert [r.body for r in responses] == [b"/%d" % i for i in range(count)]


def test_reading_stops_while_too_much_is_pipelined() -> None:
    """What stands behind an unanswered request waits in the kernel, and is served in its turn."""
    handler = Later()
    rest = b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\nX: %s\r\n\r\n" % (i, PAD) for i in range(800))
    with serving(handler, pipelined=1000, header_block=0) as server, server.connect() as sock:
        sock.sendall(GET % 9999)
        handler.wait("request")
        raw = sock.records(rest) if server.context is not None else rest
        plain = getattr(sock, "sock", sock)
        sent = stuff(server, plain, raw)
        assert sent < len(raw), "all was read, and kept in memory"
        server.call(handler.answer_all)
        plain.sendall(raw[sent:])
        assert [r.body for r in Response.receive_all(sock, 801)] == [
            b"/9999",
            *(b"/%d" % i for i in range(800)),
        ]


def test_a_client_that_does_not_read_is_not_served_on() -> None:
    """Answers are not gathered without end for requests that keep coming."""

    class Large(Handler):
        def answer(self, request: Any) -> None:
            request.respond(200, b"x" * 100_000)

    handler = Large()
    total = 300
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(b"".join(GET % i for i in range(total)))
        handler.wait("request")
        server.call(int)
        server.call(int)
        assert server.stats()["requests"] < total
        left = None
        while left != 0:
            data = sock.recv(1 << 20)
            if left is None:
                left = total * (data.index(b"\r\n\r\n") + 4 + 100_000)
            left -= len(data)
        assert server.stats()["requests"] == total


# ---- Clients that end ----------------------------------------------------------------------


def test_a_half_closed_client_gets_its_answers() -> None:
    handler = Later()
    with serving(handler) as server, server.connect() as sock:
        sock.sendall((GET % 1) + (GET % 2))
        sock.shutdown(socket.SHUT_WR)
        handler.wait("eof")
        server.call(handler.release)
        handler.wait("request", 2)
        server.call(handler.release)
        data, closed = read_all(sock)
    assert closed
    assert [r.body for r in Response.parse_all(data)] == [b"/1", b"/2"]


def test_a_vanished_client_is_noticed_while_its_answer_is_owed() -> None:
    handler = Later()
    with serving(handler) as server:
        sock = server.connect()
        sock.sendall(GET % 1)
        handler.wait("request")
        reset(sock)
        handler.wait("gone")
        request = handler.waiting.pop()
        assert server.call(request.describe)["gone"]
        assert server.call(request.describe)["target"] == b"/1"
        assert server.call(request.respond, 200, b"") == -errno.ECANCELED
        assert server.call(request.client)[0] == "127.0.0.1"
        with pytest.raises(OSError, match="not connected"):
            server.call(request.server)
        stats = server.stats()
    assert (stats["open"], stats["in_flight"], stats["responses"]) == (0, 0, 0)


def test_a_client_that_vanishes_during_a_stream() -> None:
    handler = Later()
    with serving(handler) as server:
        sock = server.connect()
        sock.sendall(GET % 1)
        handler.wait("request")
        request = handler.waiting.pop()
        server.call(request.stream_begin, 200)
        assert sock.recv(1000)
        reset(sock)
        handler.wait("gone")
        assert server.call(request.stream_write, b"x") == -errno.ECANCELED
        assert server.call(request.stream_end) == -errno.ECANCELED


def test_a_failing_write_does_not_call_back_at_once() -> None:
    """The layer above learns of it after its call has returned."""

    class Writer(Later):
        inside = False

        def flood(self, request: Any) -> None:
            self.inside = True
            for _ in range(100):
                request.stream_write(b"x" * 100_000)
            self.inside = False

        def gone(self, request: Any) -> None:
            assert not self.inside
            super().gone(request)

    handler = Writer()
    with serving(handler, pipelined=1) as server:
        sock = server.connect()
        sock.sendall((GET % 1) + (GET % 2))  # the second stops the reading
        handler.wait("request")
        request = handler.waiting.pop()
        server.call(request.stream_begin, 200)
        reset(sock)
        server.call(handler.flood, request)
        handler.wait("gone")
        del request


def test_a_full_stream_becomes_writable_again() -> None:
    handler = Later()
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(GET % 1)
        handler.wait("request")
        request = handler.waiting.pop()
        server.call(request.stream_begin, 200)
        written = 0
        while not server.call(request.stream_full):
            assert server.call(request.stream_write, b"x" * 100_000) == 0
            written += 100_000
        assert ("writable",) not in handler.events
        left = written
        while left > 0:
            left -= len(sock.recv(1 << 16))
        handler.wait("writable")
        assert not server.call(request.stream_full)
        server.call(request.stream_end)
        del request


# ---- Errors that end the connection --------------------------------------------------------


def test_the_client_gets_the_refusal_although_it_goes_on_sending() -> None:
    """Without lingering the kernel would answer unread bytes with RST and drop the answer."""
    with serving(Handler()) as server, server.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n")
        for _ in range(8):
            sock.sendall(b"x" * 65536)
        data, closed = read_all(sock)
        for _ in range(8):  # the second one would fail if the first had been answered with RST
            sock.sendall(b"x" * 65536)
    (response,) = Response.parse_all(data)
    assert closed
    assert response.status == 413


def test_lingering_is_bounded_by_bytes() -> None:
    with serving(Handler()) as server, server.connect() as sock:
        sock.sendall(b"BAD\r\n\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            sock.sendall(b"x" * 64_000_000)


def test_overload_is_answered_with_503() -> None:
    handler = Later()
    with (
        serving(handler, in_flight=1) as server,
        server.connect() as busy,
        server.connect() as sock,
    ):
        busy.sendall(GET % 1)
        handler.wait("request")
        sock.sendall(GET % 2)
        (refused,) = Response.receive_all(sock, 1)
        assert (refused.status, refused["retry-after"]) == (503, "1")
        server.call(handler.release)
        sock.sendall(GET % 3)
        handler.wait("request", 2)
        server.call(handler.release)
        assert Response.receive_all(sock, 1)[0].body == b"/3"
    assert [event for event in handler.events if event[0] == "head"] == [
        ("head", "GET", "/1"),
        ("head", "GET", "/3"),
    ]


# ---- Stops ---------------------------------------------------------------------------------


def drained(server: Server, handler: Handler) -> None:
    handler.wait("drained")


def end_of_unused(server: Server, sock: Any) -> bytes:
    """What comes from a connection without a request, which has a moment for its first one: a
    server that stops drains again until it is over."""
    sock.settimeout(0.05)
    while True:
        server.call(server.core.drain)
        with contextlib.suppress(TimeoutError):
            return bytes(sock.recv(1))


def test_drain_closes_idle_connections_and_finishes_the_others() -> None:
    handler = Later()
    with serving(handler) as server:
        idle, used, busy, streaming = (server.connect() for _ in range(4))
        used.sendall(GET % 1)
        handler.wait("request")
        server.call(handler.release)
        Response.receive_all(used, 1)
        busy.sendall(GET % 2)
        handler.wait("request", 2)
        streaming.sendall((GET % 3) + (GET % 4))
        handler.wait("request", 3)
        stream = handler.waiting.pop()
        server.call(stream.stream_begin, 200)
        server.call(server.core.drain)
        assert used.recv(1) == b""
        assert end_of_unused(server, idle) == b""
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        server.call(handler.release)
        data, closed = read_all(busy)
        (response,) = Response.parse_all(data)
        assert (closed, response.body, response["connection"]) == (True, b"/2", "close")
        server.call(stream.stream_end)
        handler.wait("request", 4)  # that of the stream had let the client expect an answer
        server.call(handler.release)
        data, closed = read_all(streaming)
        response, last = Response.parse_all(data)
        assert (closed, response.complete, last.body) == (True, True, b"/4")
        assert ("connection" in response, last["connection"]) == (False, "close")
        del stream
        for sock in (idle, used, busy, streaming):
            sock.close()
        handler.wait("drained")


def test_drain_of_a_server_without_connections() -> None:
    handler = Handler()
    with serving(handler) as server:
        server.call(server.core.drain)
        handler.wait("drained")


def test_abort_closes_everything_now() -> None:
    handler = Later()
    with serving(handler) as server:
        with server.connect() as sock, server.connect() as idle:
            sock.sendall(GET % 1)
            handler.wait("request")
            server.call(server.core.abort)
            assert read_all(sock)[1]
            assert read_all(idle)[1]
        handler.wait("gone")
        handler.waiting.clear()
        handler.wait("drained")


def test_a_drain_from_within_a_handler() -> None:
    class Last(Handler):
        server: Any

        def answer(self, request: Any) -> None:
            self.server.drain()
            request.respond(200, b"last")

    handler = Last()
    with serving(handler) as server:
        handler.server = server.core
        (response, *rest) = server.send((GET % 1) + (GET % 2))
        assert (response.body, response["connection"], rest) == (b"last", "close", [])
        handler.wait("drained")
        del handler.server


def test_an_abort_from_within_a_handler() -> None:
    class Last(Handler):
        server: Any

        def answer(self, request: Any) -> None:
            self.server.abort()
            assert request.respond(200, b"last") == -errno.ECANCELED

    handler = Last()
    with serving(handler) as server:
        handler.server = server.core
        assert server.send((GET % 1) + (GET % 2)) == []
        handler.wait("drained")
        del handler.server


# ---- Real clients --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Handler.mode, DISCARD, STREAM])
def test_httpx(mode: int) -> None:
    class Echo(Handler):
        def request(self, request: Any) -> None:
            if mode == STREAM:
                request.stream_begin(200)
            else:
                super().request(request)

        def body(self, request: Any, piece: bytes) -> None:
            request.stream_write(piece)

        def body_end(self, request: Any) -> None:
            request.stream_end()

    handler = Echo()
    handler.mode = mode
    body = os.urandom(300_000)
    with serving(handler) as server, server.new_client() as client:
        for _ in range(3):
            echoed = client.post("/x", content=body)
            assert echoed.content == (b"" if mode == DISCARD else body)
            chunked = client.post("/x", content=iter([body, b"", b"end"]))
            assert chunked.content == (b"" if mode == DISCARD else body + b"end")
        assert server.stats()["accepted"] == 1
