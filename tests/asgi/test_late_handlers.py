"""The handler for Exception is called for what is raised after the response has begun, too."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, BackgroundTasks, JSONResponse, Request, Response, StreamingResponse
from support.asgi import Notes
from support.middleware import pass_on
from support.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Boom(Exception):
    pass


async def boom() -> None:
    raise Boom


class Around:
    """Middleware that is ASGI only."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def made(notes: Notes, key: Any, is_async: bool) -> App:
    app = App()

    def handle(request: Request, exc: Exception) -> Response:
        notes.add((request.url.path, type(exc), threading.current_thread().name))
        return JSONResponse({}, 500)

    async def handle_async(request: Request, exc: Exception) -> Response:
        return handle(request, exc)

    app.exception_handler(key)(handle_async if is_async else handle)

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> str:
        tasks.add_task(boom)
        return "fine"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"piece"
            raise Boom

        return StreamingResponse(pieces())

    @app.get("/sync-stream")
    def sync_stream() -> StreamingResponse:
        def pieces() -> Iterator[bytes]:
            yield b"piece"
            raise Boom

        return StreamingResponse(pieces())

    return app


def function(app: App) -> App:
    app.middleware("http")(pass_on)
    return app


def around(app: App) -> App:
    app.add_middleware(Around)
    return app


def mounted(app: App) -> App:
    outer = App()
    outer.mount("/", app)
    return outer


WAYS: dict[str, Any] = {
    "native": lambda app: app,
    "behind a function": function,
    "behind ASGI middleware": around,
    "mounted": mounted,
    "mounted, behind ASGI middleware": lambda app: mounted(around(app)),
}


def ask(connect: Any, path: str) -> bytes:
    with connect() as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := sock.recv(65536):
            data += piece
    return data


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", ["/background", "/stream", "/sync-stream"])
@pytest.mark.parametrize(("key", "is_async"), [(Exception, True), (Exception, False), (500, True)])
def test_it_is_called_once(way: str, path: str, key: Any, is_async: bool) -> None:
    notes = Notes()
    with serving(WAYS[way](made(notes, key, is_async))) as served:
        data = ask(served.connect, path)
        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        assert notes.next()[:2] == (path, Boom)
        ask(served.connect, "/nowhere")
    assert notes.empty()


def test_what_the_handler_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = made(Notes(), KeyError, True)

    @app.exception_handler(Exception)
    async def fails(request: Request, exc: Exception) -> Response:
        raise LookupError("from the handler")

    with serving(app) as served:
        ask(served.connect, "/background")
    assert "LookupError: from the handler" in caplog.text
    assert caplog.text.count("Boom") >= 1
