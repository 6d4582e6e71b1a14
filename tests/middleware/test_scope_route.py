"""What the scope says of the route, to handlers and to middleware around them, as in FastAPI."""

from types import SimpleNamespace
from typing import Any

import pytest
from fluvial import App, PlainTextResponse, Response, WebSocket
from fluvial.testclient import TestClient
from support.both import serve_both


class Tells:
    """ASGI middleware that adds what it finds in its scope when the response begins."""

    def __init__(self, app: Any, name: str) -> None:
        self.app = app
        self.name = name.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_route(message: Any) -> None:
            if message["type"] == "http.response.start":
                told = f"{path_of(scope)} {endpoint_of(scope)} {scope.get('path_params')}"
                message["headers"] = [*message["headers"], (self.name, told.encode())]
            await send(message)

        await self.app(scope, receive, send_with_route)


def path_of(scope: Any) -> Any:
    return getattr(scope.get("route"), "path", None)


def endpoint_of(scope: Any) -> Any:
    return getattr(scope.get("endpoint"), "__name__", None)


def make(names: SimpleNamespace, functions: bool) -> Any:
    app, sub = names.App(), names.App()
    for each in (app, sub):

        @each.get("/items/{number:int}/{name}")
        async def item(number: int, name: str, request: names.Request):
            scope = request.scope
            return [path_of(scope), endpoint_of(scope), scope["path_params"]]

        @each.get("/sync")
        def in_thread(request: names.Request):
            return [path_of(request.scope), request["endpoint"].__name__]

    app.mount("/sub", sub)
    app.mount("/of/{tenant}", sub)
    if functions:
        sub.add_middleware(Tells, name="x-inner")

        @app.middleware("http")
        async def function(request, call_next):
            response = await call_next(request)
            response.headers["x-function"] = str(path_of(request.scope))
            return response

    app.add_middleware(Tells, name="x-outer")
    return app


@pytest.mark.parametrize("functions", [False, True])
def test_the_scope_names_the_route(serve, functions: bool) -> None:
    ours, theirs = serve_both(serve, lambda names: make(names, functions))
    for path in ("/items/3/x", "/sync", "/sub/items/3/x", "/sub/sync", "/of/a/items/3/x", "/no"):
        answers = []
        for client in (ours, theirs):
            answer = client.get(path)
            told = {k: v for k, v in answer.headers.items() if k.startswith("x-")}
            answers.append((answer.json(), told))
        assert answers[0] == answers[1], path


def test_that_of_a_websocket_too() -> None:
    app = App()
    seen: list[Any] = []

    @app.websocket("/ws/{room}")
    async def socket(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        await websocket.send_json([path_of(websocket.scope), websocket["path_params"]])

    class Sees:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)
            seen.append((path_of(scope), endpoint_of(scope)))

    app.add_middleware(Sees)
    with TestClient(app) as client:
        with client.websocket_connect("/ws/a") as websocket:
            assert websocket.receive_json() == ["/ws/{room}", {"room": "a"}]
        assert seen[-1] == ("/ws/{room}", "socket")


def test_an_app_that_is_watched_calls_its_own_handler_of_last_resort(serve) -> None:
    """Packages wrap `build_middleware_stack`."""
    app = App()

    @app.get("/")
    async def fails() -> None:
        raise ValueError

    @app.exception_handler(Exception)
    async def on_failure(request: Any, exc: Exception) -> Response:
        return PlainTextResponse("sorry", 500)

    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: build()  # type: ignore[method-assign]
    answer = serve(app).client.get("/")
    assert (answer.status_code, answer.text) == (500, "sorry")
