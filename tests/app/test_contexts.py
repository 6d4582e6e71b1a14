"""Context variables: each request has a copy of the context in which the server was started.

All code of the user's that runs for a request runs in that copy. It sees what was set before the
server started and what the request's own code has set so far, and nothing of other requests.
"""

import contextlib
import contextvars
import functools
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import httpx
import pytest
from fluvial import (
    App,
    BackgroundTasks,
    Depends,
    Request,
    Response,
    StreamingResponse,
    WebSocket,
)
from pydantic import AfterValidator, BaseModel, field_serializer, field_validator
from support.asgi import Notes, body, start
from support.gateways import under_uvicorn
from support.ws_client import TEXT, Client, frame

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="nothing")
END = "end"


class Trail:
    """Notes what each step finds in the variable, where it leaves its own name."""

    def __init__(self) -> None:
        self.notes = Notes()

    def step(self, name: str, value: Any = None) -> Any:
        """One step; gives `value` back."""
        self.notes.add(f"{name} < {var.get()}")
        var.set(name)
        return value

    def end(self) -> None:
        """The request's last step."""
        self.step(END)

    def taken(self) -> list[str]:
        """The steps of one request."""
        steps = []
        while not steps or not steps[-1].startswith(END):
            steps.append(self.notes.next())
        return steps


def chain(*names: str) -> list[str]:
    """What a request leaves whose steps see one another in this order."""
    before = ("start", *names)
    return [f"{name} < {seen}" for name, seen in zip((*names, END), before, strict=True)]


@pytest.fixture
def trail() -> Iterator[Trail]:
    token = var.set("start")
    yield Trail()
    var.reset(token)


def decorated(trail: Trail) -> Callable[[Any], Any]:
    """A decorator whose code runs when the handler is called, before its coroutine begins."""

    def decorate(func: Any) -> Any:
        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            trail.step("decorator")
            return func(*args, **kwargs)

        return wrapper

    return decorate


def with_end(trail: Trail, response: Response) -> Response:
    response.run_after(trail_end(trail))
    return response


def trail_end(trail: Trail) -> BackgroundTasks:
    tasks = BackgroundTasks()
    tasks.add_task(trail.end)
    return tasks


# ---- native handlers ---------------------------------------------------------------------------


