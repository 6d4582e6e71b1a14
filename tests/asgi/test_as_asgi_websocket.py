"""WebSockets of Fluvial apps as an ASGI server sees them: which events, in which order."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fluvial import (
    App,
    BackgroundTasks,
    Depends,
    HTTPConnection,
    HTTPException,
    JSONResponse,
    Response,
    StreamingResponse,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.websockets import WebSocketDisconnect as StarletteDisconnect

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept", "subprotocol": None, "headers": []}
DENIALS: dict[str, Any] = {"websocket.http.response": {}}


def text(data: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": data}


def gone(code: int, reason: str | None = None) -> dict[str, Any]:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def sent(data: str) -> dict[str, Any]:
    return {"type": "websocket.send", "text": data}


def close(code: int = 1000, reason: str = "") -> dict[str, Any]:
    return {"type": "websocket.close", "code": code, "reason": reason}


class Server:
    """One WebSocket of a server: gives `events`, keeps what is sent, which fails after `room`."""

    def __init__(self, *events: Any, room: int = 1000, **scope: Any) -> None:
        self.events = list(events)
        self.sent: list[Any] = []
        self.waits = asyncio.Event()  # the app does, for more events
        self.room = room
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/",
            "headers": [(b"host", b"test")],
            **scope,
        }

    async def receive(self) -> Any:
        if not self.events:
            self.waits.set()
            await asyncio.Event().wait()
        return self.events.pop(0)

    async def send(self, message: Any) -> None:
        await asyncio.sleep(0)
        if len(self.sent) == self.room:
            raise OSError("the client has gone")
        self.sent.append(message)

    async def call(self, app: App) -> None:
        async with asyncio.timeout(30):
            await app(self.scope, self.receive, self.send)


def talk(handler: Any, *events: Any, **options: Any) -> list[Any]:
    """What a handler's app sends to a server that gives these events."""
    app = App()
    app.add_api_websocket_route("/", handler)
    return call(app, *events, **options)


def call(app: App, *events: Any, **options: Any) -> list[Any]:
    server = Server(CONNECT, *events, **options)
    asyncio.run(server.call(app))
    return server.sent


# ---- In order ------------------------------------------------------------------------------


def test_a_conversation() -> None:
    async def handler(websocket: WebSocket) -> None:
        assert isinstance(websocket, WebSocket)
        await websocket.accept("a", [(b"X-A", b"1")])
        async for message in websocket.iter_text():
            await websocket.send_text(message + "!")

    assert talk(handler, text("one"), text("two"), gone(1001)) == [
        {"type": "websocket.accept", "subprotocol": "a", "headers": [(b"x-a", b"1")]},
        sent("one!"),
        sent("two!"),
    ]


def test_the_app_returns() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json({"a": 1})
        await websocket.send_json([1], mode="binary")

    binary = {"type": "websocket.send", "bytes": b"[1]"}
    assert talk(handler) == [ACCEPT, sent('{"a":1}'), binary, close()]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"text": "a", "bytes": None}, "a"),
        ({"text": None, "bytes": b"a"}, b"a"),
        ({"bytes": b""}, b""),
        ({"text": ""}, ""),
    ],
)
def test_either_key(event: Any, message: Any) -> None:
    found: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        found.append(await websocket.receive_data())

    talk(handler, {"type": "websocket.receive", **event})
    assert found == [message]


def test_what_comes_after_close_is_dropped() -> None:
    found: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4000, "done")
        with pytest.raises(WebSocketDisconnect) as info:
            await websocket.receive_text()
        found.append((info.value.code, info.value.reason))

    assert talk(handler, text("late"), gone(4000, "done")) == [ACCEPT, close(4000, "done")]
    assert found == [(4000, "done")]


def test_a_close_without_a_code() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(1005)

    assert talk(handler) == [ACCEPT, close(1000)]


def test_subprotocols_are_the_scopes() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept(websocket.subprotocols[-1])

    assert talk(handler, subprotocols=["a", "b"])[0]["subprotocol"] == "b"


