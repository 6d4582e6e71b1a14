"""The events that an app gets: the body, and the client's end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import Notes, body, http_only, read_body, start
from support.responses import Response

if TYPE_CHECKING:
    from conftest import Serve

REQUEST = {"type": "http.request", "body": b"", "more_body": False}
DISCONNECT = {"type": "http.disconnect"}


def echo() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        content = await read_body(receive)
        await send(start())
        await send(body(content))

    return http_only(app)


def test_a_request_without_a_body(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        notes.add(await receive())
        await send(start())
        await send(body())
        notes.add(await receive())
        notes.add(await receive())

    serve(http_only(app)).client.get("/")
    assert notes.next() == REQUEST
    assert notes.next() == DISCONNECT
    assert notes.next() == DISCONNECT


def test_a_body_that_is_there_comes_as_one_event(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        notes.add(await receive())
        await send(start())
        await send(body())

    serve(http_only(app)).client.post("/", content=b"x" * 10_000)
    assert notes.next() == {"type": "http.request", "body": b"x" * 10_000, "more_body": False}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 1_000_000])
def test_bodies_of_any_size(serve: Serve, chunked: bool, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    sent: Any = iter([content[: size // 2], content[size // 2 :]]) if chunked else content
    assert serve(echo()).client.post("/", content=sent).content == content


def test_requests_with_bodies_that_come_together(serve: Serve) -> None:
    post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n%s\r\n%s"
    requests = post % (b"", b"one  ") + post % (b"", b"two  ")
    answer = serve(echo()).exchange(requests + post % (b"connection: close\r\n", b"three"))
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.endswith(b"three")


def test_a_body_comes_as_it_arrives(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (event := await receive())["more_body"]:
            notes.add(event)
        notes.add(event)
        await send(start())
        await send(body())

    with serve(http_only(app)).connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\na")
        assert notes.next()["body"] == b"a"
        sock.sendall(b"b")
        assert notes.next()["body"] == b"b"
        sock.sendall(b"c")
        assert notes.next() == {"type": "http.request", "body": b"c", "more_body": False}
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_the_app_runs_before_the_body_is_there(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"early"))

    with serve(http_only(app)).connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n")
        assert sock.recv(1000).endswith(b"early")


def test_a_body_that_nobody_takes_is_held_back(serve: Serve) -> None:
    """The client can't send without end into a server whose app doesn't read."""
    release = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        release.add(asyncio.get_running_loop())
        release.add(go := asyncio.Event())
        await go.wait()
        await send(start())
        await send(body(str(len(await read_body(receive))).encode()))

    size = 64 * 1024 * 1024
    served = serve(http_only(app), limits={"body": size})
    with served.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        loop, go = release.next(), release.next()
        sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < size:
                sent += sock.send(b"x" * 65536)
        assert sent < size
        sock.settimeout(30)
        loop.call_soon_threadsafe(go.set)
        while sent < size:
            sent += sock.send(b"x" * min(65536, size - sent))
        answer = sock.recv(65536)
        assert answer.endswith(b"%d" % size), answer


def test_the_client_is_asked_to_go_on_at_the_first_receive(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        notes.add(go := asyncio.Event())
        notes.add(asyncio.get_running_loop())
        await go.wait()
        content = await read_body(receive)
        await send(start())
        await send(body(content))

    with serve(http_only(app)).connect() as sock:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
        sock.sendall(head)
        go, loop = notes.next(), notes.next()
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(30)
        loop.call_soon_threadsafe(go.set)
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"ok")
        assert sock.recv(1000).endswith(b"\r\n\r\nok")


def test_a_client_that_expects_gets_a_final_answer_without_sending(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(status=403))
        await send(body())

    raw = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
    answer, rest = Response.parse(serve(http_only(app)).exchange(raw))
    assert (answer.status, answer["connection"], rest) == (403, "close", b"")


@pytest.mark.parametrize("consumed", [False, True])
def test_a_client_that_goes_away(serve: Serve, consumed: bool) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if consumed:
            assert await receive() == REQUEST
        notes.add("waiting")
        notes.add(await receive())

    with serve(http_only(app)).connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (not consumed))
        assert notes.next() == "waiting"
    assert notes.next() == DISCONNECT


def test_what_has_arrived_comes_before_the_disconnect(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        notes.add("called")
        notes.add(await receive())
        notes.add(await receive())

    with serve(http_only(app)).connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc")
        assert notes.next() == "called"
    assert notes.next() == {"type": "http.request", "body": b"abc", "more_body": True}
    assert notes.next() == DISCONNECT


def test_a_client_that_has_said_all_may_still_get_its_answer(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == REQUEST
        notes.add(await receive())
        await send(start())
        await send(body(b"still"))

    with serve(http_only(app)).connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        sock.shutdown(1)
        assert notes.next() == DISCONNECT
        assert b"".join(iter(lambda: sock.recv(1000), b"")).endswith(b"still")


def test_who_waits_learns_that_the_answer_is_complete(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        listener = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await send(start())
        await send(body())
        notes.add(await listener)

    serve(http_only(app)).client.get("/")
    assert notes.next() == DISCONNECT


def test_a_cancelled_receive_loses_nothing(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        notes.add("cancelled")
        content = await read_body(receive)
        await send(start())
        await send(body(content))

    notes = Notes()
    with serve(http_only(app)).connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n")
        assert notes.next() == "cancelled"
        sock.sendall(b"ok")
        assert sock.recv(1000).endswith(b"\r\n\r\nok")


def test_receive_outlives_the_call(serve: Serve) -> None:
    notes = Notes()

    async def later(receive: Any, send: Any, go: asyncio.Event) -> None:
        await go.wait()
        notes.add(await receive())
        with pytest.raises(RuntimeError, match="the response is complete"):
            await send(start())
        notes.add("refused")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        go = asyncio.Event()
        tasks.append(asyncio.create_task(later(receive, send, go)))
        await send(start())
        await send(body())
        asyncio.get_running_loop().call_soon(go.set)

    tasks: list[Any] = []
    serve(http_only(app)).client.get("/")
    assert notes.next() == DISCONNECT
    assert notes.next() == "refused"


def test_a_body_over_the_limit(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        notes.add("called")
        while (event := await receive())["type"] != "http.disconnect":
            pass
        notes.add(event)

    served = serve(http_only(app), limits={"body": 2000})
    with served.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        sock.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        assert notes.next() == "called"
        sock.sendall(b"fff\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert notes.next() == DISCONNECT


def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        content = await read_body(receive)
        await asyncio.sleep(0)
        await send(start())
        await send(body(scope["raw_path"] + content))

    request = b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n-%d"
    last = b"GET /9 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    raw = b"".join(request % (n, n) for n in range(9)) + last
    answers = Response.parse_all(serve(http_only(app)).exchange(raw))
    assert [a.body for a in answers] == [b"/%d-%d" % (n, n) for n in range(9)] + [b"/9"]


def test_a_request_behind_another_is_served_before_its_body_is_there(serve: Serve) -> None:
    """Its turn comes when the loop is about to block, and nothing else happens then."""
    notes = Notes()
    released = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        notes.add(scope["path"])
        if scope["path"] == "/first":
            await released.wait()
        await send(start())
        await send(body(scope["path"].encode()))

    served = serve(http_only(app), limits={"body_rate": 0, "keep_alive": 0})
    assert served.loop is not None
    with served.connect() as sock:
        sock.sendall(
            b"GET /first HTTP/1.1\r\nhost: x\r\n\r\n"
            b"POST /second HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf"
        )
        assert notes.next() == "/first"
        served.loop.call_soon_threadsafe(released.set)
        data = b""
        while not data.endswith(b"/second"):
            data += sock.recv(65536)
    first, second = Response.parse_all(data)
    assert (first.body, second.body) == (b"/first", b"/second")
