"""Authentication: a backend of the app's identifies the client before any route is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    UnauthenticatedUser,
)
from ..requests import HTTPConnection
from ..responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send

__all__ = ["AuthenticationMiddleware"]

OnError = Callable[[HTTPConnection, AuthenticationError], Any]


class AuthenticationMiddleware:
    """Sets `request.user` and `request.auth` to what `await backend.authenticate(request)` returns.

    That is (AuthCredentials, user), or None for a client that isn't known. If it raises an
    AuthenticationError, `on_error(request, exc)` makes the response: by default a 400.
    """

    def __init__(
        self, app: Asgi3, backend: AuthenticationBackend, on_error: OnError | None = None
    ) -> None:
        self.app = app
        self.backend = backend
        self.on_error = self.default_on_error if on_error is None else on_error

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            found = await self.backend.authenticate(connection)
        except AuthenticationError as exc:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            else:
                await self.on_error(connection, exc)(scope, receive, send)
            return
        scope["auth"], scope["user"] = found or (AuthCredentials(), UnauthenticatedUser())
        await self.app(scope, receive, send)

    @staticmethod
    def default_on_error(conn: HTTPConnection, exc: AuthenticationError) -> Response:
        """A 400 with the exception's text."""
        return PlainTextResponse(str(exc), 400)