def make_app(trail: Trail) -> App:
    app = App()
    step, end = trail.step, trail.end

    class Model(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def look(cls, name: str) -> str:
            return str(step("validator", name))

    class Answer(BaseModel):
        name: str

        @field_serializer("name")
        def write(self, name: str) -> str:
            step("serializer")
            end()
            return name

    @app.get("/async")
    async def handler(tasks: BackgroundTasks) -> None:
        step("handler")
        tasks.add_task(end)

    @app.get("/plain")
    async def plain() -> None:
        end()

    @app.get("/plain-def")
    def plain_def() -> None:
        end()

    @app.get("/inline", inline=True)
    def inline() -> None:
        end()

    @app.get("/def")
    def in_pool(tasks: BackgroundTasks) -> None:
        step("handler")
        tasks.add_task(end)

    @app.get("/def-stays")
    def def_stays() -> Response:
        step("handler")
        return with_end(trail, Response())

    @app.get("/decorated")
    @decorated(trail)
    async def wrapped() -> Response:
        step("handler")
        return with_end(trail, Response())

    @app.get("/converter")
    async def converter(n: Annotated[int, AfterValidator(lambda n: step("converter", n))]) -> None:
        end()

    @app.get("/converter-def")
    def convert_def(n: Annotated[int, AfterValidator(lambda n: step("converter", n))]) -> None:
        end()

    @app.post("/model")
    async def model(item: Model) -> None:
        end()

    @app.post("/model-def")
    def model_def(item: Model) -> None:
        end()

    @app.get("/serializer", response_model=Answer)
    async def serializer() -> Any:
        return Answer(name="x")

    @app.get("/serializer-def", response_model=Answer)
    def serializer_def() -> Any:
        return Answer(name="x")

    add_dependencies(app, trail)
    add_streams(app, trail)
    add_errors(app, trail)
    return app


def add_dependencies(app: App, trail: Trail) -> None:
    step = trail.step

    def need() -> None:
        step("def dependency")

    async def need_async() -> None:
        step("async dependency")

    def managed() -> Iterator[None]:
        step("set-up")
        yield
        trail.end()

    async def managed_async() -> AsyncIterator[None]:
        step("set-up")
        yield
        step("clean-up")

    @app.get("/needs", dependencies=[Depends(need)])
    def needs(tasks: BackgroundTasks) -> None:
        step("handler")
        tasks.add_task(trail.end)

    @app.get("/needs-both", dependencies=[Depends(need), Depends(need_async)])
    async def needs_both(tasks: BackgroundTasks) -> None:
        step("handler")
        tasks.add_task(trail.end)

    @app.get("/managed", dependencies=[Depends(managed)])
    def is_managed(tasks: BackgroundTasks) -> None:
        step("handler")
        tasks.add_task(step, "background")

    @app.get("/managed-both", dependencies=[Depends(managed), Depends(managed_async)])
    async def are_managed(tasks: BackgroundTasks) -> None:
        step("handler")
        tasks.add_task(step, "background")


def add_streams(app: App, trail: Trail) -> None:
    step = trail.step

    @app.get("/stream")
    async def stream() -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            step("first")
            yield b"1"
            step("second")
            yield b"2"

        return StreamingResponse(pieces(), background=trail_end(trail))

    @app.get("/stream-def")
    def stream_def() -> Response:
        def pieces() -> Iterator[bytes]:
            step("first")
            yield b"1"
            step("second")
            yield b"2"

        return StreamingResponse(pieces(), background=trail_end(trail))


def add_errors(app: App, trail: Trail) -> None:
    class AsyncError(Exception):
        pass

    class DefError(Exception):
        pass

    @app.exception_handler(AsyncError)
    async def handle(request: Request, exc: Exception) -> Response:
        trail.end()
        return Response()

    @app.exception_handler(DefError)
    def handle_def(request: Request, exc: Exception) -> Response:
        trail.end()
        return Response()

    def refuse(n: int) -> int:
        trail.step("converter")
        raise AsyncError

    @app.get("/fails")
    async def fails() -> None:
        trail.step("handler")
        raise DefError

    @app.get("/fails-def")
    def fails_def() -> None:
        trail.step("handler")
        raise AsyncError

    @app.get("/fails-before")
    async def fails_before(n: Annotated[int, AfterValidator(refuse)]) -> None:
        pass


NATIVE = {
    "/async": chain("handler"),
    "/plain": chain(),
    "/plain-def": chain(),
    "/inline": chain(),
    "/def": chain("handler"),
    "/def-stays": chain("handler"),
    "/decorated": chain("decorator", "handler"),
    "/converter?n=1": chain("converter"),
    "/converter-def?n=1": chain("converter"),
    "/model": chain("validator"),
    "/model-def": chain("validator"),
    "/serializer": chain("serializer"),
    "/serializer-def": chain("serializer"),
    "/needs": chain("def dependency", "handler"),
    "/needs-both": chain("def dependency", "async dependency", "handler"),
    "/managed": chain("set-up", "handler", "background"),
    "/managed-both": chain("set-up", "set-up", "handler", "background", "clean-up"),
    "/stream": chain("first", "second"),
    "/stream-def": chain("first", "second"),
    "/fails": chain("handler"),
    "/fails-def": chain("handler"),
    "/fails-before?n=1": chain("converter"),
}


def ask(client: Any, path: str) -> None:
    if path.startswith("/model"):
        client.post(path, json={"name": "x"})
    else:
        client.get(path)


@pytest.mark.parametrize("path", NATIVE)
def test_native_routes(serve, trail: Trail, path: str) -> None:
    client = serve(make_app(trail)).client
    for _ in range(2):
        ask(client, path)
        assert trail.taken() == NATIVE[path]


@pytest.mark.parametrize("path", NATIVE)
def test_behind_middleware(serve, trail: Trail, path: str) -> None:
    app = make_app(trail)

    @app.middleware("http")
    async def outer(request: Request, call_next: Any) -> Any:
        trail.step("middleware")
        return await call_next(request)

    client = serve(app).client
    for _ in range(2):
        ask(client, path)
        first, second, *rest = trail.taken()
        assert first == "middleware < start"
        assert [second.replace("middleware", "start"), *rest] == NATIVE[path]


@pytest.mark.parametrize("path", NATIVE)
def test_under_another_server(trail: Trail, path: str) -> None:
    with under_uvicorn(make_app(trail)) as served, httpx.Client(base_url=served.url) as client:
        for _ in range(2):
            ask(client, path)
            first, *rest = trail.taken()
            # Whose context uvicorn runs its requests in is uvicorn's affair.
            assert first.partition(" < ")[0] == NATIVE[path][0].partition(" < ")[0]
            assert first.partition(" < ")[2] in ("start", "nothing")
            assert rest == NATIVE[path][1:]


def test_a_variable_is_reset_by_its_token(serve, trail: Trail) -> None:
    """The context in which a coroutine is made is the one in which it runs."""
    app = App()
    tokens: list[contextvars.Token[str]] = []

    def setting(func: Any) -> Any:
        @functools.wraps(func)
        def wrapper() -> Any:
            tokens.append(var.set("made"))
            return func()

        return wrapper

    @app.get("/")
    @setting
    async def handler() -> list[str]:
        made = var.get()
        var.reset(tokens.pop())
        return [made, var.get()]

    assert serve(app).client.get("/").json() == ["made", "start"]


def test_what_the_lifespan_sets_is_there(serve, trail: Trail) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        var.set("lifespan")
        yield

    app = App(lifespan=lifespan)
    app.get("/async")(async_value)
    app.get("/def")(def_value)
    client = serve(app).client
    assert [client.get(path).json() for path in ("/async", "/def")] == ["lifespan", "lifespan"]


async def async_value() -> str:
    return var.get()


def def_value() -> str:
    return var.get()


# ---- responses of one's own --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "def", "inline"])
def test_attributes_of_a_response(serve, trail: Trail, kind: str) -> None:
    class Odd(Response):
        @property
        def raw_headers(self) -> Any:
            trail.end()
            return []

        @raw_headers.setter
        def raw_headers(self, value: Any) -> None:
            pass

    app = App()
    if kind == "async":

        @app.get("/")
        async def handler() -> Response:
            return trail.step("handler", Odd())  # type: ignore[no-any-return]
    else:

        @app.get("/", inline=kind == "inline")
        def handler_def() -> Response:
            return trail.step("handler", Odd())  # type: ignore[no-any-return]

    client = serve(app).client
    for _ in range(2):
        client.get("/")
        assert trail.taken() == chain("handler")


# ---- WebSockets --------------------------------------------------------------------------------


@pytest.mark.parametrize("converted", [False, True])
def test_websockets(serve, trail: Trail, *, converted: bool) -> None:
    app = App()
    number = Annotated[int, AfterValidator(lambda n: trail.step("converter", n))]

    async def converse(websocket: WebSocket) -> None:
        trail.step("handler")
        await websocket.accept()
        await websocket.receive_text()
        trail.end()

    if converted:

        @app.websocket("/")
        async def with_number(websocket: WebSocket, n: number) -> None:  # type: ignore[valid-type]
            await converse(websocket)
    else:
        app.websocket("/")(decorated(trail)(converse))
    served = serve(app)
    for _ in range(2):
        with Client(served.connect()) as client:
            client.open("/?n=1")
            client.send(frame(TEXT, b"go on"))
            assert trail.taken() == chain("converter" if converted else "decorator", "handler")


# ---- other interfaces --------------------------------------------------------------------------


class Pair:
    """A header field whose iteration is the user's code."""

    def __init__(self, trail: Trail) -> None:
        self.trail = trail

    def __iter__(self) -> Iterator[bytes]:
        self.trail.step("field")
        return iter((b"x-a", b"b"))


def asgi_app(trail: Trail) -> Any:
    """A plain function that gives a coroutine."""

    def app(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] == "lifespan":
            return no_lifespan(receive, send)
        trail.step("call")
        return answer(scope, receive, send)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "headers": [Pair(trail)]})
            await receive()
            trail.end()
            return
        await send({**start(), "headers": [Pair(trail)]})
        await send(body(b"x"))
        trail.end()

    return app


