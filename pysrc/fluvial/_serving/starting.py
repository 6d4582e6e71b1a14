"""What a server responds while its app starts up: probes are answered, and every other request gets
a 503 with Retry-After. Nothing reaches the app.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from .._asgi.bridge import Bridge
from .without_routes import server_without_routes

if TYPE_CHECKING:
    from .. import _core
    from .._asgi.protocol import Message, Receive, Send
    from .._loop import Loop

_PATIENCE = 0.5  # seconds for the responses under way when the startup is over
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
    root = Bridge(_not_yet, lifespan="off").core
    server = server_without_routes(loop, pool, root=root, **options)
    try:
        listen(server)
        yield
        await asyncio.wait((server.drain(idle=True, queued=False),), timeout=_PATIENCE)
    finally:
        await server.abort()
        server.close()
