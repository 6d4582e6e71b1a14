"""How many threads a pool uses: as many as block, one for what computes, none when idle."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support.pools import with_pool

if TYPE_CHECKING:
    from fluvial import _core


def meet(count: int) -> None:
    """Jobs that each wait for all the others: they end only if all run at the same time."""

    async def main(pool: _core.Pool) -> None:
        barrier = threading.Barrier(count)
        await asyncio.gather(*(pool.submit(None, barrier.wait, 60) for _ in range(count)))
        assert pool.stats()["peak_threads"] == count

    with_pool(main, threads=count)


def test_jobs_that_block_all_run_at_once() -> None:
    meet(64)


def test_a_large_pool_is_used_to_its_limit() -> None:
    meet(300)


def test_jobs_that_block_run_at_once_beside_a_busy_loop() -> None:
    async def main(pool: _core.Pool) -> None:
        barrier = threading.Barrier(16)
        futures = asyncio.gather(*(pool.submit(None, barrier.wait, 60) for _ in range(16)))
        while not futures.done():  # noqa: ASYNC110 - the loop must never rest
            await asyncio.sleep(0)

    with_pool(main, threads=16)


def test_jobs_that_block_run_at_once_beside_one_that_computes() -> None:
    async def main(pool: _core.Pool) -> None:
        stop = threading.Event()

        def compute() -> None:
            while not stop.is_set():
                sum(range(1000))

        computing = pool.submit(None, compute)
        barrier = threading.Barrier(8)
        await asyncio.gather(*(pool.submit(None, barrier.wait, 60) for _ in range(8)))
        stop.set()
        await computing

    with_pool(main, threads=16)


def test_a_job_may_wait_for_later_jobs() -> None:
    async def main(pool: _core.Pool) -> None:
        ready = threading.Event()
        first = pool.submit(None, ready.wait, 60)
        await pool.submit(None, ready.set)
        assert await first

    with_pool(main)


def test_short_jobs_need_few_threads() -> None:
    async def main(pool: _core.Pool) -> None:
        for _ in range(50):
            await asyncio.gather(*(pool.submit(None, len, "") for _ in range(100)))
        assert pool.stats()["peak_threads"] <= 16

    with_pool(main, threads=64)


def test_no_more_than_the_configured_threads() -> None:
    running: set[int] = set()
    most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most
        me = threading.get_ident()
        with lock:
            running.add(me)
            most = max(most, len(running))
        time.sleep(0.002)
        with lock:
            running.remove(me)

    async def main(pool: _core.Pool) -> None:
        await asyncio.gather(*(pool.submit(None, work) for _ in range(200)))
        assert pool.stats()["peak_threads"] <= 3

    with_pool(main, threads=3)
    assert most <= 3


def test_the_loop_runs_on_while_jobs_compute() -> None:
    async def main(pool: _core.Pool) -> None:
        stop = threading.Event()

        def compute() -> None:
            data = b"x" * 1000
            while not stop.is_set():
                hashlib.sha256(data).digest()

        computing = [pool.submit(None, compute) for _ in range(8)]
        for _ in range(100):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*computing)

    with_pool(main)


def test_jobs_that_compute_get_few_threads() -> None:
    """Their threads' CPU clocks tell them from jobs that wait, of which all run at once."""
    threads = 64
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1000))

    async def main(pool: _core.Pool) -> None:
        computing = [pool.submit(None, compute) for _ in range(threads)]
        # Of the process's CPU, not of the clock: a machine that is busy with others gives it less.
        begun = time.process_time()
        while time.process_time() - begun < 1:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)
        stop.set()
        await asyncio.gather(*computing)
        assert pool.stats()["peak_threads"] <= threads * 3 // 4  # waiting ones would have all

    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)  # all that run get some of each look of the monitor's
    try:
        with_pool(main, threads=threads)
    finally:
        sys.setswitchinterval(interval)


def test_the_loop_gets_its_turn_among_jobs_that_keep_the_gil() -> None:
    """C functions, one after the other, never let go of it: the worker has to yield."""
    count = 40_000
    begun: list[int] = []

    async def main(pool: _core.Pool) -> None:
        first, *_ = [pool.submit(None, sum, range(2000)) for _ in range(count)]
        first.add_done_callback(lambda _: begun.append(pool.stats()["jobs"]))
        await first
        await asyncio.sleep(0)
        pool.close(timeout=0)

    with_pool(main, threads=1, queue=count)
    assert begun[0] < count


def switches() -> dict[str, str]:
    """How often each of our threads has gone to sleep so far."""
    counts = {}
    for task in Path("/proc/self/task").iterdir():
        if (task / "comm").read_text().startswith("fluvial"):
            lines = (task / "status").read_text().splitlines()
            counts[task.name] = next(line for line in lines if line.startswith("voluntary"))
    return counts


def test_idle_threads_do_not_wake_up() -> None:
    async def main(pool: _core.Pool) -> None:
        barrier = threading.Barrier(4)
        await asyncio.gather(*(pool.submit(None, barrier.wait, 60) for _ in range(4)))
        before = switches()
        assert len(before) == 5, "four workers and the monitor"

        deadline = time.monotonic() + 30
        while True:
            await asyncio.sleep(0.3)
            earlier, before = before, switches()
            if earlier == before:
                break
            assert time.monotonic() < deadline

    with_pool(main, idle_seconds=60)
