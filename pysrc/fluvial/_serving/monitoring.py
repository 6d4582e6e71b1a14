"""What a server itself responds to, whatever the app is: probes and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from .. import _core
from .._calling.anyio_threads import greeting
from .._calling.threads import urgent_pool
from .metrics import Counting, Metrics, make_counting
from .probes import PROBES, Health

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3
    from .._loop import Loop
    from .._wsgi.bridge import Wsgi
    from .config import Config
    from .telemetry import Telemetry


# The share of `cleanup_timeout` in which OpenTelemetry may send what is left.
_SENDING_SHARE = 0.5
_URGENT_THREADS = 2  # for `def` handlers of `priority_path`


class Monitoring:
    """The probes and the metrics of one process; `counting` if it shares its parent's memory.

    Raises: BindError when the metrics' port can't be bound.
    """

    def __init__(self, config: Config, counting: Counting | None) -> None:
        self._config = config
        self._health = Health()
        self._urgent: _core.Pool | None = None
        self._telemetry: Telemetry | None = None
        if config.otel:
            from .telemetry import Telemetry  # and with it OpenTelemetry

            self._telemetry = Telemetry()
        self.metrics: Metrics | None = None
        if counting is None and (counting := make_counting(config, 1)) is not None:
            counting.slot = counting.memory.take()
        if counting is not None:
            self.metrics = Metrics(counting, config, self._health)

    def options(self, loop: Loop) -> dict[str, Any]:
        """The arguments of the C server."""
        options = {} if self.metrics is None else self.metrics.options()
        own = () if self.metrics is None else self.metrics.core()
        if self._config.health:
            own += self._health.core()
            options["probes"] = " ".join(PROBES)
        if own:
            options["own_mounts"] = own
        return options | self._urgent_options(loop)

    def probes(self) -> dict[str, Any]:
        """The arguments of a server that has only the probes; empty if there are none."""
        if not self._config.health:
            return {}
        return {"own_mounts": self._health.core(), "probes": " ".join(PROBES)}

    def _urgent_options(self, loop: Loop) -> dict[str, Any]:
        """What of the arguments says which requests are never one too many."""
        paths = self._config.priority_path
        if paths:
            self._urgent = _core.Pool(
                loop,
                threads=_URGENT_THREADS,
                queue=self._config.thread_queue,
                greet=greeting(loop),
            )
        if self.metrics is not None and self.metrics.path:
            paths += (self.metrics.path,)
        context = copy_context()
        context.run(urgent_pool.set, self._urgent)
        return {"urgent": (" ".join(paths), self._urgent, context)} if paths else {}

    def close(self, patience: float) -> None:
        """Ends the threads for urgent requests; those that run have `patience` seconds."""
        if self._urgent is not None:
            self._urgent.close(patience)

    def around(self, app: Asgi3) -> Asgi3:
        """The app, with OpenTelemetry's tracing around it if that is wanted."""
        return app if self._telemetry is None else self._telemetry.around(app)

    def around_wsgi(self, app: Wsgi) -> Wsgi:
        """The same for a WSGI app."""
        if self._telemetry is None:
            return app
        from .telemetry_wsgi import ToldWsgi

        return ToldWsgi(app)

    def counts(self, server: _core.Server) -> None:
        """Notes which server counts for the metrics."""
        if self.metrics is not None:
            self.metrics.server = server

    def set_ready(self, ready: bool) -> None:
        """Notes whether the server may get requests."""
        self._health.ready = ready
        if self.metrics is not None:
            self.metrics.set_ready(ready)

    @contextlib.asynccontextmanager
    async def serving(self, loop: Loop, pool: _core.Pool) -> AsyncIterator[None]:
        """Serves on the metrics' own port, if they have one; sends to OpenTelemetry."""
        async with contextlib.AsyncExitStack() as stack:
            if self._telemetry is not None:
                patience = self._config.cleanup_timeout * _SENDING_SHARE
                await stack.enter_async_context(self._telemetry.sending(patience))
            if self.metrics is not None:
                await stack.enter_async_context(self.metrics.serving(loop, pool))
            yield
