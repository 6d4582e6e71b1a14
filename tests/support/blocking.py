"""Apps whose handlers block the loop after they have written something (ADR 16)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from fluvial import App, BackgroundTask, Depends, PlainTextResponse, StreamingResponse
from support.asgi import Notes, body, start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PATIENCE = 30  # seconds that the blocking handler waits for the other's client


class Alone:
    """One request, whose handler blocks the loop after it has written something, until its client
    has that."""

    def __init__(self) -> None:
        self.received = threading.Event()
        self.notes = Notes()

    def block(self) -> None:
        self.notes.add(self.received.wait(PATIENCE))


def own_stream(alone: Alone) -> App:
    app = App()

    @app.get("/")
    async def handler() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first"
            alone.block()

        return StreamingResponse(pieces())

    return app


def own_background(alone: Alone) -> App:
    app = App()

    async def later() -> None:
        alone.block()

    @app.get("/")
    async def handler() -> PlainTextResponse:
        return PlainTextResponse("first", background=BackgroundTask(later))

    return app


def own_clean_up(alone: Alone) -> App:
    app = App()

    async def resource() -> AsyncIterator[None]:
        yield
        alone.block()

    @app.get("/", dependencies=[Depends(resource, scope="request")])
    async def handler() -> PlainTextResponse:
        return PlainTextResponse("first")

    return app


def own_mounted(alone: Alone, more: bool = True) -> App:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise LookupError
        await send(start())
        await send(body(b"first", more=True))
        if not more:
            await send(body(b""))
        alone.block()
        if more:
            await send(body(b""))

    app = App()
    app.mount("/", inner)
    return app


def own_end(alone: Alone) -> App:
    return own_mounted(alone, more=False)


def own_whole(alone: Alone) -> Any:
    """An ASGI app that is served alone and goes on after its whole response."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise LookupError
        await send(start((b"content-length", b"5")))
        await send(body(b"first" if scope["path"] == "/" else b"other"))
        if scope["path"] == "/":
            alone.block()

    return served


def own_whole_mounted(alone: Alone) -> App:
    app = App()
    app.mount("/", own_whole(alone))
    return app


def own_middleware(alone: Alone) -> App:
    """What stands around the native routes goes on after their response."""
    app = App()

    @app.get("/{path:path}")
    async def handler(path: str) -> str:
        return "other" if path else "first"

    class Outer:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)
            if scope["type"] == "http" and scope["path"] == "/":
                alone.block()

    app.add_middleware(Outer)
    return app


def own_hint(alone: Alone) -> App:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise LookupError
        links = [b"</first>; rel=preload"]
        await send({"type": "http.response.early_hint", "links": links})
        alone.block()
        await send(start())
        await send(body(b""))

    app = App()
    app.mount("/", inner)
    return app


OWN: list[Callable[[Alone], Any]] = [
    own_stream,
    own_background,
    own_clean_up,
    own_mounted,
    own_end,
    own_whole,
    own_whole_mounted,
    own_middleware,
    own_hint,
]


def second_native(alone: Alone) -> App:
    app = App()

    @app.get("/")
    async def handler() -> str:
        return "first"

    @app.get("/blocks")
    async def blocks() -> str:
        alone.block()
        return "second"

    return app


def second_mounted(alone: Alone) -> App:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise LookupError
        blocks = scope["path"] == "/blocks"
        if blocks:
            alone.block()
        await send(start())
        await send(body(b"second" if blocks else b"first"))

    app = App()
    app.mount("/", inner)
    return app
