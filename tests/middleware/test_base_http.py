"""BaseHTTPMiddleware and functions: bodies, hints, the client's end and background tasks."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from fluvial import App, Request, Response
from fluvial.background import BackgroundTask
from fluvial.middleware.base import BaseHTTPMiddleware
from fluvial.responses import PlainTextResponse, StreamingResponse
from fluvial.testclient import TestClient
from support.both import serve_both, tell
from support.middleware import Passing


def reading(names: SimpleNamespace, inner: bool) -> Any:
    """An app whose middleware reads the body in the way that the query names."""
    app = names.App()

    @app.post("/stream")
    async def stream(request: names.Request):
        return [piece.decode() async for piece in request.stream()]

    @app.post("/whole")
    async def whole(request: names.Request):
        return (await request.body()).decode()

    class Reads(names.BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            if request.url.query == "stream":
                read = [piece async for piece in request.stream()]
                assert read[-1] == b""
            elif request.url.query == "body":
                await request.body()
            return await call_next(request)

    if inner:
        app.add_middleware(Passing)
    app.add_middleware(Reads)
    return app


@pytest.mark.parametrize("inner", [False, True], ids=["function", "asgi"])
def test_what_middleware_reads_the_app_reads_as_in_fastapi(serve, inner) -> None:
    ours, theirs = serve_both(serve, lambda names: reading(names, inner))
    for path in ("/stream?stream", "/stream?body", "/whole?stream", "/whole?body", "/whole?no"):
        answers = [tell(each.post(path, content=b"abc")) for each in (ours, theirs)]
        assert answers[0] == answers[1], path


def test_the_app_gets_the_rest_of_a_stream() -> None:
    read: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async for piece in Request(scope, receive).stream():
            read.append(piece)
        await Response()(scope, receive, send)

    class First(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            read.append(b"first " + await anext(request.stream()))
            return await call_next(request)

    asyncio.run(call(First(app), [body(b"1", True), body(b"2", True), body(b"3", False)]))
    assert read == [b"first 1", b"2", b"3", b""]


def body(piece: bytes, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": piece, "more_body": more}


async def call(app: Any, events: list[Any], **scope: Any) -> list[dict[str, Any]]:
    """The messages that the app sends; `events` are those it receives, and no more."""
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return events.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/", **scope}, receive, send)
    return sent


@pytest.mark.parametrize("read", [False, True])
def test_the_clients_end_is_told_to_both_and_asked_for_once(read: bool) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([(await receive())["type"] for _ in range(3)])
        await Response()(scope, receive, send)

    class Asks(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            if read:
                seen.append((await request.body(), await request.is_disconnected()))
            response = await call_next(request)
            seen.append(await request.is_disconnected())
            return response

    asyncio.run(call(Asks(app), [body(b"hi", False), {"type": "http.disconnect"}]))
    assert seen[-4:] == ["http.request", "http.disconnect", "http.disconnect", True]
    assert seen[:-4] == ([(b"hi", True)] if read else [])


def test_to_ask_for_the_clients_end_loses_nothing() -> None:
    async def slow() -> Any:
        await asyncio.Event().wait()

    async def main() -> None:
        request = Request({"type": "http"}, slow)
        assert not await request.is_disconnected()
        events = [body(b"a", True), body(b"b", False)]

        async def receive() -> Any:
            return events.pop(0) if events else await slow()

        request = Request({"type": "http"}, receive)
        assert not await request.is_disconnected()
        assert await request.body() == b"ab"

    asyncio.run(main())


def test_hints_of_middleware_are_sent() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Response()(scope, receive, send)

    async def hint(request: Request, call_next: Any) -> Response:
        await request.send_early_hints("</a.css>; rel=preload")
        return await call_next(request)

    extensions = {"http.response.early_hint": {}}
    sent = asyncio.run(call(BaseHTTPMiddleware(app, hint), [], extensions=extensions))
    assert [each["type"].rpartition(".")[2] for each in sent] == ["early_hint", "start", "body"]


# ---- background --------------------------------------------------------------------------------


def with_backgrounds(done: list[str], asgi: bool) -> App:
    app = App()

    def make(kind: str, background: Any) -> Response:
        if kind == "stream":
            return StreamingResponse(iter(["a", "b"]), background=background)
        return PlainTextResponse("whole", background=background)

    @app.get("/{kind}")
    async def endpoint(kind: str) -> Response:
        return make(kind, BackgroundTask(done.append, "endpoint"))

    @app.get("/set/{kind}")
    async def set_later(kind: str) -> Response:
        response = make(kind, None)
        response.background = BackgroundTask(done.append, "endpoint")
        return response

    if asgi:
        app.add_middleware(Passing)
    for name in ("inner", "outer"):

        @app.middleware("http")
        async def layer(request: Request, call_next: Any, name: str = name) -> Response:
            response: Response = await call_next(request)
            assert response.background is None
            if "only" not in request.url.query:
                response.background = BackgroundTask(done.append, name)
            return response

    return app


@pytest.mark.parametrize("asgi", [False, True], ids=["function", "asgi"])
@pytest.mark.parametrize("path", ["/whole", "/stream", "/set/whole", "/set/stream"])
def test_each_layers_background_runs(path: str, asgi: bool) -> None:
    done: list[str] = []
    with TestClient(with_backgrounds(done, asgi)) as client:
        assert client.get(path).text in ("whole", "ab")
        assert sorted(done) == ["endpoint", "inner", "outer"]
        client.get(f"{path}?only")
        assert sorted(done) == ["endpoint", "endpoint", "inner", "outer"]


def test_a_background_that_cannot_be_called_is_refused() -> None:
    response = Response()
    with pytest.raises(TypeError, match="background is a BackgroundTask"):
        response.background = 3  # type: ignore[assignment]


def test_a_background_runs_though_the_client_has_gone() -> None:
    done: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        background = BackgroundTask(done.append, "background")
        await PlainTextResponse("x", background=background)(scope, receive, send)

    sent = asyncio.run(call(app, [{"type": "http.disconnect"}] * 3))
    assert done == ["background"]
    assert sent[-1] == {"type": "http.response.body", "body": b"x", "more_body": False}
