"""Whether something that is done many times leaves something behind."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from fluvial._loop import Loop
from support.sanitizer import SANITIZED

MEMORY = 2 * 1024 * 1024  # bytes by which the process may grow


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def descriptors_before() -> int:
    """How many there are once nothing of earlier tests is left, which the garbage collector would
    close in the middle of this one."""
    gc.collect()
    return descriptors()


def stays_flat(once: Callable[[Loop], Awaitable[None]], rounds: int) -> None:
    """Runs `once` a few times and then `rounds` times more, on one loop, and requires that the
    latter leave no object, descriptor or memory behind."""

    async def settled() -> tuple[int, int, int]:
        await asyncio.sleep(0.02)
        gc.collect()
        return len(gc.get_objects()), descriptors(), resident()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        for _ in range(max(rounds // 10, 5)):
            await once(loop)
        objects, files, memory = await settled()
        for _ in range(rounds):
            await once(loop)
        objects_after, files_after, memory_after = await settled()
        assert objects_after - objects < rounds
        assert files_after == files
        assert SANITIZED or memory_after - memory < MEMORY

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