# ---- The client goes -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/nowhere"])
def test_the_client_goes_first(path: str) -> None:
    async def handler(websocket: WebSocket) -> None:
        raise AssertionError

    app = App()
    app.add_api_websocket_route("/", handler)
    server = Server(gone(1006), path=path, extensions=DENIALS)
    asyncio.run(server.call(app))
    assert server.sent == []


@pytest.mark.parametrize("room", [0, 1])
def test_sending_to_a_client_that_is_gone(room: int) -> None:
    found: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        async def begin() -> None:
            await websocket.accept()
            await websocket.send_text("a")

        with pytest.raises(WebSocketDisconnect) as info:
            await begin()
        assert websocket.client_state.name == "DISCONNECTED"
        assert websocket.disconnected
        with pytest.raises(WebSocketDisconnect):
            await websocket.send_text("b")
        found.append(info.value.code)
        found.append(await websocket.receive_data())  # it came before
        with pytest.raises(WebSocketDisconnect) as info:
            await websocket.receive_data()
        found.append(info.value.code)

    talk(handler, text("early"), gone(3000), room=room)
    assert found == [1006, "early", 3000]


def test_a_handler_need_not_catch_it() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        raise AssertionError

    assert talk(handler, gone(1001)) == [ACCEPT]


# ---- Declining -----------------------------------------------------------------------------


async def forbid() -> None:
    raise HTTPException(401, "who?", {"x-why": "token"})


async def fails(websocket: WebSocket) -> None:
    raise ValueError("mine")


async def wants_number(websocket: WebSocket, number: int) -> None:
    raise AssertionError


async def denies(websocket: WebSocket) -> None:
    await websocket.send_denial_response(JSONResponse({"why": "full"}, 503))


async def denies_slowly(websocket: WebSocket) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"pie"
        yield b"ces"

    await websocket.send_denial_response(StreamingResponse(pieces(), 402))


async def depends(websocket: WebSocket, none: Annotated[None, Depends(forbid)]) -> None:
    raise AssertionError


@pytest.mark.parametrize(
    ("handler", "status", "content"),
    [
        (depends, 401, b'{"detail":"who?"}'),
        (fails, 500, b"Internal Server Error"),
        (wants_number, 422, None),
        (denies, 503, b'{"why":"full"}'),
        (denies_slowly, 402, b"pieces"),
    ],
)
def test_answers(handler: Any, status: int, content: bytes | None) -> None:
    """Where the server takes them; else there is nothing but 403."""
    first, *bodies = talk(handler, extensions=DENIALS)
    assert (first["type"], first["status"]) == ("websocket.http.response.start", status)
    assert {each["type"] for each in bodies} == {"websocket.http.response.body"}
    assert [each.get("more_body", False) for each in bodies] == [True] * (len(bodies) - 1) + [False]
    if content is not None:
        assert b"".join(each["body"] for each in bodies) == content
    assert talk(handler) == [close()]


async def returns(websocket: WebSocket) -> None:
    pass


async def closes(websocket: WebSocket) -> None:
    await websocket.close(4001, "no")
    with pytest.raises(WebSocketDisconnect):
        await websocket.receive_text()


async def raises(websocket: WebSocket) -> None:
    raise WebSocketException(1008, "rules")


@pytest.mark.parametrize("extensions", [{}, DENIALS])
@pytest.mark.parametrize(
    ("handler", "code", "reason"),
    [(returns, 1000, ""), (closes, 4001, "no"), (raises, 1008, "rules")],
)
def test_closing_declines(handler: Any, code: int, reason: str, extensions: Any) -> None:
    assert talk(handler, extensions=extensions) == [close(code, reason)]


def test_what_follows_an_answer() -> None:
    """Background tasks and clean-ups happen whether the server takes the answer or not."""
    done: list[str] = []

    def link() -> Iterator[str]:
        yield "link"
        done.append("link closed")

    async def handler(websocket: WebSocket, used: str = Depends(link)) -> None:
        tasks = BackgroundTasks()
        tasks.add_task(done.append, "background")
        await websocket.send_denial_response(Response(status_code=409, background=tasks))

    assert talk(handler) == [close()]
    assert sorted(done) == ["background", "link closed"]
    done.clear()
    assert talk(handler, extensions=DENIALS)[0]["status"] == 409
    assert sorted(done) == ["background", "link closed"]


