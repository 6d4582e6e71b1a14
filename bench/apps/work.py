"""What the `def` routes of the benchmark's apps do, the same for every framework."""

from __future__ import annotations

import os
import time

DELAY = 0.05  # seconds that /delayed waits
SLEEP = 0.01  # seconds that /sleep blocks its thread

# Turns of burn()'s loop that take 10 ms on this machine; bench/http.py measures and sets it.
CPU_TURNS = int(os.environ.get("BENCH_CPU_TURNS", "200000"))


def burn(turns: int = CPU_TURNS) -> int:
    """Keep the interpreter busy without giving up the GIL by itself; a fixed amount of work."""
    left = turns
    while left:
        left -= 1
    return turns


def block() -> None:
    time.sleep(SLEEP)
