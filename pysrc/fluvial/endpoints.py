"""Class-based endpoints: `Route("/", Home)`, `WebSocketRoute("/ws", Echo)`.

They are ASGI apps, `await Home(scope, receive, send)`. For new programs `@app.controller` does
the same with parameters, and without ASGI between C and the method.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ._calling.callables import is_async
from .concurrency import run_in_threadpool
from .exceptions import HTTPException
from .requests import Request
from .responses import PlainTextResponse, Response
from .websockets import WebSocket

if TYPE_CHECKING:
    from ._asgi.protocol import Message, Receive, Send

__all__ = ["HTTPEndpoint", "WebSocketEndpoint"]

_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
_UNSUPPORTED_DATA = 1003  # RFC 6455 section 7.4.1
_INTERNAL_ERROR = 1011


class HTTPEndpoint:
    """One object for each request. Its methods are named after HTTP's: `async def get(request)`.

    They may be `def`, too. GET also handles HEAD; methods that it lacks get 405.
    """

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise AssertionError(f"an HTTPEndpoint is for requests, not for {scope['type']!r}")
        self.scope = scope
        self.receive = receive
        self.send = send
        self._allowed_methods = [each for each in _METHODS if hasattr(self, each.lower())]
        if "GET" in self._allowed_methods and "HEAD" not in self._allowed_methods:
            self._allowed_methods.append("HEAD")
        self._allowed_methods.sort()

    def __await__(self) -> Generator[Any, None, None]:
        return self.dispatch().__await__()

    async def dispatch(self) -> None:
        """Calls the method for the request, and sends its response."""
        request = Request(self.scope, self.receive, self.send)
        handler = self._handler(request.method)
        if is_async(handler):
            response = await handler(request)
        else:
            response = await run_in_threadpool(handler, request)
        await response(self.scope, self.receive, self.send)

    def _handler(self, method: str) -> Callable[[Request], Any]:
        if method not in self._allowed_methods:
            return self.method_not_allowed
        name = "get" if method == "HEAD" and not hasattr(self, "head") else method.lower()
        handler: Callable[[Request], Any] = getattr(self, name)
        return handler

    async def method_not_allowed(self, request: Request) -> Response:
        """A 405. Within an app it is raised, so that the app's exception handlers see it."""
        headers = {"Allow": ", ".join(self._allowed_methods)}
        if "app" in self.scope:
            raise HTTPException(405, headers=headers)
        return PlainTextResponse("Method Not Allowed", 405, headers)


class WebSocketEndpoint:
    """One object for each WebSocket, whose methods are called as things happen to it.

    `encoding` says what messages are: "text", "bytes" or "json". A message of another kind closes
    the WebSocket with 1003. Without it, messages are passed on as they come.
    """

    encoding: ClassVar[Literal["text", "bytes", "json"] | None] = None

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            raise AssertionError(f"a WebSocketEndpoint isn't for {scope['type']!r}")
        self.scope = scope
        self.receive = receive
        self.send = send

    def __await__(self) -> Generator[Any, None, None]:
        return self.dispatch().__await__()

    async def dispatch(self) -> None:
        """Accepts the WebSocket and passes its messages on until it is closed."""
        websocket = WebSocket(self.scope, self.receive, self.send)
        await self.on_connect(websocket)
        close_code = 1000
        try:
            while (message := await websocket.receive())["type"] != "websocket.disconnect":
                if message["type"] == "websocket.receive":
                    await self.on_receive(websocket, await self.decode(websocket, message))
            close_code = int(message.get("code") or 1000)
        except Exception:
            close_code = _INTERNAL_ERROR
            raise
        finally:
            await self.on_disconnect(websocket, close_code)

    async def decode(self, websocket: WebSocket, message: Message) -> Any:
        """What is in a message. Raises: RuntimeError for another kind than `encoding`."""
        text: Any = message.get("text")
        data: Any = message.get("bytes")
        if self.encoding == "text" and text is None:
            await websocket.close(_UNSUPPORTED_DATA)
            raise RuntimeError("Expected text websocket messages, but got bytes")
        if self.encoding == "bytes" and data is None:
            await websocket.close(_UNSUPPORTED_DATA)
            raise RuntimeError("Expected bytes websocket messages, but got text")
        if self.encoding == "text":
            return text
        if self.encoding == "bytes":
            return data
        if self.encoding is None:
            return data if text is None else text
        try:
            return json.loads(text if data is None else data)
        except ValueError:
            await websocket.close(_UNSUPPORTED_DATA)
            raise RuntimeError("Malformed JSON data received.") from None

    async def on_connect(self, websocket: WebSocket) -> None:
        """Accepts it; override to do something else."""
        await websocket.accept()

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        """Called with each message."""

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        """Called at the end."""
