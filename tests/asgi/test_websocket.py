"""WebSockets of ASGI apps: events in every order, and how they end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import Notes
from support.responses import Response
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import Serve
    from support.serving import Served
    from websockets.sync.client import ClientConnection

ACCEPT: dict[str, Any] = {"type": "websocket.accept"}
CONNECT = {"type": "websocket.connect"}


def websocket(handler: Callable[[Any, Any, Any], Awaitable[None]]) -> Any:
    """An app for WebSockets alone."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        assert await receive() == CONNECT
        await handler(scope, receive, send)

    return app


def opened(served: Served, path: str = "/", **options: Any) -> ClientConnection:
    assert isinstance(served.address, tuple)
    host, port = served.address
    return connect(f"ws://{host}:{port}{path}", proxy=None, **options)


def closed(client: ClientConnection) -> tuple[int, str]:
    """Code and reason of the close frame that comes."""
    try:
        while True:
            client.recv(30)
    except ConnectionClosed as exc:
        frame = exc.rcvd
    return (1006, "") if frame is None else (frame.code, frame.reason)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


def test_the_scope(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        notes.add(scope)
        await send(ACCEPT)
        await receive()

    served = serve(websocket(app), root_path="/api")
    origin = "http://localhost:3000"  # a page of this machine
    with opened(served, "/caf%C3%A9?q=1", subprotocols=["a", "b"], origin=origin) as client:
        address = client.local_address
    scope = notes.next()
    headers = dict(scope.pop("headers"))
    assert headers[b"origin"] == origin.encode()
    assert headers[b"upgrade"] == b"websocket"
    assert scope.pop("client") == address
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": served.address,
        "scheme": "ws",
        "root_path": "/api",
        "path": "/api/café",
        "raw_path": b"/api/caf%C3%A9",
        "query_string": b"q=1",
        "subprotocols": ["a", "b"],
        "extensions": {"websocket.http.response": {}},
    }


