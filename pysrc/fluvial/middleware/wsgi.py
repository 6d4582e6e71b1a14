"""WSGI apps (PEP 3333) to be mounted: `app.mount("/old", WSGIMiddleware(wsgi_app))`.

`app.mount("/old", wsgi_app)` does the same: C calls the app in the thread pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._wsgi.as_asgi import Wsgi

if TYPE_CHECKING:
    from .._asgi.protocol import Message, Receive, Send

__all__ = ["WSGIMiddleware"]


class WSGIMiddleware:
    """A WSGI app as an ASGI app."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._asgi = Wsgi(app)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The app as an ASGI app."""
        await self._asgi(scope, receive, send)
