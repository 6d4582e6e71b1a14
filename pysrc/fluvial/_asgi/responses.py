"""Responses as ASGI messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from .._messages.framing import with_length
from .._messages.header_fields import check_head
from .adopted_requests import AdoptedRequest
from .offers import PATHSEND, takes_paths

if TYPE_CHECKING:
    from .. import _core
    from .._application.exception_handlers import ErrorHandlers
    from ..requests import Request
    from ..responses import Response
    from .protocol import Message, Send


class AsgiSender:
    """What `Response.respond` writes to, in place of `_core.Sender`."""

    def __init__(self, send: Send, scope: Message | None) -> None:
        self.started = False
        # Has the server send all of the file at an absolute path, and completes the response.
        self.send_path = self._send_path if takes_paths(scope) else None
        self.given_up = False  # because the client has disconnected
        self.watch: asyncio.Future[None] | None = None  # waits until the client disconnects
        self._method = "" if scope is None else scope.get("method", "")
        self._send = send
        self._start: Message | None = None
        self._body = b""
        self._length = -1  # of the whole body, if it is known
        self._complete = False  # the last message has been sent
        self._end: asyncio.Future[None] | None = None

    def start(self, status_code: int, headers: list[tuple[bytes, bytes]], length: int = -1) -> None:
        """Starts the response; its head is sent with the first piece."""
        if self.started:
            raise RuntimeError("the response has already been started")
        check_head(status_code, headers)  # not every server checks it
        headers = list(headers)
        if length >= 0:
            headers = with_length(status_code, headers, length, self._method)
        self._start = {
            "type": "http.response.start",
            "status": status_code,
            "headers": headers,
        }
        self.started = True
        self._length = length

    async def send(self, data: bytes) -> None:
        """Writes a piece, which completes the response if it is as long as all of it."""
        await self._begin()
        whole = len(data) == self._length
        await self._send({"type": "http.response.body", "body": data, "more_body": not whole})
        self._complete = whole

    async def send_file(self, fd: int, offset: int, size: int) -> int:
        """Returns that nothing was sent, so that the caller reads the file instead."""
        return 0

    async def _send_path(self, path: str) -> None:
        await self._begin()
        await self._send({"type": PATHSEND, "path": path})
        self._complete = True

    def whole(self, status_code: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Sets the whole response; `end` sends it."""
        self.start(status_code, headers, len(body))
        self._body = body

    def end(self, last: bytes = b"") -> None:
        """Starts to send the end of the response; `finish` waits for that."""
        self._body = last or self._body
        if self.watch is not None:
            self.watch.cancel()
        if self._end is None and not self._complete:
            self._end = asyncio.ensure_future(self._last())

    async def finish(self) -> None:
        """Sends the end of the response, and returns when the response is complete."""
        self.end()
        if self._end is not None:
            await self._end

    async def _begin(self) -> None:
        start, self._start = self._start, None
        if start is not None:
            await self._send(start)

    async def _last(self) -> None:
        await self._begin()
        await self._send({"type": "http.response.body", "body": self._body, "more_body": False})


async def send_response(response: Response, request: Request, send: Send) -> None:
    if response.body is not None:
        await send_whole(response, request.method, send)
        return
    sender = AsgiSender(send, request._scope)
    core = cast("_core.Sender", sender)
    if isinstance(request, AdoptedRequest) and not response.is_in_memory:
        async with _Watch(request, sender):
            await response.respond(request, core)
    else:  # soon sent; or a WebSocket's opening handshake is rejected
        await response.respond(request, core)
    if sender.started and not sender.given_up:
        await sender.finish()


class _Watch:
    """Cancels the task that writes a response, once, if the client disconnects before its end.

    An exception from `send` isn't enough: a server need not raise one for a client that has
    disconnected, and a stream may have nothing to send.
    """

    def __init__(self, request: Request, sender: AsgiSender) -> None:
        self._request = request
        self._sender = sender

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._sender.watch = asyncio.ensure_future(self._request.until_gone())
        self._sender.watch.add_done_callback(self._left)

    def _left(self, watch: asyncio.Future[None]) -> None:
        if watch.cancelled() or watch.exception() is not None:
            return
        self._sender.given_up = True
        self._task.cancel()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        watch = self._sender.watch
        assert watch is not None
        watch.remove_done_callback(self._left)
        watch.cancel()
        if not self._sender.given_up:
            return False
        alone = self._task.uncancel() == 0
        return alone and kind is not None and issubclass(kind, asyncio.CancelledError)


async def respond_to_exception(
    errors: ErrorHandlers, request: Request, send: Send, exc: BaseException
) -> None:
    """Sends the response that the exception handlers make for `exc`."""
    response = await errors.respond(request, exc)
    try:
        await send_response(response, request, send)
    finally:
        await response.clean_up()


async def send_whole(response: Response, method: str, send: Send) -> None:
    body = response.body or b""
    headers = with_length(response.status_code, list(response.raw_headers), len(body), method)
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def has_denials(scope: Message) -> bool:
    return "websocket.http.response" in (scope.get("extensions") or {})


def as_denial(send: Send) -> Send:
    """A `send` that turns a response's messages into those of "websocket.http.response"."""

    async def send_denial(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return send_denial
