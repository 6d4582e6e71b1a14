"""Middleware of all kinds around the routes: order, errors and WebSockets as in FastAPI."""

import asyncio
import contextvars
from types import SimpleNamespace
from typing import Any

import pytest
from fluvial import App, Request, StreamingResponse, WebSocket
from fluvial.middleware import Middleware
from fluvial.middleware.base import BaseHTTPMiddleware
from support.both import names_of, serve_both, tell
from support.ws_client import TEXT, connect

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")


class Named:
    """ASGI middleware that adds a field to each response."""

    def __init__(self, app: Any, name: str) -> None:
        self.app = app
        self.name = name.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_named(message: Any) -> None:
            if message["type"].endswith(("response.start", "accept")):
                message["headers"] = [*message.get("headers", ()), (b"x-order", self.name)]
            await send(message)

        await self.app(scope, receive, send_named)


def add_all(names: SimpleNamespace, app: Any, kinds: str) -> None:
    """Adds a layer for each letter, innermost first: an ASGI one, a subclass or a function."""

    class Derived(names.BaseHTTPMiddleware):
        def __init__(self, app: Any, name: str) -> None:
            super().__init__(app)
            self.name = name

        async def dispatch(self, request: Any, call_next: Any) -> Any:
            request.state.seen = getattr(request.state, "seen", "") + self.name
            response = await call_next(request)
            response.headers.append("x-order", self.name)
            return response

    for number, kind in enumerate(kinds):
        name = f"{kind}{number}"
        if kind == "a":
            app.add_middleware(Named, name=name)
        elif kind == "d":
            app.add_middleware(Derived, name=name)
        elif kind == "g":
            app.add_middleware(names.GZipMiddleware)
        else:

            @app.middleware("http")
            async def function(request: Any, call_next: Any, name: str = name) -> Any:
                if request.url.path == "/short":
                    return names.JSONResponse({"short": name})
                response = await call_next(request)
                response.headers.append("x-order", name)
                return response


def make(names: SimpleNamespace, kinds: str) -> Any:
    app = names.App()

    @app.get("/async/{n}")
    async def in_task(n: int, request: names.Request):
        return [n, getattr(request.state, "seen", ""), request.url.path]

    @app.get("/sync")
    def in_thread(request: names.Request, q: str | None = None):
        return [q, request.headers.get("x-mine")]

    @app.post("/body")
    def body(items: dict[str, int]):
        return items

    @app.post("/read")
    async def read(request: names.Request):
        return [piece.decode() async for piece in request.stream() if piece]

    @app.get("/stream")
    async def stream():
        return names.StreamingResponse(iter([b"a", b"b"]), media_type="text/plain")

    @app.get("/http")
    def http():
        raise names.HTTPException(418, headers={"x-tea": "yes"})

    @app.get("/handled")
    def handled():
        raise KeyError("handled")

    @app.exception_handler(KeyError)
    async def on_key_error(request, exc):
        return names.JSONResponse({"handled": str(exc)}, 409)

    sub = names.App()
    sub.get("/x")(lambda: "mounted")
    app.mount("/sub", sub)
    add_all(names, app, kinds)
    return app


# Allow has all methods here. In Starlette a function makes each response inside it a stream, which
# is compressed whatever its length.
UNEQUAL = ("allow", "content-length", "transfer-encoding", "content-encoding", "vary")
KINDS = ["", "a", "f", "d", "aa", "fd", "af", "fa", "adf", "fad", "agf", "gaf", "ffaagdd"]
ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/async/3", {}),
    ("GET", "/async/three", {}),
    ("GET", "/sync?q=%C3%A4", {"headers": {"x-mine": "m"}}),
    ("POST", "/body", {"json": {"a": 1}}),
    ("POST", "/body", {"json": {"a": "x"}}),
    ("POST", "/read", {"content": b"body" * 10}),
    ("GET", "/stream", {}),
    ("GET", "/http", {}),
    ("GET", "/handled", {}),
    ("GET", "/sub/x", {}),
    ("GET", "/sub/y", {}),
    ("GET", "/short", {}),
    ("GET", "/nowhere", {}),
    ("PUT", "/sync", {}),
]


@pytest.mark.parametrize("kinds", KINDS)
def test_the_answers_are_those_of_fastapi(serve, kinds) -> None:
    ours, theirs = serve_both(serve, lambda names: make(names, kinds))
    for method, path, options in ASKED:
        answers = [tell(each.request(method, path, **options), *UNEQUAL) for each in (ours, theirs)]
        assert answers[0] == answers[1], (method, path)


