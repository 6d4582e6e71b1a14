"""Apps of other kinds below a path of a Fluvial app.

C calls them itself. Only when middleware stands around all requests they are called from here, so
that it gets their answers as Response objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._responses import StreamingResponse

if TYPE_CHECKING:
    from ._interface import Asgi3, Foreign, Message
    from ._request import Request

_ASGI = {"version": "3.0", "spec_version": "2.4"}


@dataclass(slots=True, eq=False)
class Mount:
    """An app below `prefix`, which is "" or begins with "/" and doesn't end in one.

    `state` is what its lifespan has left, as long as it runs, `root_path` the server's.
    """

    prefix: str
    app: Foreign
    asgi: Asgi3
    state: dict[str, Any] | None = None
    root_path: str = ""

    def fits(self, path: str) -> bool:
        """Whether `path` is the app's."""
        return path == self.prefix or path.startswith(f"{self.prefix}/")

    async def answer(self, request: Request) -> StreamingResponse:
        """The app's answer, as soon as it begins. Raises: what the app raises before."""
        exchange = _Exchange(request)
        scope = self._scope(request)
        exchange.run(self.asgi(scope, exchange.receive, exchange.send))
        message = await exchange.start()
        response = StreamingResponse(exchange.pieces(), message["status"])
        response.raw_headers = [(bytes(n), bytes(v)) for n, v in message.get("headers", ())]
        response.run_after(exchange.finish)
        return response

    def _scope(self, request: Request) -> Message:
        scope: Message = {
            "type": "http",
            "asgi": dict(_ASGI),
            "http_version": request.http_version,
            "server": request.server,
            "client": request.client and tuple(request.client),
            "scheme": request.url.scheme,
            "method": request.method,
            "root_path": self.root_path + self.prefix,
            "path": self.root_path + request.path,
            "raw_path": self.root_path.encode() + request.raw_path,
            "query_string": request.query_string,
            "headers": list(request.raw_headers),
            "extensions": {},
        }
        if self.state is not None:
            scope["state"] = dict(self.state)
        return scope


class _Exchange:
    """The events of one request, between the app's task and the answer's iterator."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._task: asyncio.Future[None]
        self._message: Message | None = None  # sent and not taken yet
        self._first: Message | None = None  # body
        self._sent = asyncio.Event()  # there is one, or the task has ended
        self._taken = asyncio.Event()
        self._over = asyncio.Event()
        self._started = False
        self._body_given = False

    def run(self, call: Awaitable[None]) -> None:
        """Begins to await what the app returned."""
        self._task = asyncio.ensure_future(call)
        self._task.add_done_callback(lambda _: self._sent.set())

    async def receive(self) -> Message:
        if not self._body_given and not self._over.is_set():
            piece = await self._request.read()
            self._body_given = not piece
            return {"type": "http.request", "body": piece, "more_body": bool(piece)}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        wanted = "http.response.body" if self._started else "http.response.start"
        if message["type"] != wanted or self._over.is_set():
            raise RuntimeError(f"unexpected ASGI message {message['type']!r}: expected {wanted}")
        self._started = True
        while self._message is not None:
            self._taken.clear()
            await self._taken.wait()
        self._message = message
        self._sent.set()

    async def start(self) -> Message:
        """http.response.start, when a body has followed. Raises: what the app raises before."""
        try:
            start = await self._next()
            self._first = await self._next()
            return start
        except asyncio.CancelledError:
            self._task.cancel()
            raise

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, piece by piece. Raises: what the app raises within its answer."""
        complete = False
        try:
            while not complete:
                first, self._first = self._first, None
                message = await self._next() if first is None else first
                complete = not message.get("more_body", False)
                yield message.get("body", b"")
        finally:
            self._over.set()
            if not complete:
                self._task.cancel()

    async def _next(self) -> Message:
        await self._sent.wait()
        message, self._message = self._message, None
        if message is None:
            await self._task
            raise RuntimeError("a mounted app returned before its answer was complete")
        if not self._task.done():
            self._sent.clear()
        self._taken.set()
        return message

    async def finish(self) -> None:
        """Waits for what the app does after its answer."""
        self._over.set()
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.result()
