"""Unhandled exceptions are logged by `fluvial.error`, whatever kind of app raised them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, BackgroundTasks, Depends, StreamingResponse, WebSocket
from fluvial.middleware.wsgi import WSGIMiddleware
from support.middleware import pass_on
from support.serving import serving
from support.ws_client import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Boom(Exception):
    pass


def boom() -> None:
    raise Boom


async def cleaned_up() -> AsyncIterator[None]:
    yield
    raise Boom


def native() -> App:
    app = App()

    @app.get("/async")
    async def raised() -> None:
        raise Boom

    app.get("/sync")(boom)

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> None:
        tasks.add_task(boom)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"piece"
            raise Boom

        return StreamingResponse(pieces())

    @app.get("/clean-up", dependencies=[Depends(cleaned_up)])
    def clean_up() -> None: ...

    @app.websocket("/websocket")
    async def websocket(websocket: WebSocket) -> None:
        await websocket.accept()
        raise Boom

    return app


class Around:
    """Middleware that is ASGI only."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def behind(middleware: Any) -> App:
    app = native()
    if middleware is Around:
        app.add_middleware(Around)
    else:
        app.middleware("http")(middleware)
    return app


def mounted(inner: Any) -> App:
    app = App()
    app.mount("/", inner)
    return app


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
    elif scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"piece", "more_body": True})
    raise Boom


def wsgi(environ: Any, start_response: Any) -> Iterator[bytes]:
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", [])
        yield b"piece"
    raise Boom


WAYS: dict[str, Any] = {
    "native": native,
    "behind a function": lambda: behind(pass_on),
    "behind ASGI middleware": lambda: behind(Around),
    "mounted": lambda: mounted(native()),
    "asgi": lambda: asgi,
    "mounted asgi": lambda: mounted(asgi),
    "mounted wsgi": lambda: mounted(WSGIMiddleware(wsgi)),
    "wsgi behind middleware": lambda: mounted(Around(WSGIMiddleware(wsgi))),
}
PATHS = ("async", "sync", "background", "stream", "clean-up", "websocket")


class Errors(logging.Handler):
    """The names of the loggers of records with an exception."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], Boom)
        self.names.append(record.name)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", PATHS)
def test_one_logger(way: str, path: str) -> None:
    if "wsgi" in way and path == "websocket":
        return  # WSGI has none
    errors = Errors()
    root = logging.getLogger()
    root.addHandler(errors)
    try:
        with serving(WAYS[way]()) as served, served.connect() as sock:
            if path == "websocket":
                client = Client(sock)
                client.open("/websocket")
                client.read()  # its close frame
            else:
                sock.sendall(
                    f"GET /{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
                )
                while sock.recv(65536):
                    pass
    finally:
        root.removeHandler(errors)
    assert errors.names == ["fluvial.error"]
