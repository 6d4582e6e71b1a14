"""Metrics: where the workers count, and the path or the port that serves what they counted."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._asgi.bridge import Bridge
from .metrics_address import host_and_port
from .metrics_memory import SPARE_SLOTS, MetricsMemory
from .metrics_text import OPEN_METRICS, PROMETHEUS, takes_openmetrics, text_of
from .sockets import bind_tcp, closing, describe
from .without_routes import server_without_routes

if TYPE_CHECKING:
    import socket

    from .. import _core
    from .._asgi.protocol import Message, Receive, Send
    from .._loop import Loop
    from .config import Config
    from .probes import Health

log = logging.getLogger("fluvial")

PORT_PATH = "/metrics"  # on a port of its own


@dataclass(slots=True)
class Counting:
    """Which process counts where, and which sockets serve the metrics.

    It is made before workers are forked. A process whose `slot` is -1 doesn't count.
    """

    memory: MetricsMemory
    sockets: list[socket.socket] = field(default_factory=list)
    slot: int = -1


def make_counting(config: Config, workers: int, before: int = -1) -> Counting | None:
    """What `workers` processes share; None when no metrics are wanted. `before` is the memory of a
    process whose place this one takes.

    Raises: BindError when the port can't be bound.
    """
    if not config.metrics:
        if before >= 0:
            os.close(before)
        return None
    sockets: list[socket.socket] = []
    if not config.metrics.startswith("/"):
        # Another binary that takes the server over has the port at the same time.
        sockets = bind_tcp(*host_and_port(config.metrics), reuse=workers > 1)
    slots = 1 if workers == 1 else 2 * workers + SPARE_SLOTS
    return Counting(_make_memory(slots, config.metrics_series, before), sockets)


def _make_memory(slots: int, series: int, before: int) -> MetricsMemory:
    if before >= 0:
        try:
            return MetricsMemory(slots, series, before)
        except (OSError, ValueError):
            os.close(before)
            log.warning(
                "The metrics start at 0: the previous process stores them in another layout"
            )
    return MetricsMemory(slots, series)


class Metrics:
    """The metrics of one process, as an ASGI app that responds with those of all."""

    def __init__(self, counting: Counting, config: Config, health: Health) -> None:
        self._counting = counting
        self._config = config
        self._health = health
        self.server: _core.Server | None = None  # whose requests are counted, once it is there
        self.addresses: list[str] = []  # of the port of its own, as URLs

    @property
    def path(self) -> str:
        """The path on the server's own port, or ""."""
        return self._config.metrics if self._config.metrics.startswith("/") else ""

    def options(self) -> dict[str, Any]:
        """The arguments of the C server."""
        counting = self._counting
        if counting.slot < 0:
            return {}
        counting.memory.begin(counting.slot, self._config.threads)
        return {"metrics": (counting.memory.words, counting.slot)}

    def core(self) -> tuple[tuple[str, _core.AsgiApp], ...]:
        """What C calls for the path on the server's own port, if there is one."""
        return ((self.path, Bridge(self, lifespan="off").core),) if self.path else ()

    def set_ready(self, ready: bool) -> None:
        """Notes whether this process may get requests."""
        if self._counting.slot >= 0:
            self._counting.memory.set_ready(self._counting.slot, ready)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Responds with the text."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        status, headers, body = 405, [(b"allow", b"GET, HEAD")], b""
        if scope["method"] in ("GET", "HEAD"):
            accept = ",".join(v.decode("latin-1") for n, v in scope["headers"] if n == b"accept")
            openmetrics = takes_openmetrics(accept)
            kind = OPEN_METRICS if openmetrics else PROMETHEUS
            status, headers = 200, [(b"content-type", kind.encode()), (b"vary", b"accept")]
            if self.server is not None:
                self.server.measure()
            self._counting.memory.refresh()
            body = text_of(self._counting.memory, openmetrics=openmetrics)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    # ---- The port of its own ------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def serving(self, loop: Loop, pool: _core.Pool) -> AsyncIterator[None]:
        """Serves on the port of its own."""
        server = self._listen(loop, pool) if self._counting.sockets else None
        try:
            yield
        finally:
            if server is not None:
                await server.abort()
                server.close()

    def _listen(self, loop: Loop, pool: _core.Pool) -> _core.Server:
        probes = self._health.core(self._counting.memory) if self._config.health else ()
        own = ((PORT_PATH, Bridge(self, lifespan="off").core), *probes)
        server = server_without_routes(loop, pool, own_mounts=own)
        for sock in self._counting.sockets:
            shared = self._counting.memory.slots > 1
            self.addresses.append(describe(sock) + PORT_PATH)
            server.listen(sock.detach(), backlog=self._config.backlog, shared=shared)
        log.info("Metrics on %s", ", ".join(self.addresses))
        return server


def close_counting(counting: Counting | None) -> None:
    """Closes what a parent has, which doesn't serve."""
    if counting is not None:
        counting.memory.close()
        with closing(counting.sockets):
            pass
