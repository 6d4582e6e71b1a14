"""How much of the two cores something else used meanwhile: whether a round is to be believed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .load import children_cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Collection

    from .process import ServerProcess

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)  # of /proc/stat: user nice system irq softirq steal


class Others:
    """Watches `cpus` from its creation on; what the server, wrk and this script use is left out."""

    def __init__(self, server: ServerProcess, cpus: Collection[int]) -> None:
        self._server = server
        self._cpus = cpus
        self._start = time.perf_counter()
        self._before = self._unexplained()

    def share(self) -> float:
        """Of the time of the cores, 0 to 1; 0 when they aren't known."""
        wall = time.perf_counter() - self._start
        used = self._unexplained() - self._before
        return max(0.0, used / wall / len(self._cpus)) if self._cpus else 0.0

    def _unexplained(self) -> float:
        known = self._server.usage().cpu_ns / 1e9 + children_cpu_seconds() + time.process_time()
        return _busy_seconds(self._cpus) - known


def _busy_seconds(cpus: Collection[int]) -> float:
    """CPU time that the cores spent on anything, time stolen by the hypervisor included."""
    names = {f"cpu{cpu}" for cpu in cpus}
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in names:
            ticks += sum(int(fields[i]) for i in _BUSY_FIELDS)
    return ticks * _TICK
