"""Responses to unhandled exceptions, for the user's own ASGI apps; an App doesn't need it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._asgi.noted_send import NotedSend
from .._calling.callables import is_async
from .._calling.threads import call_in_pool
from ..exceptions import noted_headers
from ..requests import Request
from ..responses import HTMLResponse, PlainTextResponse, Response

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send

__all__ = ["ServerErrorMiddleware"]


def traceback_of(request: Request, exc: Exception) -> Response:
    """A 500 with the traceback of an exception: HTML for browsers, text for other clients."""
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse("".join(traceback.format_exception(exc)), 500)
    from .._messages.error_page import error_page  # imports much, which only developers need

    return HTMLResponse(error_page(f"{request.method} {request.url.path}", exc), 500)


class ServerErrorMiddleware:
    """Responds with 500, or what `handler(request, exc)` returns, and raises the exception again.

    With `debug` the response is the traceback: a page for browsers, text for other clients.
    """

    def __init__(
        self, app: Asgi3, handler: Callable[[Request, Any], Any] | None = None, debug: bool = False
    ) -> None:
        self.app = app
        self.handler = handler
        self.debug = debug

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        noted = NotedSend(send)
        try:
            await self.app(scope, receive, noted)
        except Exception as exc:
            if not noted.started:
                response = await self._respond(Request(scope), exc)
                response.raw_headers.extend(noted_headers(exc))
                await response(scope, receive, send)
            raise

    async def _respond(self, request: Request, exc: Exception) -> Any:
        if self.debug:
            return self.debug_response(request, exc)
        if self.handler is None:
            return self.error_response(request, exc)
        if is_async(self.handler):
            return await self.handler(request, exc)
        return await call_in_pool(self.handler, request, exc)

    def debug_response(self, request: Request, exc: Exception) -> Response:
        """The traceback."""
        return traceback_of(request, exc)

    def error_response(self, request: Request, exc: Exception) -> Response:
        """A 500 without details."""
        return PlainTextResponse("Internal Server Error", 500)
