"""TestClient: WebSockets."""

from typing import Any

import pytest
from fluvial import (
    App,
    Depends,
    PlainTextResponse,
    StreamingResponse,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)
from fluvial.endpoints import WebSocketEndpoint
from fluvial.testclient import TestClient, WebSocketDenialResponse


def chat() -> App:
    app = App()

    @app.websocket("/echo/{name}")
    async def echo(websocket: WebSocket, name: str) -> None:
        offered = websocket.subprotocols
        await websocket.accept(offered[0] if offered else None, [(b"x-name", name.encode())])
        while True:
            match await websocket.receive():
                case {"text": str(text)}:
                    await websocket.send_text(f"{name}: {text}")
                case {"bytes": bytes(data)}:
                    await websocket.send_bytes(data)
                case _:
                    return

    @app.websocket("/close")
    async def close(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4001, "enough")

    @app.websocket("/refuse")
    async def refuse(websocket: WebSocket) -> None:
        raise WebSocketException(1008, "who are you?")

    @app.websocket("/deny")
    async def deny(websocket: WebSocket) -> None:
        await websocket.send_denial_response(PlainTextResponse("no", 402))

    @app.websocket("/fail/{when}")
    async def fail(websocket: WebSocket, when: str) -> None:
        if when == "after":
            await websocket.accept()
        raise LookupError(when)

    @app.websocket("/wait")
    async def wait(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()

    return app


def test_messages_of_all_kinds_and_sizes() -> None:
    with TestClient(chat()).websocket_connect("/echo/anna") as websocket:
        websocket.send_text("hällo")
        assert websocket.receive_text() == "anna: hällo"
        websocket.send_bytes(b"\x00\x01")
        assert websocket.receive_bytes() == b"\x00\x01"
        websocket.send_json({"a": [1, "ä"]}, mode="binary")
        assert websocket.receive_json(mode="binary") == {"a": [1, "ä"]}
        for size in (125, 126, 65535, 65536, 300_000):
            websocket.send_bytes(b"x" * size)
            assert websocket.receive() == {"type": "websocket.send", "bytes": b"x" * size}


def test_what_it_was_accepted_with() -> None:
    client = TestClient(chat(), headers={"x-a": "1"})
    with client.websocket_connect("ws://other/echo/bo", subprotocols=["a", "b"]) as websocket:
        assert websocket.accepted_subprotocol == "a"
        assert websocket.extra_headers == [(b"x-name", b"bo")]


def test_two_at_once_and_a_request_meanwhile() -> None:
    app = chat()

    @app.get("/")
    async def root() -> int:
        return 1

    with (
        TestClient(app) as client,
        client.websocket_connect("/echo/a") as first,
        client.websocket_connect("/echo/b") as second,
    ):
        assert client.get("/").json() == 1
        second.send_text("2")
        first.send_text("1")
        assert (first.receive_text(), second.receive_text()) == ("a: 1", "b: 2")


def test_sockets_that_overlap_are_on_one_loop() -> None:
    """As a chat needs it, whose handlers write to each other's connections."""
    app, members = App(), []

    @app.websocket("/")
    async def join(websocket: WebSocket) -> None:
        await websocket.accept()
        members.append(websocket)
        message = await websocket.receive()
        for member in members if "text" in message else ():
            await member.send_text(message["text"])

    client = TestClient(app)
    with client.websocket_connect("/") as first, client.websocket_connect("/") as second:
        second.send_text("hello")
        assert (first.receive_text(), second.receive_text()) == ("hello", "hello")


def test_the_app_closes() -> None:
    with TestClient(chat()).websocket_connect("/close") as websocket:
        with pytest.raises(WebSocketDisconnect) as caught:
            websocket.receive_text()
        assert (caught.value.code, caught.value.reason) == (4001, "enough")
        assert websocket.receive() == {"type": "websocket.close", "code": 4001, "reason": "enough"}


def test_the_app_refuses() -> None:
    client = TestClient(chat())
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect("/refuse"):
        pass
    assert (caught.value.code, caught.value.reason) == (1008, "who are you?")
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/deny"):
        pass
    assert (denied.value.status_code, denied.value.text) == (402, "no")
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/nowhere"):
        pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_exceptions_are_raised_at_the_end_of_the_block(when: str) -> None:
    with (
        pytest.raises(LookupError, match=when),
        TestClient(chat()).websocket_connect(f"/fail/{when}") as websocket,
    ):
        websocket.receive_text()


def test_a_disconnect_that_the_handler_lets_through_is_raised() -> None:
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        TestClient(chat()).websocket_connect("/wait") as websocket,
    ):
        websocket.close(4000, "bye")
    assert (caught.value.code, caught.value.reason) == (4000, "bye")


