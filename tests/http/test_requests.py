"""What a request says, however its bytes arrive."""

from __future__ import annotations

from typing import Any

import pytest
from support.http_server import COLLECT, DISCARD, STREAM, Handler, Server, serving
from support.responses import Response, read_all

GET = (
    b"GET /a/b?x=1&y HTTP/1.1\r\nHost: h\r\nX-Two:  two words \t\r\nx-empty:\r\nCookie: c=1\r\n\r\n"
)
LENGTH = (
    b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 11\r\n\r\nhello world"
)
CHUNKED = (
    b"PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5;x=y;q="a b"\r\nhello\r\n006\r\n world\r\n0\r\nTrailer-Field: x\r\n\r\n'
)


class Described(Handler):
    """Keeps what the request says when it is complete."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Any]] = []

    def request(self, request: Any) -> None:
        self.seen.append(request.describe() | {"client": request.client()})
        super().request(request)


def test_a_request_says_what_was_sent() -> None:
    handler = Described()
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(GET)
        Response.receive(sock)
        client = sock.getsockname()
    seen = handler.seen[0]
    assert (seen["method"], seen["target"], seen["path"]) == (b"GET", b"/a/b?x=1&y", b"/a/b")
    assert (seen["query"], seen["body"], seen["minor"]) == (b"x=1&y", b"", 1)
    assert seen["fields"] == [
        (b"host", b"h"),
        (b"x-two", b"two words"),
        (b"x-empty", b""),
        (b"cookie", b"c=1"),
    ]
    assert (seen["host"], seen["content_type"], seen["cookie"]) == (0, -1, 3)
    assert (seen["keep_alive"], seen["has_body"], seen["content_length"]) == (True, False, -1)
    assert seen["client"] == client


def test_a_later_minor_version_is_told_as_the_latest_known() -> None:
    handler = Described()
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(GET.replace(b"HTTP/1.1", b"HTTP/1.9"))
        Response.receive(sock)
    assert handler.seen[0]["minor"] == 1


@pytest.mark.parametrize("raw", [GET, LENGTH, CHUNKED], ids=["get", "length", "chunked"])
@pytest.mark.parametrize("mode", [COLLECT, DISCARD, STREAM], ids=["collect", "discard", "stream"])
def test_every_split_in_two_reads_the_same(raw: bytes, mode: int) -> None:
    """Two requests behind each other, cut at each byte of the first and of the second."""
    with serving(Recording(mode)) as server:
        whole = _told(server, [raw + raw])
        for cut in range(1, 2 * len(raw)):
            assert _told(server, [(raw + raw)[:cut], (raw + raw)[cut:]]) == whole, cut


@pytest.mark.parametrize("raw", [GET, LENGTH, CHUNKED], ids=["get", "length", "chunked"])
def test_byte_by_byte_reads_the_same(raw: bytes) -> None:
    with serving(Recording(COLLECT)) as server:
        assert _told(server, [bytes([byte]) for byte in raw]) == _told(server, [raw])


class Recording(Handler):
    """Writes down each request as one line of bytes; answers with it."""

    def __init__(self, mode: int) -> None:
        super().__init__()
        self.mode = mode
        self.streamed = b""

    def request(self, request: Any) -> None:
        if self.mode == STREAM:
            self.streamed = b""
        else:
            self.describe(request, request.describe()["body"])

    def body(self, request: Any, piece: bytes) -> None:
        self.streamed += piece

    def body_end(self, request: Any) -> None:
        self.describe(request, self.streamed)

    def describe(self, request: Any, body: bytes) -> None:
        seen = request.describe()
        request.respond(200, repr((seen["target"], seen["fields"], body)).encode())


def _told(server: Server, pieces: list[bytes]) -> list[bytes]:
    """The bodies of the answers to requests sent in these pieces, each its own segment."""
    with server.connect() as sock:
        for piece in pieces:
            sock.sendall(piece)
            server.call(int)  # one round of the loop: the piece has been read by itself
        sock.shutdown(1)
        data, closed = read_all(sock)
    assert closed
    responses = Response.parse_all(data)
    assert all(r.status == 200 for r in responses)
    return [r.body for r in responses]


@pytest.mark.parametrize("letters", [b"A" * 100_000, b"GET" + b"T" * 100_000])
def test_a_method_of_any_length_is_no_method(letters: bytes) -> None:
    with serving(Handler()) as server:
        (response,) = server.send(letters + b" / HTTP/1.1\r\nHost: h\r\n\r\n", eof=True)
    assert response.status == 400


@pytest.mark.parametrize(
    "end", [b" \r\n", b"  \r\n", b"\t\r\n", b"\n", b"\r\r\n", b"x\r\n"], ids=repr
)
def test_the_request_line_ends_in_crlf(end: bytes) -> None:
    with serving(Handler()) as server:
        (response,) = server.send(b"GET / HTTP/1.1" + end + b"Host: h\r\n\r\n", eof=True)
    assert response.status == 400


def test_a_line_without_a_version_is_not_answered_as_if_it_had_one() -> None:
    with serving(Handler()) as server:
        (response,) = server.send(b"GET /\r\nHost: h\r\n\r\n", eof=True)
    assert response.status == 505
