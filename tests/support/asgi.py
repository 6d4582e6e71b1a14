"""ASGI apps for tests, and what they noticed."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

from fluvial import App

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[Any, Any, Any], Awaitable[None]]

PATIENCE = 30  # seconds until an awaited event counts as missing

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


def start(*headers: tuple[bytes, bytes], status: int = 200, **more: Any) -> dict[str, Any]:
    """http.response.start"""
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(content: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    """http.response.body"""
    return {"type": "http.response.body", "body": content, "more_body": more}


class Notes:
    """What the server's thread tells the test's, in order."""

    def __init__(self) -> None:
        self._items: queue.Queue[Any] = queue.Queue()

    def add(self, item: Any) -> None:
        self._items.put(item)

    def next(self) -> Any:
        """The next item, as soon as it is there."""
        return self._items.get(timeout=PATIENCE)

    def empty(self) -> bool:
        return self._items.empty()


def http_only(handler: Handler) -> Handler:
    """An app that knows no lifespan."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await handler(scope, receive, send)

    return app


def answering(*messages: Any) -> Handler:
    """An app that sends these messages."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return http_only(app)


async def read_body(receive: Any) -> bytes:
    """The whole body of a request."""
    pieces = []
    while True:
        event = await receive()
        assert event["type"] == "http.request", event
        pieces.append(event["body"])
        if not event["more_body"]:
            return b"".join(pieces)


# Where `placed` puts an app.
PLACES = ("root", "mount", "behind middleware")


def placed(app: Any, where: str) -> Any:
    """`app` as the whole app, below a path, or there behind middleware; always at the root."""
    if where == "root":
        return app
    outer = App()
    outer.mount("/", app)
    if where == "behind middleware":

        @outer.middleware("http")
        async def through(request: Any, call_next: Any) -> Any:
            return await call_next(request)

    return outer
