"""What an app's messages become: framing, pieces, back-pressure."""

from __future__ import annotations

import asyncio
import contextlib
import http
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import Notes, answering, body, http_only, start
from support.responses import Response

if TYPE_CHECKING:
    from conftest import Serve

GET = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
GET_1_0 = b"GET / HTTP/1.0\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
LENGTH_5 = (b"content-length", b"5")


def test_an_answer_in_one_piece_gets_its_length(serve: Serve) -> None:
    raw = serve(answering(start((b"x-a", b"1")), body(b"hello"))).exchange(GET)
    answer, rest = Response.parse(raw)
    assert (answer.status, answer.body, rest) == (200, b"hello", b"")
    assert answer["content-length"] == "5"
    assert answer["x-a"] == "1"
    assert answer["server"] == "fluvial"
    assert "date" in answer
    assert "transfer-encoding" not in answer


def test_the_apps_fields_stand_in_order_and_win(serve: Serve) -> None:
    fields = [
        (b"Server", b"mine"),
        (b"date", b"never"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
    ]
    answer, _ = Response.parse(serve(answering(start(*fields), body())).exchange(GET))
    names = [name for name, _ in answer.fields]
    assert names.index("set-cookie") > names.index("date") > names.index("server")
    assert answer["server"] == "mine"
    assert answer["date"] == "never"
    assert [value for name, value in answer.fields if name == "set-cookie"] == ["a", "b"]


def test_everything_optional_may_be_left_out(serve: Serve) -> None:
    app = answering(
        {"type": "http.response.start", "status": http.HTTPStatus.CREATED},
        {"type": "http.response.body"},
    )
    answer, rest = Response.parse(serve(app).exchange(GET))
    assert (answer.status, answer.body, answer["content-length"], rest) == (201, b"", "0", b"")


@pytest.mark.parametrize("headers", [[[b"x-a", b"1"]], ((b"x-a", b"1"),), {b"x-a": b"1"}.items()])
def test_headers_are_any_iterable_of_pairs(serve: Serve, headers: Any) -> None:
    app = answering({"type": "http.response.start", "status": 200, "headers": headers}, body())
    assert serve(app).client.get("/").headers["x-a"] == "1"


@pytest.mark.parametrize("content", [bytearray(b"hello"), memoryview(b"hello")])
def test_bodies_may_be_like_bytes(serve: Serve, content: Any) -> None:
    assert serve(answering(start(), body(content))).client.get("/").content == b"hello"


def test_pieces_are_chunked(serve: Serve) -> None:
    app = answering(start(), body(b"hel", more=True), body(more=True), body(b"lo"))
    answer, rest = Response.parse(serve(app).exchange(GET))
    assert (answer.body, answer.complete, rest) == (b"hello", True, b"")
    assert answer["transfer-encoding"] == "chunked"


def test_pieces_of_a_stated_length(serve: Serve) -> None:
    app = answering(start(LENGTH_5), body(b"hel", more=True), body(b"lo", more=True), body())
    answer, rest = Response.parse(serve(app).exchange(GET))
    assert (answer.body, answer["content-length"], rest) == (b"hello", "5", b"")
    assert "transfer-encoding" not in answer


def test_pieces_for_http_1_0_end_with_the_connection(serve: Serve) -> None:
    app = answering(start(), body(b"hel", more=True), body(b"lo"))
    answer, rest = Response.parse(serve(app).exchange(GET_1_0))
    assert (answer.body, answer["connection"], rest) == (b"hello", "close", b"")
    assert "transfer-encoding" not in answer


@pytest.mark.parametrize("more", [False, True])
def test_head_gets_no_body(serve: Serve, more: bool) -> None:
    messages = [body(b"hello", more=True), body()] if more else [body(b"hello")]
    raw = serve(answering(start(LENGTH_5), *messages)).exchange(HEAD)
    answer, rest = Response.parse(raw, is_head=True)
    assert (answer["content-length"], rest) == ("5", b"")


def test_head_keeps_the_stated_length_of_what_is_not_sent(serve: Serve) -> None:
    raw = serve(answering(start(LENGTH_5), body())).exchange(HEAD)
    assert Response.parse(raw, is_head=True)[0]["content-length"] == "5"


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(serve: Serve, status: int) -> None:
    raw = serve(answering(start(status=status), body(b"ignored"))).exchange(GET)
    answer, rest = Response.parse(raw)
    assert (answer.status, rest) == (status, b"")
    assert "content-length" not in answer
    assert "transfer-encoding" not in answer


def test_hop_by_hop_fields_are_the_servers(serve: Serve) -> None:
    app = answering(start((b"transfer-encoding", b"chunked"), (b"keep-alive", b"x")), body(b"hi"))
    answer, rest = Response.parse(serve(app).exchange(GET))
    assert (answer.body, answer["content-length"], rest) == (b"hi", "2", b"")
    assert "keep-alive" not in answer


def test_an_app_may_close_the_connection(serve: Serve) -> None:
    app = answering(start((b"connection", b"close")), body(b"bye"))
    raw = serve(app).exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert Response.parse(raw)[0]["connection"] == "close"


def test_nothing_is_written_before_the_first_body(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        notes.add((go := asyncio.Event(), asyncio.get_running_loop()))
        await go.wait()
        await send(body(b"now"))

    with serve(http_only(app)).connect() as sock:
        sock.sendall(GET)
        go, loop = notes.next()
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(30)
        loop.call_soon_threadsafe(go.set)
        assert sock.recv(1000).endswith(b"now")


def test_each_piece_goes_out_when_it_is_sent(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"first", more=True))
        notes.add((go := asyncio.Event(), asyncio.get_running_loop()))
        await go.wait()
        await send(body(b"second"))

    with serve(http_only(app)).connect() as sock:
        sock.sendall(GET)
        go, loop = notes.next()
        data = b""
        while b"first" not in data:
            data += sock.recv(1000)
        loop.call_soon_threadsafe(go.set)
        while b"second" not in data:
            data += sock.recv(1000)


def test_a_slow_client_holds_the_app_back(serve: Serve) -> None:
    """Memory stays bounded: send() doesn't return while much is queued."""
    notes = Notes()
    count, piece = 400, b"x" * 100_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start((b"content-length", b"%d" % (count * len(piece)))))
        for number in range(count):
            notes.add(number)
            await send(body(piece, more=True))
        await send(body())

    with serve(http_only(app)).connect() as sock:
        sock.sendall(GET)
        seen = 0
        while not notes.empty() or seen == 0:
            seen = notes.next()
        assert seen < count - 1
        data = b"".join(iter(lambda: sock.recv(1 << 20), b""))
    answer, _ = Response.parse(data)
    assert len(answer.body) == count * len(piece)


