"""Requests without TLS are redirected to the same URL with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._messages.hosts import split_host
from ..datastructures import URL
from ..responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send

__all__ = ["HTTPSRedirectMiddleware"]

_SECURE = {"http": "https", "ws": "wss"}


class HTTPSRedirectMiddleware:
    """Redirects from http to https, and from ws to wss, with 307.

    Behind a proxy that ends TLS, the server must be configured to trust the proxy's
    X-Forwarded-Proto; otherwise clients are redirected in a loop.
    """

    def __init__(self, app: Asgi3) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if scope["type"] not in ("http", "websocket") or scope["scheme"] not in _SECURE:
            await self.app(scope, receive, send)
            return
        url = URL(scope=scope)
        found = split_host(url.netloc)
        if found is None:
            await PlainTextResponse("Invalid host header", 400)(scope, receive, send)
            return
        host, port = found
        netloc = host if port in ("", "80", "443") else f"{host}:{port}"
        secure = url.replace(scheme=_SECURE[url.scheme], netloc=netloc)
        await RedirectResponse(secure, 307)(scope, receive, send)
