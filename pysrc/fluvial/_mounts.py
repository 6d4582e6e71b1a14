"""Apps of other kinds below a path of a Fluvial app.

C calls them itself. Only when middleware stands around all requests they are called from here, so
that it gets their answers as Response objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
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
        exchange.task = asyncio.ensure_future(self.asgi(scope, exchange.receive, exchange.send))
        await asyncio.wait((exchange.task, exchange.start), return_when="FIRST_COMPLETED")
        if not exchange.start.done():
            await exchange.task
            raise RuntimeError(f"the app mounted at {self.prefix!r} returned without an answer")
        message = exchange.start.result()
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

    task: asyncio.Future[None]

    def __init__(self, request: Request) -> None:
        self.start: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._request = request
        self._pieces: asyncio.Queue[Message] = asyncio.Queue(1)
        self._over = asyncio.Event()
        self._body_given = False

    async def receive(self) -> Message:
        if not self._body_given and not self._over.is_set():
            piece = await self._request.read()
            self._body_given = not piece
            return {"type": "http.request", "body": piece, "more_body": bool(piece)}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        wanted = "http.response.body" if self.start.done() else "http.response.start"
        if message["type"] != wanted or self._over.is_set():
            raise RuntimeError(f"unexpected ASGI message {message['type']!r}")
        if not self.start.done():
            self.start.set_result(message)
        else:
            await self._pieces.put(message)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, piece by piece. Raises: what the app raises within its answer."""
        try:
            while True:
                message = await self._next()
                yield message.get("body", b"")
                if not message.get("more_body", False):
                    return
        except GeneratorExit:
            self.task.cancel()
            raise
        finally:
            self._over.set()

    async def _next(self) -> Message:
        getter = asyncio.ensure_future(self._pieces.get())
        await asyncio.wait((getter, self.task), return_when="FIRST_COMPLETED")
        if not getter.done() and self._pieces.empty():
            getter.cancel()
            await self.task
            raise RuntimeError("the mounted app returned in the middle of its answer")
        return await getter

    async def finish(self) -> None:
        """Waits for what the app does after its answer."""
        self._over.set()
        await asyncio.wait((self.task,))
        if not self.task.cancelled():
            self.task.result()
