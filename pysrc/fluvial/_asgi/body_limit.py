"""What has been received of a request's body, and the limits of its layers (see middleware)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .._messages.framing import declared_length
from ..exceptions import HTTPException
from ..responses import PlainTextResponse

if TYPE_CHECKING:
    from .protocol import Asgi3, Message, Receive, Send

MAX_BODY_SIZE_SCOPE_KEY = "starlette.max_body_size"
LIMITED_BODY = "fluvial.limited_body"  # in scopes: the _Body
_WORDS = "Content Too Large"


class RequestBodyLimitMiddleware:
    """Responds with 413 to a request whose body has more than `max_body_size` bytes.

    What Content-Length says counts as soon as the app reads or responds; without it the bytes are
    counted as they arrive. Of two such layers, the inner one's limit replaces the outer one's. An
    App has `max_body_size` for its routes, and the server a limit of its own, which is looked at
    first.
    """

    def __init__(self, app: Asgi3, max_body_size: int) -> None:
        self.app = app
        self.max_body_size = max_body_size

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The app with the limit. Raises: HTTPException 413 when its response has started."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        outer: _Body | None = scope.get(LIMITED_BODY)
        said = {key: scope[key] for key in (MAX_BODY_SIZE_SCOPE_KEY, LIMITED_BODY) if key in scope}
        scope[MAX_BODY_SIZE_SCOPE_KEY] = self.max_body_size
        try:
            if outer is None:
                body = scope[LIMITED_BODY] = _Body(self.max_body_size, scope, receive, send)
                await body.run(self.app)
            else:
                outer.replace_limit(self.max_body_size)
                await self.app(scope, receive, send)
        finally:
            for key in (MAX_BODY_SIZE_SCOPE_KEY, LIMITED_BODY):
                scope.pop(key, None)
            scope.update(said)


class _TooLarge(HTTPException):
    def __init__(self) -> None:
        super().__init__(413, _WORDS)


class _Refused(Exception):
    """The response was replaced by a 413; the app gets no further."""


class _Body:
    """What has been received of one request's body, and the limit that counts."""

    def __init__(self, limit: int, scope: Message, receive: Receive, send: Send) -> None:
        self.limit = limit
        self.received = 0
        self._stated = declared_length(scope["headers"])
        self._started = False
        self._scope, self._receive, self._send = scope, receive, send

    async def run(self, app: Asgi3) -> None:
        try:
            await app(self._scope, self._receive_some, self._send_on)
        except _TooLarge:
            if self._started:
                raise
            await self._refuse()
        except _Refused:
            pass

    def replace_limit(self, limit: int) -> None:
        """Sets the limit of a layer or route inside, unless it is negative; 0 means none.

        Raises: HTTPException 413 when more has been received already.
        """
        if limit >= 0:
            self.limit = limit or sys.maxsize
            self.check(self.received)

    def check(self, size: int) -> None:
        """Raises: HTTPException 413 when `size` is more than the limit."""
        if size > self.limit:
            raise _TooLarge

    async def _receive_some(self) -> Any:
        self.check(self._stated)
        event = await self._receive()
        if event["type"] == "http.request":
            self.received += len(event.get("body", b""))
            self.check(self.received)
        return event

    async def _send_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            if self._stated > self.limit:
                await self._refuse()
                raise _Refused
        await self._send(message)

    async def _refuse(self) -> None:
        response = PlainTextResponse(_WORDS, 413)
        await response(self._scope, self._receive, self._send)