def test_the_tests_own_failure_is_not_replaced() -> None:
    client = TestClient(chat())
    with pytest.raises(AssertionError), client.websocket_connect("/wait"):
        raise AssertionError


def test_dependencies_end_before_the_block_does() -> None:
    app, events = App(), []

    async def connection():
        events.append("open")
        yield
        events.append("closed")

    @app.websocket("/")
    async def handler(websocket: WebSocket, value: None = Depends(connection)) -> None:
        await websocket.accept()
        await websocket.receive()

    with TestClient(app).websocket_connect("/"):
        assert events == ["open"]
    assert events == ["open", "closed"]


def test_auth() -> None:
    app = App()

    @app.websocket("/")
    async def read(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.headers.get("authorization", "none"))

    def by_token(request: Any) -> Any:
        request.headers["authorization"] = "Bearer token"
        return request

    client = TestClient(app)
    for auth, sent in ((("a", "b"), "Basic YTpi"), (by_token, "Bearer token"), (None, "none")):
        with client.websocket_connect("/", auth=auth) as websocket:
            assert websocket.receive_text() == sent
    client.auth = ("a", "b")
    with client.websocket_connect("/") as websocket:
        assert websocket.receive_text() == "Basic YTpi"


async def by_response(websocket: WebSocket) -> None:
    assert await websocket.receive() == {"type": "websocket.connect"}
    await websocket.send_denial_response(PlainTextResponse("not here", 404, {"x-a": "b"}))


async def by_stream(websocket: WebSocket) -> None:
    pieces = StreamingResponse(iter([b"not ", b"here"]), 404, {"x-a": "b"})
    await websocket.send_denial_response(pieces)
    with pytest.raises(RuntimeError, match="isn't accepted yet"):
        await websocket.send({"type": "websocket.http.response.body"})


async def by_events(websocket: WebSocket) -> None:
    start = {"type": "websocket.http.response.start", "status": 404, "headers": [(b"x-a", b"b")]}
    await websocket.send(start)
    body = {"type": "websocket.http.response.body", "body": b"not ", "more_body": True}
    await websocket.send(body)
    await websocket.send({"type": "websocket.http.response.body", "body": b"here"})


class DeclinesAll(WebSocketEndpoint):
    async def on_connect(self, websocket: WebSocket) -> None:
        await by_stream(websocket)

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        raise AssertionError


@pytest.mark.parametrize("place", ["alone", "mounted", "inside"])
@pytest.mark.parametrize("decline", [by_response, by_stream, by_events, DeclinesAll])
def test_a_websocket_that_is_made_of_a_scope_can_be_declined(place: str, decline: Any) -> None:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if isinstance(decline, type):
            await decline(scope, receive, send)
        else:
            await decline(WebSocket(scope, receive, send))

    app: Any = App()
    if place == "alone":
        app = asgi
    elif place == "mounted":
        app.mount("/", asgi)
    else:
        app.add_middleware(lambda inner: asgi)
    with (
        pytest.raises(WebSocketDenialResponse) as caught,
        TestClient(app).websocket_connect("/"),
    ):
        pass
    denial = caught.value
    assert (denial.status_code, denial.text, denial.headers["x-a"]) == (404, "not here", "b")