def test_send_raises_oserror_when_the_client_is_gone(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x" * 100_000, more=True))
        except OSError as exc:
            notes.add(exc)
        try:
            await send(body())
        except OSError as exc:
            notes.add(exc)

    with serve(http_only(app)).connect() as sock:
        sock.sendall(GET)
        sock.recv(1000)
    for _ in range(2):
        exc = notes.next()
        assert isinstance(exc, ConnectionResetError)
        assert str(exc) == "the client has gone away"


@pytest.mark.parametrize("begun", [False, True])
def test_a_stream_whose_app_hears_of_the_end_may_send_a_little_more(
    serve: Serve, begun: bool
) -> None:
    """Frameworks cancel the sender when they see http.disconnect, and it may be about to send."""
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        if begun:
            await send(body(b"x", more=True))
        assert (await receive())["type"] == "http.request"
        notes.add("ready")
        assert (await receive())["type"] == "http.disconnect"
        sent = 0
        with contextlib.suppress(OSError):
            while True:
                await send(body(b"x", more=True))
                sent += 1
        notes.add(sent)

    with serve(http_only(app)).connect() as sock:
        sock.sendall(GET)
        assert notes.next() == "ready"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert notes.next() == 16


def test_send_before_the_start_raises_when_the_client_is_gone(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        notes.add("called")
        while (await receive())["type"] != "http.disconnect":
            pass
        with pytest.raises(OSError, match="gone"):
            await send(start())
        notes.add("raised")

    with serve(http_only(app)).connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n")
        assert notes.next() == "called"
    assert notes.next() == "raised"


def test_messages_may_be_sent_by_tasks(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.create_task(send(start()))
        await asyncio.wait_for(send(body(b"by a task")), 10)

    assert serve(http_only(app)).client.get("/").text == "by a task"


def test_what_send_returns_is_a_coroutine(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        results = [send(start()), receive()]
        kinds = [asyncio.iscoroutine(result) for result in results]
        for result in results:
            result.close()
        await send(body(str(kinds).encode()))

    assert serve(http_only(app)).client.get("/").text == "[True, True]"
