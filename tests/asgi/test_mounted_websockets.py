"""WebSockets of apps below a path of a Fluvial app, with and without middleware on it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, Request, WebSocket
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from support.asgi import Notes, body, start
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Serve
    from support.serving import Served
    from websockets.sync.client import ClientConnection


@pytest.fixture(params=[False, True], ids=["plain", "with middleware"])
def app(request: pytest.FixtureRequest) -> App:
    app = App()
    if request.param:

        @app.middleware("http")
        async def around(request: Any, call_next: Any) -> Any:
            response = await call_next(request)
            response.headers["x-around"] = "yes"
            return response

    return app


def opened(served: Served, path: str, **options: Any) -> ClientConnection:
    return connect(served.url.replace("http", "ws") + path, proxy=None, **options)


def said(served: Served, path: str) -> Any:
    """The first message."""
    with opened(served, path) as client:
        return client.recv(30)


def declined(served: Served, path: str) -> Any:
    """The answer of HTTP."""
    with pytest.raises(InvalidStatus) as info:
        opened(served, path)
    return info.value.response


def named(name: str) -> Any:
    """An ASGI app whose WebSockets say its name."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send(start())
            await send(body(name.encode()))
            return
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": name})

    return app


async def hello(websocket: Any) -> None:
    await websocket.accept()
    await websocket.send_text(f"hello {websocket.url.path}")
    await websocket.close()


def test_whose_websocket_it_is(serve: Serve, app: App) -> None:
    app.mount("/", named("everything"))
    app.mount("/chat", named("chat"))
    app.mount("/chat/inner", named("inner"))

    @app.websocket("/chat/native")
    async def native(websocket: WebSocket) -> None:
        await hello(websocket)

    served = serve(app)
    for path, name in {
        "/chat": "chat",
        "/chat/": "chat",
        "/chat/x": "chat",
        "/ch%61t/x": "chat",
        "/chat/inner": "inner",
        "/chat/inner/x": "inner",
        "/chat/innermost": "chat",
        "/chats": "everything",
        "/chat/native": "hello /chat/native",
    }.items():
        assert said(served, path) == name


def test_routes_of_requests_have_no_say(serve: Serve, app: App) -> None:
    @app.get("/{path:path}")
    async def page(path: str) -> str:
        return path

    app.mount("/chat", named("chat"))
    served = serve(app)
    assert served.client.get("/chat/x").json() == "chat/x"
    assert said(served, "/chat/x") == "chat"
    assert declined(served, "/other").status_code == 200  # nobody takes it: a request as any other


