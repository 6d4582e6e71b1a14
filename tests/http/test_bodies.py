"""Bodies of requests: when they are read, what the client is told, and what is left unread."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from support.http_server import COLLECT, DISCARD, STREAM, Handler, serving
from support.responses import Response, read_all

EXPECT = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def post(length: int, *fields: bytes) -> bytes:
    lines = [b"POST / HTTP/1.1", b"Host: h", b"Content-Length: %d" % length, *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


class Streaming(Handler):
    """Collects a streamed body by itself and echoes it at the end."""

    mode = STREAM
    pauses = False

    def __init__(self) -> None:
        super().__init__()
        self.got = b""
        self.current: Any = None

    def request(self, request: Any) -> None:
        self.note("request")
        self.current = request
        self.got = b""
        if self.pauses:
            request.pause()

    def body(self, request: Any, piece: bytes) -> None:
        super().body(request, piece)
        self.got += piece

    def body_end(self, request: Any) -> None:
        super().body_end(request)
        request.respond(200, self.got)
        self.current = None

    def gone(self, request: Any) -> None:
        super().gone(request)
        self.current = None


# ---- Expect: 100-continue ------------------------------------------------------------------


@pytest.mark.parametrize("handler_type", [Handler, Streaming])
def test_continue_is_sent_when_the_body_is_wanted(handler_type: type[Handler]) -> None:
    with serving(handler_type()) as server, server.connect() as sock:
        sock.sendall(EXPECT)
        assert sock.recv(100) == CONTINUE
        sock.sendall(b"hello")
        response = Response.receive(sock)
        assert response.body == b"hello"
        sock.sendall(EXPECT)  # and again on the same connection
        assert sock.recv(100) == CONTINUE


def test_continue_is_not_sent_when_the_body_came_along() -> None:
    with serving(Handler()) as server:
        (response,) = server.send(EXPECT + b"hello", eof=True)
    assert response.body == b"hello"


def test_continue_is_not_sent_to_old_clients() -> None:
    with serving(Handler()) as server, server.connect() as sock:
        sock.sendall(EXPECT.replace(b"HTTP/1.1", b"HTTP/1.0"))
        server.call(int)
        sock.sendall(b"hello")
        data, _ = read_all(sock)
    (response,) = Response.parse_all(data)
    assert (response.status, response.body) == (200, b"hello")


def test_continue_is_not_sent_without_a_body() -> None:
    with serving(Handler()) as server:
        (response,) = server.send(EXPECT.replace(b"Length: 5", b"Length: 0"), eof=True)
    assert response.status == 200


def test_continue_waits_until_the_body_is_read() -> None:
    class Lazy(Streaming):
        pauses = True

    handler = Lazy()
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(EXPECT)
        handler.wait("request")
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        sock.settimeout(10)
        server.call(handler.current.resume)
        assert sock.recv(100) == CONTINUE
        sock.sendall(b"hello")
        assert Response.receive(sock).body == b"hello"


def test_a_body_nobody_wants_is_not_waited_for() -> None:
    """The answer comes instead of 100 Continue; it is unclear then whether the body will."""
    handler = Handler()
    handler.mode = DISCARD
    with serving(handler) as server:
        (response,) = server.send(EXPECT)
    assert (response.status, response["connection"]) == (200, "close")


def test_a_refused_body_is_not_asked_for() -> None:
    with serving(Handler(), body=4) as server:
        (response,) = server.send(EXPECT)
    assert (response.status, response["connection"]) == (413, "close")


# ---- Early answers -------------------------------------------------------------------------


class Early(Handler):
    """Answers at the head."""

    mode = STREAM

    def head(self, request: Any) -> int:
        super().head(request)
        request.respond_error(404)
        return self.mode


@pytest.mark.parametrize("mode", [DISCARD, COLLECT, STREAM])
def test_an_early_answer_leaves_a_small_body_unread(mode: int) -> None:
    handler = Early()
    handler.mode = mode
    chunked = (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(post(60_000))
        response = Response.receive(sock)
        assert "connection" not in response
        sock.sendall(b"x" * 60_000 + chunked + b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        data, _ = read_all(sock)
    assert [r.status for r in Response.parse_all(data)] == [404, 404]
    assert {event[0] for event in handler.events} <= {"head", "cleared", "drained", "writable"}


@pytest.mark.parametrize("mode", [DISCARD, COLLECT, STREAM])
def test_an_early_answer_and_then_chunks_larger_than_a_body_may_be(mode: int) -> None:
    """Nobody is to read them: they are dropped, and the connection serves the next request."""
    handler = Early()
    handler.mode = mode
    raw = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(handler, body=1000) as server, server.connect() as sock:
        sock.sendall(raw)
        assert Response.receive(sock).status == 404
        sock.sendall(b"1f40\r\n" + b"x" * 8000 + b"\r\n" + b"3\r\nabc\r\n" * 400)
        sock.sendall(b"0\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n")
        assert Response.receive(sock).status == 404
    assert [event[2] for event in handler.events if event[0] == "head"] == ["/", "/next"]
    assert {event[0] for event in handler.events} <= {"head", "cleared", "drained", "writable"}


def test_an_early_answer_to_a_large_body_ends_the_connection() -> None:
    with serving(Early()) as server:
        (response,) = server.send(post(1_000_000) + b"x" * 300_000)
    assert (response.status, response["connection"]) == (404, "close")


def test_an_early_answer_to_an_endless_body_ends_the_connection() -> None:
    raw = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with serving(Early()) as server:
        (response,) = server.send(raw + chunk * 3)
    assert response.status == 404


def test_an_early_answer_and_then_a_malformed_body() -> None:
    raw = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    with serving(Early()) as server:
        (response,) = server.send(raw)
    assert response.status == 404


def test_an_answer_during_a_stream_ends_its_pieces() -> None:
    class Enough(Streaming):
        def body(self, request: Any, piece: bytes) -> None:
            super().body(request, piece)
            request.respond(200, b"enough")

    handler = Enough()
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(post(10) + b"01234")
        assert Response.receive(sock).body == b"enough"
        sock.sendall(b"56789" + post(1) + b"x")
        assert Response.receive(sock).body == b"enough"
    assert [e for e in handler.events if e[0].startswith("body")] == [
        ("body", b"01234"),
        ("body", b"x"),
    ]


# ---- Streams -------------------------------------------------------------------------------


def test_a_streamed_body_comes_in_pieces() -> None:
    handler = Streaming()
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(post(10))
        handler.wait("request")
        sock.sendall(b"01234")
        handler.wait("body")
        sock.sendall(b"56789")
        assert Response.receive(sock).body == b"0123456789"
    assert handler.events[:5] == [
        ("head", "POST", "/"),
        ("request",),
        ("body", b"01234"),
        ("body", b"56789"),
        ("body_end",),
    ]


def test_a_stream_without_a_body() -> None:
    handler = Streaming()
    with serving(handler) as server:
        (response,) = server.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", eof=True)
    assert response.body == b""
    assert handler.events[:3] == [("head", "GET", "/"), ("request",), ("body_end",)]


def test_a_paused_body_is_not_delivered() -> None:
    class Lazy(Streaming):
        pauses = True

    handler = Lazy()
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(post(5) + b"hello" + post(2) + b"hi")
        handler.wait("request")
        server.call(int)
        assert handler.events == [("head", "POST", "/"), ("request",)]
        server.call(handler.current.resume)
        handler.wait("request", 2)
        server.call(handler.current.resume)
        data = b""
        while not data.endswith(b"hi"):
            data += sock.recv(1000)
    assert [r.body for r in Response.parse_all(data)] == [b"hello", b"hi"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_paused_at_every_piece(chunked: bool) -> None:
    """Pieces keep coming one per resume, also those that were read already."""

    class Stutter(Streaming):
        def body(self, request: Any, piece: bytes) -> None:
            super().body(request, piece)
            request.pause()

    handler = Stutter()
    if chunked:
        raw = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw += b"".join(b"1\r\n%c\r\n" % byte for byte in b"0123456789") + b"0\r\n\r\n"
    else:
        raw = post(10) + b"0123456789"
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(raw)
        count = 10 if chunked else 1
        for i in range(count):
            handler.wait("body", i + 1)
            server.call(int)
            assert sum(event[0] == "body" for event in handler.events) == i + 1
            assert ("body_end",) not in handler.events
            server.call(handler.current.resume)
        assert Response.receive(sock).body == b"0123456789"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_paused_at_every_piece_breaks_off(chunked: bool) -> None:
    """Going on without new bytes is no piece: the handler would pause again, for ever."""

    class Stutter(Streaming):
        def body(self, request: Any, piece: bytes) -> None:
            super().body(request, piece)
            request.pause()

    handler = Stutter()
    raw = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello"
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(raw if chunked else post(6) + b"hello")
        sock.shutdown(socket.SHUT_WR)
        handler.wait("body")
        server.call(handler.current.resume)
        handler.wait("gone")
        assert Response.receive(sock).status == 400
    assert [event for event in handler.events if event[0] == "body"] == [("body", b"hello")]


def test_a_paused_body_stops_the_client() -> None:
    class Lazy(Streaming):
        pauses = True

    handler = Lazy()
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(post(16_000_000))
        handler.wait("request")
        sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            sock.sendall(b"x" * 16_000_000)
        del handler.current


def test_an_answered_stream_that_was_paused_is_read_on() -> None:
    class Lazy(Streaming):
        pauses = True

    handler = Lazy()
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(post(5) + b"hello" + b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        handler.wait("request")
        assert server.call(handler.current.respond, 200, b"early") == 0
        assert [each.body for each in Response.receive_all(sock, 2)] == [b"early", b""]
        handler.wait("request", 2)


# ---- Bodies that break off -----------------------------------------------------------------


@pytest.mark.parametrize("raw", [post(5) + b"hel", post(5)])
@pytest.mark.parametrize("handler_type", [Handler, Streaming])
def test_a_body_cut_off_is_refused(raw: bytes, handler_type: type[Handler]) -> None:
    handler = handler_type()
    with serving(handler) as server:
        (response,) = server.send(raw, eof=True)
    assert (response.status, response["connection"]) == (400, "close")
    assert ("gone",) in handler.events
    assert not any(event[0] in ("body_end",) for event in handler.events)


def test_a_malformed_body_during_a_streamed_answer_cuts_it_off() -> None:
    class Echo(Streaming):
        def request(self, request: Any) -> None:
            request.stream_begin(200)

        def body(self, request: Any, piece: bytes) -> None:
            request.stream_write(piece)

    raw = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n"
    handler = Echo()
    with serving(handler) as server:
        (response,) = server.send(raw)
    assert (response.body, response.complete) == (b"ab", False)
    assert ("gone",) in handler.events


@pytest.mark.parametrize("length", [4, 5, 6])
def test_the_limit_of_a_body(length: int) -> None:
    body = b"x" * length
    chunked = b"".join(b"1\r\nx\r\n" for _ in body) + b"0\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(Handler(), body=5) as server:
        (plain,) = server.send(post(length) + body, eof=True)
        (pieces,) = server.send(head + chunked, eof=True)
    assert plain.status == pieces.status == (413 if length > 5 else 200)


def test_a_limit_of_zero_is_none() -> None:
    with serving(Handler(), body=0, header_fields=0, header_block=0, request_line=0) as server:
        fields = b"a: b\r\n" * 200
        raw = b"POST /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: h\r\n" + fields
        raw += b"Content-Length: 20000000\r\n\r\n" + b"x" * 20_000_000
        (response,) = server.send(raw, eof=True)
    assert len(response.body) == 20_000_000


def test_answering_a_request_that_was_withdrawn() -> None:
    handler = Streaming()
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(post(5, b"X: y") + b"a")
        handler.wait("body")
        request = handler.current
        sock.shutdown(socket.SHUT_WR)
        handler.wait("gone")
        assert server.call(request.respond, 200) == -errno.ECANCELED
        server.call(request.resume)
        server.call(request.pause)
        server.call(request.abort)
        (response,) = Response.parse_all(read_all(sock)[0])
        assert response.status == 400
        del request
