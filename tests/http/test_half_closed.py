"""Clients that have sent FIN while an answer is owed: some read on, others have left."""

from __future__ import annotations

import errno
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from support.http_server import Handler, serving
from support.responses import Response, read_all

GET = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"
OLD = b"GET /%d HTTP/1.0\r\n\r\n"


class Later(Handler):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Any] = []

    def answer(self, request: Any) -> None:
        self.waiting.append(request)

    def next(self) -> Any:
        self.wait("request")
        return self.waiting.pop()


def test_a_slow_answer_is_doubted_and_sent_all_the_same() -> None:
    handler = Later()
    with serving(handler, half_closed=600) as server, server.connect() as sock:
        sock.sendall(GET % 1)
        sock.shutdown(socket.SHUT_WR)
        handler.wait("eof")
        handler.wait("doubted")
        handler.wait("left")
        server.call(handler.next().respond, 200, b"late")
        data, closed = read_all(sock)
    assert closed
    assert Response.parse_all(data)[0].body == b"late"


def test_a_stream_goes_on_after_the_client_s_end() -> None:
    """What is written to find out whether the client has left changes nothing for it."""
    handler = Later()
    with serving(handler, half_closed=60_000) as server, server.connect() as sock:
        sock.sendall(GET % 1)
        request = handler.next()
        server.call(request.stream_begin, 200)
        server.call(request.stream_write, b"one ")
        sock.shutdown(socket.SHUT_WR)
        handler.wait("eof")
        for piece in (b"two ", b"three"):
            assert server.call(request.stream_write, piece) == 0
        assert server.call(request.stream_end) == 0
        data, closed = read_all(sock)
    (answer,) = Response.parse_all(data)
    assert closed
    assert (answer.body, answer.complete) == (b"one two three", True)


def test_a_stream_that_breaks_off_behind_a_probe_is_reset() -> None:
    """A zero and the end of the connection are a last chunk for Python's http.client."""
    handler = Later()
    with serving(handler, half_closed=60_000) as server, server.connect() as sock:
        sock.sendall(GET % 1)
        request = handler.next()
        server.call(request.stream_begin, 200)
        server.call(request.stream_write, b"one")
        sock.shutdown(socket.SHUT_WR)
        data = b""
        while not data.endswith(b"one\r\n0"):
            data += sock.recv(1000)
        server.call(request.abort)
        with pytest.raises(ConnectionResetError):
            sock.recv(1000)


def test_a_client_that_has_left_is_noticed_while_the_stream_is_silent() -> None:
    handler = Later()
    with serving(handler, half_closed=0) as server:
        with server.connect() as sock:
            sock.sendall(GET % 1)
            request = handler.next()
            server.call(request.stream_begin, 200)
            assert sock.recv(1000)
        handler.wait("left")
        server.call(request.stream_write, b"nobody reads this")
        handler.wait("gone")


def test_a_client_that_has_left_before_the_stream_is_noticed_by_its_head() -> None:
    handler = Later()
    with serving(handler, half_closed=0) as server:
        with server.connect() as sock:
            sock.sendall(GET % 1)
            request = handler.next()
            sock.shutdown(socket.SHUT_WR)
            handler.wait("eof")
        server.call(request.stream_begin, 200)
        handler.wait("left")


@pytest.mark.parametrize(("request_line", "length"), [(GET, 10), (OLD, -1)])
def test_where_nothing_can_be_written_silence_has_to_do(request_line: bytes, length: int) -> None:
    """A length that is stated, or an answer that ends with the connection."""
    handler = Later()
    with serving(handler, half_closed=600) as server, server.connect() as sock:
        sock.sendall(request_line % 1)
        request = handler.next()
        server.call(request.stream_begin, 200, length)
        sock.shutdown(socket.SHUT_WR)
        handler.wait("left")
        assert ("doubted",) not in handler.events
        assert server.call(request.stream_write, b"0123456789") == 0
        assert server.call(request.stream_end) == 0
        data, _ = read_all(sock)
    assert Response.parse_all(data)[0].body == b"0123456789"


def test_the_peer_of_a_unix_socket_that_is_closed_has_left_at_once(tmp_path: Path) -> None:
    """Whether or not anything of the answer is out: half-closed ones look different there."""
    handler = Later()
    with serving(handler, path=tmp_path / "s", half_closed=0) as server:
        with server.connect() as sock:
            sock.sendall(GET % 1)
            handler.next()
            sock.shutdown(socket.SHUT_WR)
            handler.wait("eof")
        handler.wait("left")


def test_the_peer_of_a_unix_socket_that_reads_on_is_answered(tmp_path: Path) -> None:
    handler = Later()
    with (
        serving(handler, path=tmp_path / "s", half_closed=60_000) as server,
        server.connect() as sock,
    ):
        sock.sendall(GET % 1)
        sock.shutdown(socket.SHUT_WR)
        handler.wait("eof")
        server.call(handler.next().respond, 200, b"read")
        data, _ = read_all(sock)
    assert Response.parse_all(data)[0].body == b"read"
    assert ("left",) not in handler.events


def test_what_a_client_that_has_left_did_not_take_is_not_too_short() -> None:
    """The connection is broken, and not closed yet."""
    handler = Later()
    with serving(handler, half_closed=60_000) as server:
        sock = server.connect()
        sock.sendall(GET % 1)
        request = handler.next()

        def answer() -> int:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            request.stream_begin(200, 300_000)
            for _ in range(3):
                request.stream_write(bytes(100_000))
            return int(request.stream_end())

        assert server.call(answer) == -errno.ECANCELED
