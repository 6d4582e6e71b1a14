"""An ASGI app below Sentry's middleware, which puts its `__call__` in a slot."""

from typing import Any

from sentry_sdk.integrations.asgi import SentryAsgiMiddleware


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answers everything."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"watched"})


app = SentryAsgiMiddleware(answer)