def test_the_scope_is_that_of_requests(serve: Serve, app: App) -> None:
    notes = Notes()

    async def other(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["name"] = "mine"
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        notes.add(scope)
        if scope["type"] == "http":
            await send(start())
            await send(body())
        else:
            await send({"type": "websocket.accept"})

    app.mount("/chat", other)
    served = serve(app, root_path="/api")
    served.client.get("/chat/caf%C3%A9?q=1")
    with opened(served, "/chat/caf%C3%A9?q=1", subprotocols=["a", "b"]):
        pass
    request, websocket = notes.next(), notes.next()
    assert (request["type"], websocket["type"]) == ("http", "websocket")
    for scope in (request, websocket):
        assert scope["root_path"] == "/api/chat"
        assert scope["path"] == "/api/chat/café"
        assert scope["raw_path"] == b"/api/chat/caf%C3%A9"
        assert scope["query_string"] == b"q=1"
        assert scope["state"] == {"name": "mine"}
    assert websocket["subprotocols"] == ["a", "b"]
    assert websocket["scheme"] == "ws"


def test_subprotocols_and_denials(serve: Serve, app: App) -> None:
    async def other(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        match scope["path"].removeprefix(scope["root_path"]):
            case "/accepts":
                headers = [(b"x-a", b"1")]
                await send({"type": "websocket.accept", "subprotocol": "b", "headers": headers})
            case "/closes":
                await send({"type": "websocket.close"})
            case "/answers":
                fields = {"status": 401, "headers": [(b"x-why", b"token")]}
                await send({"type": "websocket.http.response.start", **fields})
                await send({"type": "websocket.http.response.body", "body": b"who?"})

    app.mount("/chat", other)
    served = serve(app)
    with opened(served, "/chat/accepts", subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        assert client.response is not None
        assert client.response.headers["x-a"] == "1"
    assert declined(served, "/chat/closes").status_code == 403
    answer = declined(served, "/chat/answers")
    assert (answer.status_code, answer.body, answer.headers["x-why"]) == (401, b"who?", "token")


def test_a_wsgi_app_has_no_websockets(serve: Serve, app: App) -> None:
    """It answers the request that an offer is as well, and middleware is around it."""

    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]

    app.mount("/", named("everything"))
    app.mount("/old", wsgi)
    served = serve(app)
    answer = declined(served, "/old/x")
    assert (answer.status_code, answer.body) == (200, b"/old /x")
    assert ("x-around" in answer.headers) == bool(app.middlewares)


def test_nobodys(serve: Serve, app: App) -> None:
    app.mount("/chat", named("chat"))
    assert declined(serve(app), "/other").status_code == 404


def test_a_starlette_app(serve: Serve, app: App) -> None:
    inner = Starlette(
        routes=[
            WebSocketRoute("/ws/{room}", hello),
            Mount("/deeper", routes=[WebSocketRoute("/ws", hello)]),
        ]
    )
    app.mount("/chat", inner)
    served = serve(app)
    assert said(served, "/chat/ws/1") == "hello /chat/ws/1"
    assert said(served, "/chat/deeper/ws") == "hello /chat/deeper/ws"
    assert declined(served, "/chat/nowhere").status_code == 403


def make_inner(notes: Notes, name: str) -> App:
    """A Fluvial app with a lifespan, a route of each kind, and what the tests ask for."""

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[dict[str, str]]:
        notes.add(f"{name} started")
        yield {"name": name}
        notes.add(f"{name} stopped")

    app = App(lifespan=lifespan)

    @app.get("/where/{number}")
    async def where(request: Request, number: int) -> Any:
        return [request.state.name, request.url.path, request.base_url.path, number]

    @app.websocket("/where/{number}")
    async def ws_where(websocket: WebSocket, number: int) -> None:
        await websocket.accept()
        url, base = websocket.url.path, websocket.base_url.path
        await websocket.send_json([websocket.state.name, url, base, number])

    return app


def test_apps_in_apps(serve: Serve, app: App) -> None:
    notes = Notes()
    inner, innermost = make_inner(notes, "inner"), make_inner(notes, "innermost")
    inner.mount("/in", innermost)
    inner.mount("/starlette", Starlette(routes=[WebSocketRoute("/ws", hello)]))
    app.mount("/sub", inner)
    served = serve(app, root_path="/api")
    assert [notes.next(), notes.next()] == ["inner started", "innermost started"]
    client = served.client
    assert client.get("/sub/where/1").json() == ["inner", "/api/sub/where/1", "/api/sub/", 1]
    found = client.get("/sub/in/where/2").json()
    assert found == ["innermost", "/api/sub/in/where/2", "/api/sub/in/", 2]
    assert said(served, "/sub/where/1") == '["inner","/api/sub/where/1","/api/sub/",1]'
    found = said(served, "/sub/in/where/2")
    assert found == '["innermost","/api/sub/in/where/2","/api/sub/in/",2]'
    assert said(served, "/sub/starlette/ws") == "hello /api/sub/starlette/ws"
    assert declined(served, "/sub/nowhere").status_code == 404
    assert declined(served, "/sub/in/nowhere").status_code == 404
    assert declined(served, "/sub/in/where/x").status_code == 422
    served.finish()
    assert [notes.next(), notes.next()] == ["innermost stopped", "inner stopped"]
