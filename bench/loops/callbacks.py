"""What a loop does without a load from outside. Each function does `count` operations and returns
how many.

Standard library only: these run under each loop's own Python.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 1000
TIMERS = 10_000
THREADS = 4


def _nothing() -> None:
    pass


def call_soon(loop: asyncio.AbstractEventLoop, count: int) -> int:
    """Callbacks by the thousand, each batch run before the next is scheduled."""
    rounds = count // BATCH

    def schedule(left: int) -> None:
        call = loop.call_soon
        for _ in range(BATCH):
            call(_nothing)
        if left > 1:
            call(schedule, left - 1)
        else:
            call(loop.stop)

    loop.call_soon(schedule, rounds)
    loop.run_forever()
    return rounds * BATCH


def call_soon_chain(loop: asyncio.AbstractEventLoop, count: int) -> int:
    """One callback at a time, each schedules the next."""
    left = count

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            loop.stop()

    loop.call_soon(step)
    loop.run_forever()
    return count


def call_later(loop: asyncio.AbstractEventLoop, count: int) -> int:
    """10,000 timers within 20 ms, every second one cancelled, the others waited for."""
    source = random.Random(0)
    delays = [source.uniform(0.0, 0.02) for _ in range(TIMERS)]

    def schedule(left: int) -> None:
        handles = [loop.call_later(delay, _nothing) for delay in delays]
        for handle in handles[::2]:
            handle.cancel()
        if left > 1:
            loop.call_later(0.021, schedule, left - 1)
        else:
            loop.call_later(0.021, loop.stop)

    loop.call_soon(schedule, count // TIMERS)
    loop.run_forever()
    return count


def tasks(loop: asyncio.AbstractEventLoop, count: int) -> int:
    """Tasks created by the thousand and gathered by awaiting each."""

    async def child() -> None:
        pass

    async def main() -> None:
        for _ in range(count // BATCH):
            for task in [loop.create_task(child()) for _ in range(BATCH)]:
                await task

    loop.run_until_complete(main())
    return count // BATCH * BATCH


def sleep_0(loop: asyncio.AbstractEventLoop, count: int) -> int:
    """100 tasks that give way to each other with `await asyncio.sleep(0)`."""

    async def child() -> None:
        for _ in range(count // 100):
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(child() for _ in range(100)))

    loop.run_until_complete(main())
    return count // 100 * 100


def threadsafe(loop: asyncio.AbstractEventLoop, count: int) -> int:
    """Four threads that schedule callbacks on the loop as fast as they can."""
    share = count // THREADS
    left = share * THREADS

    def arrived() -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.stop()

    def produce() -> None:
        for _ in range(share):
            loop.call_soon_threadsafe(arrived)

    threads = [threading.Thread(target=produce) for _ in range(THREADS)]
    for thread in threads:
        loop.call_soon(thread.start)
    loop.run_forever()
    for thread in threads:
        thread.join()
    return share * THREADS


def processes(loop: asyncio.AbstractEventLoop, count: int) -> int:
    """Sub-processes of /bin/true, ten at a time, each waited for."""

    async def one() -> None:
        process = await asyncio.create_subprocess_exec("/bin/true")
        if await process.wait() != 0:
            raise RuntimeError("/bin/true failed")

    async def some() -> None:
        for _ in range(count // 10):
            await one()

    async def main() -> None:
        await asyncio.gather(*(some() for _ in range(10)))

    loop.run_until_complete(main())
    return count // 10 * 10


class Relay(asyncio.Protocol):
    """Writes each message that comes from one pipe into another, `left` times."""

    def __init__(self, left: int, done: Callable[[], object]) -> None:
        self.left = left
        self.done = done
        self.writer: Any = None

    def data_received(self, data: bytes) -> None:
        self.left -= 1
        if self.left:
            self.writer.write(data)
        else:
            self.done()


def pipes(loop: asyncio.AbstractEventLoop, count: int) -> int:
    """A message of 100 bytes to and fro over two pipes; each way is an operation."""

    async def main() -> None:
        done = loop.create_future()
        ends = [os.pipe(), os.pipe()]
        relays = [Relay(count // 2 + 1, lambda: done.done() or done.set_result(None)) for _ in ends]
        opened: list[asyncio.BaseTransport] = []
        for relay, (read, _), (_, write) in zip(relays, ends, reversed(ends), strict=True):
            reader, _ = await loop.connect_read_pipe(
                lambda relay=relay: relay, os.fdopen(read, "rb", 0)
            )
            relay.writer, _ = await loop.connect_write_pipe(
                asyncio.BaseProtocol, os.fdopen(write, "wb", 0)
            )
            opened += [reader, relay.writer]
        relays[0].writer.write(b"x" * 100)
        await done
        for transport in opened:
            transport.close()

    loop.run_until_complete(main())
    return count


def late_sparse(loop: asyncio.AbstractEventLoop, count: int) -> list[float]:
    """One timer at a time."""
    late: list[float] = []

    def start() -> None:
        if len(late) == count:
            loop.stop()
        else:
            delay = (0.0003, 0.001, 0.0024)[len(late) % 3]
            loop.call_later(delay, rang, time.monotonic() + delay)

    def rang(due: float) -> None:
        late.append(time.monotonic() - due)
        start()

    loop.call_soon(start)
    loop.run_forever()
    return late


def late_dense(loop: asyncio.AbstractEventLoop, count: int) -> list[float]:
    """A timer every 4 µs in the mean, not in order."""
    source = random.Random(0)
    late: list[float] = []

    def rang(due: float) -> None:
        late.append(time.monotonic() - due)

    for _ in range(count // BATCH):
        start = time.monotonic() + 0.01
        for _ in range(BATCH):
            due = start + source.uniform(0.0, BATCH * 4e-6)
            loop.call_later(due - time.monotonic(), rang, due)
        loop.call_later(0.02, loop.stop)
        loop.run_forever()
    return late


# What is measured of these is how late each timer is.
LATENESS: dict[str, Callable[[asyncio.AbstractEventLoop, int], list[float]]] = {
    function.__name__: function for function in (late_sparse, late_dense)
}
CASES: dict[str, Callable[[asyncio.AbstractEventLoop, int], int]] = {
    function.__name__: function
    for function in (
        call_soon,
        call_soon_chain,
        call_later,
        tasks,
        sleep_0,
        threadsafe,
        pipes,
        processes,
    )
}