def async_asgi_app(trail: Trail) -> Any:
    """The same as `async def`, of which nothing runs before its task does."""
    inner = asgi_app(trail)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)

    return app


ASGI_APPS = [asgi_app, async_asgi_app]


async def no_lifespan(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def wsgi_app(trail: Trail) -> Any:
    class Result:
        def __init__(self) -> None:
            self.pieces = iter([b"x"])

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> bytes:
            trail.step("piece")
            return next(self.pieces)

        def close(self) -> None:
            trail.end()

    def app(environ: Any, start_response: Any) -> Any:
        trail.step("call")
        start_response("200 OK", [])
        return Result()

    return app


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("with_body", [False, True])
@pytest.mark.parametrize("make", ASGI_APPS)
def test_asgi(
    serve, trail: Trail, make: Callable[[Trail], Any], *, mounted: bool, with_body: bool
) -> None:
    served = serve(_placed(make(trail), mounted))
    for _ in range(2):
        if with_body:  # in two parts: the app is called before the second one is there
            with served.connect() as sock:
                sock.sendall(b"POST /at HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n1")
                assert trail.taken() == chain("call", "field")
                sock.sendall(b"2")
        else:
            served.client.get("/at")
            assert trail.taken() == chain("call", "field")


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("make", ASGI_APPS)
def test_asgi_websockets(
    serve, trail: Trail, make: Callable[[Trail], Any], *, mounted: bool
) -> None:
    served = serve(_placed(make(trail), mounted))
    for _ in range(2):
        with Client(served.connect()) as client:
            client.open("/at")
            client.send(frame(TEXT, b"go on"))
            assert trail.taken() == chain("call", "field")


@pytest.mark.parametrize("mounted", [False, True])
def test_wsgi(serve, trail: Trail, *, mounted: bool) -> None:
    served = serve(_placed(wsgi_app(trail), mounted))
    for _ in range(2):
        served.client.get("/at")
        assert trail.taken() == chain("call", "piece", "piece")


def test_a_failing_asgi_app_is_reported_in_its_context(
    serve, trail: Trail, caplog: pytest.LogCaptureFixture
) -> None:
    class Look(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if "raised" in record.getMessage():
                trail.end()
            return True

    def app(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] == "lifespan":
            return no_lifespan(receive, send)
        trail.step("call")
        raise LookupError

    look = Look()
    caplog.handler.addFilter(look)
    client = serve(app).client
    for _ in range(2):
        assert client.get("/").status_code == 500
        assert trail.taken() == chain("call")
    caplog.handler.removeFilter(look)


def _placed(app: Any, mounted: bool) -> Any:
    if not mounted:
        return app
    outer = App()
    outer.mount("/at", app)
    return outer
