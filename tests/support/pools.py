"""Runs a test's main coroutine with a thread pool, on a loop of ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from fluvial import _core
from fluvial._loop import Loop


def run(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


def with_pool(main: Callable[[_core.Pool], Coroutine[Any, Any, Any]], **config: float) -> Any:
    """Runs `main(pool)` and closes the pool."""

    async def around() -> Any:
        pool = _core.Pool(asyncio.get_running_loop(), **config)  # type: ignore[arg-type]
        try:
            return await main(pool)
        finally:
            pool.close()

    return run(around())


async def until(condition: Callable[[], bool]) -> None:
    """Waits, while the loop runs, for something that has no event to wait for."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "did not happen within 30 s"
        await asyncio.sleep(0.005)
