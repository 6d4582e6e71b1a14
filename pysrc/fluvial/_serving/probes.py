"""What load balancers and orchestrators ask a server: does it live, may it get requests?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._asgi.bridge import Bridge

if TYPE_CHECKING:
    from .. import _core
    from .._asgi.protocol import Message, Receive, Send
    from .metrics_memory import MetricsMemory

LIVE, READY = "/-/live", "/-/ready"
PROBES = (LIVE, READY)
_JSON = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


class Health:
    """What a server says of itself. It is ready from the end of the startup until it drains."""

    def __init__(self) -> None:
        self.ready = False

    def says(self, path: str, ready: bool) -> tuple[int, bytes]:
        """The response to a probe: its status and its body."""
        if path == LIVE:
            return 200, b'{"status":"live"}'
        return (200, b'{"status":"ready"}') if ready else (503, b'{"status":"not ready"}')

    def core(self, memory: MetricsMemory | None = None) -> tuple[tuple[str, _core.AsgiApp], ...]:
        """What C calls for the paths. With `memory`, the server is ready if any worker is."""

        async def respond(scope: Message, receive: Receive, send: Send) -> None:
            await self._respond(scope, send, self.ready if memory is None else memory.is_ready)

        app = Bridge(respond, lifespan="off").core
        return tuple((path, app) for path in PROBES)

    async def _respond(self, scope: Message, send: Send, ready: bool) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        method = scope["method"]
        status, body = self.says(scope["path"], ready)
        headers = list(_JSON)
        if method not in ("GET", "HEAD"):
            status, body = 405, b'{"detail":"Method Not Allowed"}'
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
