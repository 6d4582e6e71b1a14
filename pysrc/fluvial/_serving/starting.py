"""What a server says while its app starts: the probes respond, and everything else is told to come
again. Nothing reaches the app.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from .. import _core
from .._application.core_options import core_options
from .._asgi.bridge import Bridge
from ..applications import App
from ..requests import Request

if TYPE_CHECKING:
    from .._asgi.protocol import Message, Receive, Send
    from .._loop import Loop

_PATIENCE = 0.5  # seconds that requests have which came just before the startup was over
_BODY = b'{"detail":"Service Unavailable"}'
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"retry-after", b"1"),
    (b"connection", b"close"),
]


async def _not_yet(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 503, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})


@contextlib.asynccontextmanager
async def answering(
    loop: Loop,
    pool: _core.Pool,
    listen: Callable[[_core.Server], None],
    options: dict[str, Any],
) -> AsyncIterator[None]:
    """Responds on the sockets that `listen` gives a server, which are free again afterwards.

    What waits in their queues then is left to the app's own server.
    """
    app = App(openapi_url=None)
    app.plan_routes()
    root = Bridge(_not_yet, lifespan="off").core
    server = _core.Server(
        loop,
        app.table,
        pool,
        app=app,
        request_type=Request,
        **core_options(app.errors),
        root=root,
        **options,
    )
    try:
        listen(server)
        yield
        await asyncio.wait((server.drain(idle=True, queued=False),), timeout=_PATIENCE)
    finally:
        await server.abort()
        server.close()