def routeless() -> App:
    app = App()

    @app.get("/page")
    async def page() -> str:
        return "page"

    @app.exception_handler(404)
    async def missing(connection: HTTPConnection, exc: HTTPException) -> Response:
        return Response("nothing here", 404)

    @app.middleware("http")
    async def around(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-around"] = "yes"
        return response

    app.mount("/old", wsgi)
    return app


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]


@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        ("/nowhere", 404, b"nothing here"),
        ("/page", 200, b'"page"'),
        ("/root/old/x", 200, b"/root/old /x"),
    ],
)
def test_nobodys_websocket(path: str, status: int, content: bytes) -> None:
    """It is answered like the request that it is as well, as on Fluvial's own server."""
    app = routeless()
    assert call(app, path=path, root_path="/root") == [{"type": "websocket.close"}]
    more = {"extensions": DENIALS, "server": None, "client": None, "query_string": b""}
    scheme = {"http_version": "1.1", "scheme": "wss"}
    first, *bodies = call(app, path=path, root_path="/root", **more, **scheme)
    assert (first["type"], first["status"]) == ("websocket.http.response.start", status)
    assert (b"x-around", b"yes") in first["headers"]
    assert b"".join(each["body"] for each in bodies) == content


# ---- The end -------------------------------------------------------------------------------


def test_a_handler_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        raise ValueError("mine")

    assert talk(handler, extensions=DENIALS) == [ACCEPT, close(1011)]
    assert "WebSocket / failed" in caplog.text


@pytest.mark.parametrize("code", [999, 1006, 5000])
def test_a_code_that_cannot_be_sent(code: int, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        raise WebSocketException(code)

    assert talk(handler) == [ACCEPT, close(1011)]
    assert f"not {code}" in caplog.text


def waiting() -> App:
    """Its handler waits for what doesn't come."""
    app = App()

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()

    return app


def test_cancelled() -> None:
    async def main() -> list[Any]:
        server = Server(CONNECT)
        task = asyncio.create_task(server.call(waiting()))
        await server.waits.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return server.sent

    assert asyncio.run(main()) == [ACCEPT, close(1012)]


def test_thrown_away() -> None:
    """Nothing can be awaited any more, so nothing is sent."""

    async def main() -> list[Any]:
        server = Server(CONNECT)
        coro = waiting()(server.scope, server.receive, server.send)
        while not server.waits.is_set():
            coro.send(None)
        coro.close()
        return server.sent

    assert asyncio.run(main()) == [ACCEPT]


# ---- Below a path --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/root/in/x", "/in/x"], ids=["as specified", "without the root"])
def test_paths_below_a_root(path: str) -> None:
    scopes: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send({"type": "websocket.close"})

    app = App()
    app.mount("/in", inner)
    call(app, path=path, raw_path=path.encode(), root_path="/root", state={"outer": 1})
    (scope,) = scopes
    assert (scope["root_path"], scope["path"]) == ("/root/in", "/root/in/x")
    assert scope["raw_path"] == b"/root/in/x"
    assert "state" not in scope


def test_starlettes_test_client() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Starlette's, on the HTTP client that it uses
        from starlette.testclient import TestClient
    app = App()

    @app.websocket("/echo/{name}")
    async def echo(websocket: WebSocket, name: str, q: int = 0) -> None:
        await websocket.accept(subprotocol="p")
        async for message in websocket.iter_json():
            await websocket.send_json([name, q, message, websocket.url.path])

    @app.websocket("/denies")
    async def refuse(websocket: WebSocket) -> None:
        raise WebSocketException(1008, "rules")

    client = TestClient(Starlette(routes=[Mount("/sub", app)]))
    with client.websocket_connect("/sub/echo/me?q=3", subprotocols=["p"]) as session:
        assert session.accepted_subprotocol == "p"
        session.send_json({"a": 1})
        assert session.receive_json() == ["me", 3, {"a": 1}, "/sub/echo/me"]
    with pytest.raises(StarletteDisconnect) as info, client.websocket_connect("/sub/denies"):
        pass
    assert (info.value.code, info.value.reason) == (1008, "rules")