def test_text_and_bytes_both_ways(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        while (event := await receive())["type"] == "websocket.receive":
            assert len(event) == 2
            await send({**event, "type": "websocket.send"})

    with opened(serve(websocket(app))) as client:
        for message in ("text", "dreißig € 😀", b"bytes", "", b"", "x" * 100_000, b"y" * 100_000):
            client.send(message)
            assert client.recv(30) == message


@pytest.mark.parametrize(
    ("message", "received"),
    [
        ({"text": "a", "bytes": None}, "a"),
        ({"text": None, "bytes": b"a"}, b"a"),
        ({"bytes": bytearray(b"a")}, b"a"),
    ],
)
def test_messages_with_both_keys(serve: Serve, message: Any, received: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.send", **message})

    with opened(serve(websocket(app))) as client:
        assert client.recv(30) == received


def test_subprotocol_and_headers(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**ACCEPT, "subprotocol": "b", "headers": [(b"x-a", b"1"), [b"x-a", b"2"]]})

    with opened(serve(websocket(app)), subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        assert client.response is not None
        assert client.response.headers.get_all("x-a") == ["1", "2"]


def test_the_client_closes(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        notes.add(await receive())
        notes.add(await receive())
        with pytest.raises(OSError, match="gone"):
            await send({"type": "websocket.send", "text": "late"})
        await send({"type": "websocket.close"})
        notes.add("refused")

    with opened(serve(websocket(app))) as client:
        client.close(3001, "enough")
    for _ in range(2):
        event = notes.next()
        assert event == {"type": "websocket.disconnect", "code": 3001, "reason": "enough"}
    assert notes.next() == "refused"


def test_the_client_vanishes(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        notes.add(await receive())

    client = opened(serve(websocket(app)))
    client.socket.shutdown(2)
    assert notes.next() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


def test_the_client_vanishes_before_it_is_accepted(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        notes.add("called")
        notes.add(await receive())
        with pytest.raises(OSError, match="gone"):
            await send(ACCEPT)
        notes.add("refused")

    with serve(websocket(app)).connect() as sock:
        sock.sendall(OFFER)
        assert notes.next() == "called"
        sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: a reset
    assert notes.next()["type"] == "websocket.disconnect"
    assert notes.next() == "refused"


OFFER = (
    b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [({}, 1000, ""), ({"code": 4000, "reason": "why"}, 4000, "why"), ({"reason": None}, 1000, "")],
)
def test_the_app_closes(serve: Serve, message: Any, code: int, reason: str) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.close", **message})
        notes.add(await receive())
        with pytest.raises(RuntimeError, match=r"websocket\.close was sent before"):
            await send({"type": "websocket.send", "text": "late"})
        notes.add("refused")

    with opened(serve(websocket(app))) as client:
        assert closed(client) == (code, reason)
    assert notes.next() == {"type": "websocket.disconnect", "code": code, "reason": reason}
    assert notes.next() == "refused"


def test_an_app_that_returns(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)

    with opened(serve(websocket(app))) as client:
        assert closed(client) == (1000, "")


def test_an_app_that_raises(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        raise ValueError("mine")

    with opened(serve(websocket(app))) as client:
        assert closed(client) == (1011, "")
    assert errors(caplog) == ["GET /: the app raised an exception"]


def declined(served: Served) -> tuple[int, bytes]:
    with pytest.raises(InvalidStatus) as info:
        opened(served)
    response = info.value.response
    return response.status_code, bytes(response.body)


def test_declined(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})
        notes.add(await receive())
        for message in (ACCEPT, {"type": "websocket.close"}):
            with pytest.raises(RuntimeError, match="the WebSocket was declined"):
                await send(message)
        notes.add("refused")

    assert declined(serve(websocket(app)))[0] == 403
    assert notes.next() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    assert notes.next() == "refused"


@pytest.mark.parametrize("pieces", [1, 2])
def test_declined_with_an_answer_of_the_apps_own(serve: Serve, pieces: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        start = {"status": 401, "headers": [(b"x-why", b"token")]}
        await send({"type": "websocket.http.response.start", **start})
        with pytest.raises(RuntimeError, match=r"expected websocket\.http\.response\.body"):
            await send(ACCEPT)
        body = {"type": "websocket.http.response.body"}
        if pieces > 1:
            await send({**body, "body": b"go ", "more_body": True})
        await send({**body, "body": b"away"})
        with pytest.raises(RuntimeError, match="the WebSocket was declined"):
            await send(body)

    served = serve(websocket(app))
    status, content = declined(served)
    assert status == 401
    assert content == (b"away" if pieces == 1 else b"go away")
    with served.connect() as sock:
        for _ in range(2):  # the connection goes on
            sock.sendall(OFFER)
            data = b""
            while not data.endswith((b"away", b"0\r\n\r\n")):
                data += sock.recv(1000)
            assert Response.parse(data)[0]["x-why"] == "token"


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([{"type": "websocket.send", "text": "a"}], "expected websocket.accept, websocket.close"),
        ([{"type": "websocket.http.response.body"}], "expected websocket.accept, websocket.close"),
        ([{"type": "http.response.start", "status": 200}], "expected websocket.accept, websocket."),
        ([{**ACCEPT, "subprotocol": b"a"}], "'subprotocol' must be a str, not bytes"),
        ([{**ACCEPT, "subprotocol": "a b"}], "'subprotocol' must be a token, not 'a b'"),
        ([{**ACCEPT, "headers": [("a", "b")]}], "header names and values are bytes, not 'a'"),
        ([{"type": "websocket.http.response.start"}], "needs an integer 'status'"),
    ],
)
def test_wrong_messages_before_it_is_accepted(
    serve: Serve, caplog: pytest.LogCaptureFixture, messages: list[Any], error: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    assert declined(serve(websocket(app)))[0] == 500
    assert errors(caplog) == ["GET /: the app raised an exception"]
    assert error in caplog.text


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (ACCEPT, "expected websocket.send or websocket.close"),
        ({"type": "websocket.http.response.start", "status": 200}, "expected websocket.send or"),
        ({"type": "nonsense"}, "expected websocket.send or websocket.close"),
        ({"type": "websocket.send"}, "websocket.send needs either 'text' or 'bytes'"),
        ({"type": "websocket.send", "text": "a", "bytes": b"b"}, "needs either 'text' or 'bytes'"),
        ({"type": "websocket.send", "text": b"a"}, "'text' must be a str and 'bytes' bytes"),
        ({"type": "websocket.send", "bytes": "a"}, "'text' must be a str and 'bytes' bytes"),
        ({"type": "websocket.close", "code": 999}, "a close code is 1000 to 1003"),
        ({"type": "websocket.close", "code": 1006}, "a close code is 1000 to 1003"),
        ({"type": "websocket.close", "code": 10**30}, "too large"),
        ({"type": "websocket.close", "code": "1"}, "'str' object cannot be interpreted as an int"),
        ({"type": "websocket.close", "reason": "x" * 124}, "at most 123 bytes"),
        ({"type": "websocket.close", "reason": 1}, "'reason' must be a str"),
    ],
)
def test_wrong_messages_when_it_is_open(
    serve: Serve, caplog: pytest.LogCaptureFixture, message: Any, error: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await send(message)

    with opened(serve(websocket(app))) as client:
        assert closed(client) == (1011, "")
    assert errors(caplog) == ["GET /: the app raised an exception"]
    assert error in caplog.text


def test_an_app_that_returns_without_a_word(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        return

    assert declined(serve(websocket(app)))[0] == 500
    assert errors(caplog) == [
        "GET /: the app returned without having accepted or closed the WebSocket"
    ]


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [(b"version: 13", b"version: 12", 426), (b"AAAAAA==", b"", 400)],
)
def test_malformed_offers_never_reach_the_app(
    serve: Serve, old: bytes, new: bytes, status: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    with serve(app).connect() as sock:
        sock.sendall(OFFER.replace(old, new))
        assert sock.recv(1000).startswith(b"HTTP/1.1 %d " % status)


def test_a_slow_client_holds_the_app_back(serve: Serve) -> None:
    notes = Notes()
    count = 300

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        for number in range(count):
            notes.add(number)
            await send({"type": "websocket.send", "bytes": b"x" * 100_000})

    with opened(serve(websocket(app)), max_queue=1, compression=None) as client:
        seen = notes.next()
        while not notes.empty():
            seen = notes.next()
        assert seen < count - 1
        received = [client.recv(30) for _ in range(count)]
    assert all(len(message) == 100_000 for message in received)


def test_messages_wait_for_an_app_that_is_busy(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        notes.add((asyncio.get_running_loop(), go := asyncio.Event()))
        await go.wait()
        for _ in range(100):
            notes.add((await receive())["text"])
        notes.add((await receive())["type"])

    with opened(serve(websocket(app))) as client:
        loop, go = notes.next()
        for number in range(100):
            client.send(str(number))
        loop.call_soon_threadsafe(go.set)
        assert [notes.next() for _ in range(100)] == [str(n) for n in range(100)]
    assert notes.next() == "websocket.disconnect"


def test_the_server_stops(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        notes.add(await receive())

    served = serve(websocket(app))
    with opened(served) as client:
        served.stop()
        code, _ = closed(client)
        assert code in (1001, 1012)
    assert notes.next()["type"] == "websocket.disconnect"
