"""Middleware that only passes on, which puts an app on the ways that middleware takes."""

from __future__ import annotations

from typing import Any


class Passing:
    """An ASGI middleware."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Calls the app."""
        await self.app(scope, receive, send)


async def pass_on(request: Any, call_next: Any) -> Any:
    """The function of `app.middleware("http")`."""
    return await call_next(request)
