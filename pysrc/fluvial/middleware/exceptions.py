"""Exception handlers around the user's own ASGI app; an App doesn't need it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .._asgi.noted_send import NotedSend
from .._calling.callables import is_async
from .._calling.threads import call_in_pool
from .._messages.framing import BODYLESS
from ..exceptions import is_http_exception
from ..requests import Request
from ..responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send

__all__ = ["ExceptionMiddleware"]

Handler = Callable[[Request, Any], Any]


class ExceptionMiddleware:
    """Responds with what `handlers`, by status or exception class, make of an exception.

    Without a handler, an HTTPException becomes its detail as text. Other exceptions are raised
    again; so are all when the response has started.
    """

    def __init__(
        self, app: Asgi3, handlers: Mapping[Any, Handler] | None = None, debug: bool = False
    ) -> None:
        self.app = app
        self.debug = debug
        self._handlers: dict[Any, Handler] = dict(handlers or {})

    def add_exception_handler(self, exc_class_or_status_code: Any, handler: Handler) -> None:
        """Sets the handler for a status or a class."""
        self._handlers[exc_class_or_status_code] = handler

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        noted = NotedSend(send)
        try:
            await self.app(scope, receive, noted)
        except Exception as exc:
            handler = self._find(exc)
            if noted.started or handler is None:
                raise
            request = Request(scope, receive)
            response = (
                await handler(request, exc)
                if is_async(handler)
                else await call_in_pool(handler, request, exc)
            )
            await response(scope, receive, send)

    def _find(self, exc: Exception) -> Handler | None:
        http = is_http_exception(exc)
        status: Any = getattr(exc, "status_code", None)
        if http and status in self._handlers:
            return self._handlers[status]
        for cls in type(exc).__mro__:
            if cls in self._handlers:
                return self._handlers[cls]
        return self.http_exception if http else None

    def http_exception(self, request: Request, exc: Any) -> Response:
        """The detail as text."""
        if exc.status_code in BODYLESS:
            return Response(status_code=exc.status_code, headers=exc.headers)
        return PlainTextResponse(exc.detail, exc.status_code, exc.headers)
