"""Framing of answers: what goes on the wire for what the layer above says."""

from __future__ import annotations

import email.utils
import errno
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.http_core import load
from support.http_server import Handler, serving
from support.responses import Response, read_all

GET = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
OLD = b"GET / HTTP/1.0\r\n\r\n"
BIG = bytes(range(256)) * 1024


class Answering(Handler):
    """Answers by a function; keeps what that returned."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        super().__init__()
        self._answer = answer
        self.result: Any = None

    def answer(self, request: Any) -> None:
        self.result = self._answer(request)


def answered(raw: bytes, answer: Callable[[Any], Any]) -> Response:
    """The one answer to `raw`."""
    with serving(Answering(answer)) as server:
        (response,) = server.send(raw)
    return response


def result_of(answer: Callable[[Any], Any]) -> Any:
    """What `answer(request)` returned; another answer is given afterwards."""

    def both(request: Any) -> Any:
        result = answer(request)
        request.respond(200)
        return result

    handler = Answering(both)
    with serving(handler) as server:
        server.send(GET)
    return handler.result


# ---- In one go -----------------------------------------------------------------------------


def test_a_whole_answer() -> None:
    before = int(time.time())
    handler = Answering(lambda r: r.respond(200, b"hello", b"text/plain"))
    with serving(handler) as server, server.connect() as sock:
        sock.sendall(GET)
        data, _ = read_all(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    date = next(line for line in lines if line.startswith("date: "))
    lines.remove(date)
    assert lines[1:] == [
        "server: fluvial",
        "content-type: text/plain",
        "content-length: 5",
        "connection: close",
    ]
    assert body == b"hello"
    stamp = email.utils.parsedate_to_datetime(date.removeprefix("date: "))
    assert before <= stamp.timestamp() <= time.time()
    assert re.fullmatch(r"date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)


def test_fields_come_in_order() -> None:
    pairs = [(b"X-A", b"1"), (b"x-b", b" trimmed\t"), (b"X-A", b"2"), (b"empty", b"")]
    response = answered(GET, lambda r: r.respond(200, b"", b"", pairs))
    kept = [pair for pair in response.fields if pair[0] in ("x-a", "x-b", "empty")]
    assert kept == [("x-a", "1"), ("x-b", "trimmed"), ("x-a", "2"), ("empty", "")]
    assert "content-type" not in response


def test_own_date_server_and_type_take_the_place_of_ours() -> None:
    pairs = [(b"Date", b"today"), (b"SERVER", b"mine"), (b"content-type", b"a/b")]
    response = answered(GET, lambda r: r.respond(200, b"x", b"c/d", pairs))
    assert response["date"] == "today"
    assert response["server"] == "mine"
    assert response["content-type"] == "a/b"


@pytest.mark.parametrize(
    "name", ["transfer-encoding", "Keep-Alive", "Upgrade", "TE", "Trailer", "Proxy-Connection"]
)
def test_fields_of_the_connection_are_dropped(name: str) -> None:
    pairs = [(name.encode(), b"chunked"), (b"Connection", b"x-y")]
    response = answered(
        GET.replace(b"close", b"keep-alive").replace(b"/1.1", b"/1.0"),
        lambda r: r.respond(200, b"x", b"", [*pairs, (b"connection", b"Close")]),
    )
    assert name.lower() not in response
    assert response["connection"] == "close"
    assert response.body == b"x"


@pytest.mark.parametrize(
    "pair",
    [
        (b"", b"x"),
        (b"a b", b"x"),
        (b"a:", b"x"),
        (b"a\r\nb", b"x"),
        (b"\xe9", b"x"),
        (b"a", b"x\r\nb: y"),
        (b"a", b"x\ny"),
        (b"a", b"x\x00"),
        (b"a", b"\x7f"),
        (b"content-length", b"-1"),
        (b"content-length", b"1x"),
        (b"content-length", b""),
        (b"content-length", b"99999999999999999999"),
    ],
)
def test_malformed_fields_are_refused(pair: tuple[bytes, bytes]) -> None:
    assert result_of(lambda r: r.respond(200, b"", b"", [pair])) == -errno.EINVAL


def test_lengths_that_differ_are_refused() -> None:
    pairs = [(b"content-length", b"1"), (b"Content-Length", b"2")]
    assert result_of(lambda r: r.respond(200, b"", b"", pairs)) == -errno.EINVAL


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600, -1])
def test_a_status_must_be_final(status: int) -> None:
    assert result_of(lambda r: r.respond(status)) == -errno.EINVAL


def test_a_content_type_must_not_break_out() -> None:
    assert result_of(lambda r: r.respond(200, b"", b"a/b\r\nx: y")) == -errno.EINVAL


def test_the_true_length_counts() -> None:
    response = answered(GET, lambda r: r.respond(200, b"hello", b"", [(b"content-length", b"3")]))
    assert response["content-length"] == "5"
    assert response.body == b"hello"


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, len(BIG), 8 * len(BIG)])
def test_bodies_of_any_size(size: int) -> None:
    body = (BIG * 8)[:size]
    response = answered(GET, lambda r: r.respond(200, body))
    assert response["content-length"] == str(size)
    assert response.body == body


def test_a_second_answer_is_refused() -> None:
    handler = Answering(lambda r: (r.respond(200), r.respond(200), r.stream_begin(200)))
    with serving(handler) as server:
        assert len(server.send(GET)) == 1
    assert handler.result == (0, -errno.ECANCELED, -errno.ECANCELED)


def test_respond_error() -> None:
    response = answered(GET, lambda r: r.respond_error(404))
    assert response.status == 404
    assert response.body == b'{"detail":"Not Found"}'
    assert response["content-type"] == "application/json"


def test_reasons_are_those_of_the_registry() -> None:
    import http

    core, _ = load()
    ours = {status: core.http_reason(status).decode() for status in range(200, 600)}
    # Python's registry of an older RFC names these differently, or not at all.
    renamed = {
        413: "Content Too Large",
        414: "URI Too Long",
        416: "Range Not Satisfiable",
        418: "I'm a Teapot",
        422: "Unprocessable Content",
    }
    for status in http.HTTPStatus:
        if status >= 200:
            assert ours[status] == renamed.get(status, status.phrase)
    known = {int(status) for status in http.HTTPStatus}
    assert {s for s in ours if ours[s] != "Unknown"} == {s for s in known if s >= 200}


# ---- Answers without a body ----------------------------------------------------------------


def test_head_has_the_length_and_no_body() -> None:
    with serving(Answering(lambda r: r.respond(200, b"hello", b"text/plain"))) as server:
        (response,) = server.send(HEAD)
    assert response["content-length"] == "5"


def test_head_may_state_a_length() -> None:
    pairs = [(b"content-length", b"77")]
    response = answered(HEAD, lambda r: r.respond(200, b"", b"", pairs))
    assert response["content-length"] == "77"


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_204_has_neither_length_nor_body(method: bytes) -> None:
    raw = GET.replace(b"GET", method)
    response = answered(raw, lambda r: r.respond(204, b"dropped", b"", [(b"content-length", b"7")]))
    assert "content-length" not in response
    assert "transfer-encoding" not in response


def test_304_states_a_length_only_when_told() -> None:
    assert "content-length" not in answered(GET, lambda r: r.respond(304, b"dropped"))
    pairs = [(b"content-length", b"7")]
    response = answered(GET, lambda r: r.respond(304, b"", b"", pairs))
    assert response["content-length"] == "7"


@pytest.mark.parametrize(("raw", "status"), [(HEAD, 200), (GET, 204), (GET, 304)])
def test_a_stream_without_body(raw: bytes, status: int) -> None:
    def stream(r: Any) -> Any:
        return r.stream_begin(status), r.stream_write(b"dropped"), r.stream_end()

    handler = Answering(stream)
    with serving(handler) as server:
        (response,) = server.send(raw)
    assert handler.result == (0, 0, 0)
    assert response.status == status
    if status != 200:
        assert "transfer-encoding" not in response


def test_nothing_of_a_bodyless_answer_spills_into_the_next() -> None:
    """A request behind a HEAD on the same connection gets its own answer."""
    raw = HEAD.replace(b"Connection: close\r\n", b"") + GET
    with serving(Answering(lambda r: r.respond(200, b"hello"))) as server:
        first, second = server.send(raw)
    assert (first["content-length"], second.body) == ("5", b"hello")


# ---- In pieces -----------------------------------------------------------------------------


def stream(*pieces: bytes, length: int = -1) -> Callable[[Any], Any]:
    def answer(r: Any) -> Any:
        results = [r.stream_begin(200, length)]
        results += [r.stream_write(piece) for piece in pieces]
        return [*results, r.stream_end()]

    return answer


@pytest.mark.parametrize("length", [-1, 5 + 2 * len(BIG)])
def test_a_stream(length: int) -> None:
    response = answered(GET, stream(b"he", BIG, b"", b"llo", BIG, length=length))
    assert response.body == b"he" + BIG + b"llo" + BIG
    assert response.complete
    if length < 0:
        assert response["transfer-encoding"] == "chunked"
    else:
        assert response["content-length"] == str(length)


def test_a_stream_to_an_old_client_ends_with_the_connection() -> None:
    raw = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    response = answered(raw, stream(b"a", b"bc"))
    assert response.body == b"abc"
    assert response["connection"] == "close"
    assert "transfer-encoding" not in response


def test_a_stated_length_frames_a_stream() -> None:
    def answer(r: Any) -> None:
        r.stream_begin(200, -1, [(b"content-length", b"3")])
        r.stream_write(b"abc")
        r.stream_end()

    response = answered(GET, answer)
    assert (response["content-length"], response.body) == ("3", b"abc")


def test_more_than_was_stated_is_refused() -> None:
    handler = Answering(stream(b"abc", b"d", length=3))
    with serving(handler) as server:
        (response,) = server.send(GET)
    assert handler.result == [0, 0, -errno.EMSGSIZE, 0]
    assert response.body == b"abc"


def test_less_than_was_stated_shows_as_a_cut() -> None:
    handler = Answering(stream(b"ab", length=3))
    with serving(handler) as server:
        (response,) = server.send(GET.replace(b"close", b"keep-alive"))
    assert handler.result == [0, 0, -errno.EPROTO]
    assert not response.complete
    assert ("gone",) not in handler.events


def test_an_abort_shows_as_a_cut() -> None:
    def answer(r: Any) -> Any:
        r.stream_begin(200)
        r.stream_write(b"ab")
        r.abort()
        return r.stream_write(b"c"), r.stream_end(), r.respond(200)

    handler = Answering(answer)
    with serving(handler) as server:
        (response,) = server.send(GET)
    assert handler.result == (-errno.ECANCELED,) * 3
    assert (response.complete, response.body) == (False, b"ab")
    assert ("gone",) not in handler.events


def test_pieces_without_a_beginning_are_refused() -> None:
    assert result_of(lambda r: (r.stream_write(b"x"), r.stream_end())) == (-errno.ECANCELED,) * 2


# ---- The end of the connection -------------------------------------------------------------


def test_keep_alive_is_said_to_old_clients_only() -> None:
    old = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    with serving(Handler()) as server:
        first, second = server.send(old + OLD)
        (new,) = server.send(GET.replace(b"close", b"keep-alive"), eof=True)
    assert first["connection"] == "keep-alive"
    assert second["connection"] == "close"
    assert "connection" not in new


# ---- Bytes of names and values -------------------------------------------------------------


def test_every_byte_in_a_name_and_in_a_value() -> None:
    """Names are tokens (RFC 9110 section 5.6.2); values have no control character but tabs."""
    token = set(b"!#$%&'*+-.^_`|~0123456789") | {byte for byte in range(128) if chr(byte).isalpha()}
    value = {*range(0x20, 0x7F), *range(0x80, 0x100), 0x09}

    core, _ = load()
    names = {b for b in range(256) if core.field_is_fine(b"x" + bytes([b]) + b"y", b"")}
    values = {
        b
        for b in range(256)
        if all(core.field_is_fine(b"x", b"a" * i + bytes([b]) + b"z" * (11 - i)) for i in range(12))
    }
    assert (names, values) == (token, value)
