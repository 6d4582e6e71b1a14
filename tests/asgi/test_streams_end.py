"""Streams end with their clients, also those that have nothing to send for a long time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, EventSourceResponse, Request, StreamingResponse
from starlette.applications import Starlette
from starlette.responses import StreamingResponse as StarletteStream
from starlette.routing import Route
from support.asgi import Notes
from support.gateways import below_starlette, under_uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Serve

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"


class Waiting:
    """Generators that send something or nothing, then wait for what never comes."""

    def __init__(self) -> None:
        self.notes = Notes()

    async def pieces(self, first: Any = None) -> AsyncIterator[Any]:
        self.notes.add("begun")
        try:
            if first is not None:
                yield first
            await asyncio.Event().wait()
        except BaseException as exc:
            self.notes.add(type(exc))
            raise
        finally:
            self.notes.add("cleaned up")


def starlette(waiting: Waiting, first: Any) -> Any:
    async def stream(request: Any) -> Any:
        return StarletteStream(waiting.pieces(first))

    return Starlette(routes=[Route("/", stream, methods=["GET", "POST"])])


def native(waiting: Waiting, first: Any) -> Any:
    app = App()

    async def stream() -> Any:
        return StreamingResponse(waiting.pieces(first))

    app.get("/")(stream)
    app.post("/")(stream)
    return app


def native_events(waiting: Waiting, first: Any) -> Any:
    app = App()

    async def stream() -> Any:
        return EventSourceResponse(waiting.pieces(first))

    app.get("/")(stream)
    app.post("/")(stream)
    return app


def echo(waiting: Waiting, first: Any) -> Any:
    """Reads the body while it answers."""
    app = App()

    async def pieces(request: Request) -> AsyncIterator[bytes]:
        async for piece in request.stream():
            yield piece
        async for piece in waiting.pieces():
            yield piece

    async def stream(request: Request) -> Any:
        return StreamingResponse(pieces(request))

    app.get("/")(stream)
    app.post("/")(stream)
    return app


def mounted(app: Any, *, middleware: bool = False) -> Any:
    outer = App()
    outer.mount("/", app)
    if middleware:

        @outer.middleware("http")
        async def around(request: Any, call_next: Any) -> Any:
            return await call_next(request)

    return outer


KINDS = {
    "starlette": starlette,
    "native": native,
    "native events": native_events,
    "echo": echo,
}
PLACES = ("here", "mounted", "below middleware", "under uvicorn", "below starlette")


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
@pytest.mark.parametrize("first", [None, "x" * 10])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_waits(
    serve: Serve,
    kind: str,
    place: str,
    first: str | None,
    request_: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    waiting = Waiting()
    app = KINDS[kind](waiting, first)
    with contextlib.ExitStack() as stack:
        if place == "under uvicorn":
            served: Any = stack.enter_context(under_uvicorn(app))
        elif place == "below starlette":
            served = serve(below_starlette(app, ""))
        elif place == "here":
            served = serve(app)
        else:
            served = serve(mounted(app, middleware=place == "below middleware"))
        with served.connect() as sock:
            sock.sendall(request_)
            assert waiting.notes.next() == "begun"
        assert waiting.notes.next() is asyncio.CancelledError
        assert waiting.notes.next() == "cleaned up"
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("place", ["here", "mounted", "below middleware"])
def test_the_version_that_is_announced(serve: Serve, kind: str, place: str) -> None:
    """Before 2.4, so that frameworks listen for the client's end."""
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
            return
        notes.add((scope["type"], scope["asgi"]))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})
        else:
            await receive()
            await send({"type": "websocket.close"})

    outer: Any = app if place == "here" else mounted(app, middleware=place == "below middleware")
    upgrade = (
        b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\n\r\n"
    )
    with serve(outer).connect() as sock:
        sock.sendall(GET if kind == "http" else upgrade)
        assert notes.next() == (kind, {"version": "3.0", "spec_version": "2.3"})