def failing(names: SimpleNamespace, kinds: str) -> Any:
    app = names.App()

    @app.get("/fails")
    async def fails():
        raise ValueError("broken")

    @app.get("/late")
    async def late():
        async def pieces():
            yield b"a"
            raise ValueError("late")

        return names.StreamingResponse(pieces())

    add_all(names, app, kinds)

    @app.middleware("http")
    async def catching(request, call_next):
        if "catch" not in request.url.query:
            return await call_next(request)
        try:
            return await call_next(request)
        except ValueError as exc:
            return names.PlainTextResponse(f"caught {exc}", 502)

    return app


def elsewhere(app: Any) -> Any:
    """The app as another server, or another app, calls it."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return call


@pytest.mark.parametrize("kinds", KINDS)
def test_the_answers_are_the_same_elsewhere(serve, kinds) -> None:
    names = names_of("fluvial")
    here, there = serve(make(names, kinds)).client, serve(elsewhere(make(names, kinds))).client
    for method, path, options in ASKED:
        answers = [tell(each.request(method, path, **options)) for each in (here, there)]
        assert answers[0] == answers[1], (method, path)


@pytest.mark.parametrize("kinds", ["", "a", "fa", "af"])
@pytest.mark.parametrize("outer", [Named, None])
def test_a_failure_has_the_fields_of_cors_elsewhere(serve, kinds, outer) -> None:
    names = names_of("fluvial")
    app = failing(names, kinds)
    app.add_middleware(names.CORSMiddleware, allow_origins=["*"])
    if outer is not None:
        app.add_middleware(outer, name="outer")
    answer = serve(elsewhere(app)).client.get("/fails", headers={"origin": "https://a.example"})
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("kinds", ["", "a", "f"])
def test_middleware_of_starlettes_own(serve, kinds) -> None:
    """It sends from tasks of its own, in and around ours."""
    ours, theirs = names_of("fluvial"), names_of("fastapi")

    class Theirs(theirs.BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            response = await call_next(request)
            response.headers["x-theirs"] = request.url.path
            return response

    app = make(ours, kinds)
    app.add_middleware(Theirs)
    app.add_middleware(theirs.GZipMiddleware, minimum_size=1)

    @app.middleware("http")
    async def around(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-ours"] = request.url.path
        return response

    client = serve(app).client
    for method, path, options in ASKED:
        answer = client.request(method, path, **options)
        where = answer.request.url.path
        assert answer.status_code < 500
        assert answer.headers["x-theirs"] == answer.headers["x-ours"] == where
        assert answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("kinds", ["", "a", "f", "fa", "af", "dag"])
def test_what_a_handler_raises_passes_through_middleware(serve, kinds) -> None:
    ours, theirs = serve_both(serve, lambda names: failing(names, kinds))
    for path in ("/fails", "/fails?catch"):
        answers = [tell(each.get(path)) for each in (ours, theirs)]
        assert answers[0] == answers[1]


@pytest.mark.parametrize("kinds", ["", "a", "af", "fa"])
def test_a_response_that_fails_late_is_broken_off(serve, kinds) -> None:
    import httpx

    client = serve(failing(names_of("fluvial"), kinds)).client
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/late")


@pytest.mark.parametrize("kinds", ["f", "af", "fa", "afa"])
def test_context_variables_of_a_handler_reach_the_middleware(serve, kinds) -> None:
    app = App()

    @app.get("/")
    async def handler():
        found = var.get()
        var.set("handler's")
        return found

    add_all(names_of("fluvial"), app, kinds)

    @app.middleware("http")
    async def outer(request, call_next):
        var.set("middleware's")
        response = await call_next(request)
        response.headers["x-var"] = var.get()
        return response

    answer = serve(app).client.get("/")
    assert answer.json() == "middleware's"
    assert answer.headers["x-var"] == "handler's"


@pytest.mark.parametrize("kinds", ["f", "af", "afd"])
def test_a_cancellation_reaches_the_handler(serve, kinds) -> None:
    app = App()
    seen: list[str] = []

    @app.get("/")
    async def handler():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)  # clean-up may await
            seen.append("cleaned up")

    add_all(names_of("fluvial"), app, kinds)

    @app.middleware("http")
    async def impatient(request, call_next):
        try:
            async with asyncio.timeout(0.01):
                return await call_next(request)
        except TimeoutError:
            return StreamingResponse(iter(["too late"]), 504)

    answer = serve(app).client.get("/")
    assert (answer.status_code, answer.text, seen) == (504, "too late", ["cancelled", "cleaned up"])


@pytest.mark.parametrize("kinds", ["a", "af", "afd"])
def test_websockets_pass_through(serve, kinds) -> None:
    app = App()

    @app.websocket("/ws/{n}")
    async def echo(websocket: WebSocket, n: int):
        await websocket.accept()
        while True:
            await websocket.send_text(f"{n}: {await websocket.receive_text()}")

    add_all(names_of("fluvial"), app, kinds)
    served = serve(app)
    with connect(served) as ws:
        answer = ws.open("/ws/3")
        assert answer.status == 101
        assert answer.fields["x-order"] == "a0"
        ws.send_frame(TEXT, b"one")
        assert ws.read().payload == b"3: one"


def test_the_body_that_a_middleware_has_read_comes_again(serve) -> None:
    app = App()

    @app.post("/")
    async def handler(request: Request):
        return (await request.body()).decode()

    app.add_middleware(Named, name="inner")

    @app.middleware("http")
    async def reading(request, call_next):
        body = await request.body()
        response = await call_next(request)
        response.headers["x-body"] = body.decode()
        return response

    answer = serve(app).client.post("/", content=b"body")
    assert (answer.json(), answer.headers["x-body"]) == ("body", "body")


def test_a_route_keeps_its_own_limit_for_bodies(serve) -> None:
    app = App()

    @app.post("/few", body_limit=10)
    def few(items: list[int]):
        return len(items)

    @app.post("/many", body_limit=10_000_000)
    def many(items: list[int]):
        return len(items)

    app.add_middleware(Named, name="inner")
    client = serve(app, limits={"body": 1000}).client
    assert client.post("/few", json=[1]).json() == 1
    assert client.post("/few", json=[1] * 10).status_code == 413
    assert client.post("/many", json=[1] * 10_000).json() == 10_000


def test_options_for_the_server_are_answered_without_middleware(serve) -> None:
    app = App()
    app.add_middleware(Named, name="inner")
    answer = serve(app).exchange(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"x-order" not in answer


def test_layers_can_be_given_to_the_app(serve) -> None:
    app = App(middleware=[Middleware(Named, name="outer"), Middleware(Named, name="inner")])
    app.get("/")(lambda: 1)
    answer = serve(app).client.get("/")
    assert answer.headers.get_list("x-order") == ["inner", "outer"]


def test_a_layer_that_cannot_be_made_is_refused_where_it_is_added() -> None:
    app = App()
    with pytest.raises(TypeError, match="Named can't be called"):
        app.add_middleware(Named, nme="x")
    with pytest.raises(TypeError, match="holds Middleware"):
        App(middleware=[Named])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"write @app\.middleware"):
        app.add_middleware(_nothing)
    app.compile_middleware()
    with pytest.raises(RuntimeError, match="has started"):
        app.add_middleware(Named, name="x")


@pytest.mark.parametrize("kinds", ["", "a", "f", "fa"])
@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_what_replaces_the_stack_is_around_all(serve, kinds, place) -> None:
    """As packages do that watch the requests of an app."""
    names = names_of("fluvial")
    app = failing(names, kinds)
    app.get("/")(lambda: 1)
    build, seen = app.build_middleware_stack, []

    def build_watched() -> Any:
        inner = build()
        assert isinstance(inner, names.ServerErrorMiddleware)

        async def watched(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["path"])
            await inner(scope, receive, send)

        return watched

    app.build_middleware_stack = build_watched
    client = serve(app if place == "here" else elsewhere(app)).client
    assert client.get("/").json() == 1
    assert (client.get("/fails").status_code, client.get("/x").status_code) == (500, 404)
    assert seen == ["/", "/fails", "/x"]


def test_a_class_that_overrides_call_is_called_as_asgi(serve) -> None:
    class Both(BaseHTTPMiddleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["state"] = {"by": "call"}
            await super().__call__(scope, receive, send)

        async def dispatch(self, request: Any, call_next: Any) -> Any:
            response = await call_next(request)
            response.headers["x-by"] = request.state.by
            return response

    app = App()
    app.get("/")(lambda: 1)
    app.add_middleware(Both)
    assert serve(app).client.get("/").headers["x-by"] == "call"


def test_the_state_of_the_lifespan_is_in_the_scope(serve) -> None:
    import contextlib

    @contextlib.asynccontextmanager
    async def lifespan(app: App):
        yield {"db": "open"}

    class Reading:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["state"]["seen"] = scope["state"]["db"]
            await self.app(scope, receive, send)

    app = App(lifespan=lifespan)
    app.add_middleware(Reading)
    app.get("/")(_seen)
    client = serve(app).client
    assert client.get("/").json() == ["open", "open", True]


async def _nothing(request: Any) -> None: ...


def _seen(request: Request) -> list[Any]:
    return [request.state.db, request.state.seen, "app" in request.scope]
