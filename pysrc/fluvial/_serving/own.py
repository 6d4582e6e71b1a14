"""What a server itself responds to, whatever the app is: probes and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from .metrics import Counting, Metrics, make_counting
from .probes import PROBES, Health

if TYPE_CHECKING:
    from .. import _core
    from .._loop import Loop
    from .config import Config


class Own:
    """The probes and the metrics of one process; `counting` if it shares its parent's memory.

    Raises: BindError when the metrics' port can't be bound.
    """

    def __init__(self, config: Config, counting: Counting | None) -> None:
        self._config = config
        self._health = Health()
        self.metrics: Metrics | None = None
        if counting is None and (counting := make_counting(config, 1)) is not None:
            counting.slot = counting.memory.take()
        if counting is not None:
            self.metrics = Metrics(counting, config, self._health)

    def options(self) -> dict[str, Any]:
        """The arguments of the C server."""
        options = {} if self.metrics is None else self.metrics.options()
        own = () if self.metrics is None else self.metrics.core()
        if self._config.health:
            own += self._health.core()
            options["probes"] = " ".join(PROBES)
        return {**options, "own": own} if own else options

    def set_ready(self, ready: bool) -> None:
        """Notes whether the server may get requests."""
        self._health.ready = ready
        if self.metrics is not None:
            self.metrics.set_ready(ready)

    @contextlib.asynccontextmanager
    async def serving(self, loop: Loop, pool: _core.Pool) -> AsyncIterator[None]:
        """Serves on the metrics' own port, if they have one."""
        if self.metrics is None:
            yield
            return
        async with self.metrics.serving(loop, pool):
            yield
