"""call_later and call_at: never early, in order, cancelled at once."""

from __future__ import annotations

import asyncio
import math
import random
import resource
import time
import weakref

import pytest
from fluvial._loop import Loop


def test_never_early(loop: asyncio.AbstractEventLoop) -> None:
    early: list[float] = []

    def check(handle: list[asyncio.TimerHandle]) -> None:
        if loop.time() < handle[0].when():
            early.append(handle[0].when() - loop.time())

    for i in range(200):
        handle: list[asyncio.TimerHandle] = []
        handle.append(loop.call_later(i * 0.00037, check, handle))
    loop.call_later(0.1, loop.stop)
    loop.run_forever()
    if isinstance(loop, Loop):  # asyncio rounds by the clock's resolution
        assert early == []


def test_sleep_is_never_short(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> list[float]:
        short = []
        for delay in (0.0001, 0.0005, 0.001, 0.0015, 0.003):
            start = time.monotonic()
            await asyncio.sleep(delay)
            if (took := time.monotonic() - start) < delay:
                short.append(took)
        return short

    assert loop.run_until_complete(main()) == []


def sleeps() -> int:
    """How often the thread gave its core away to wait for something."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def test_crowded_timers_share_wake_ups(fluvial_loop: Loop) -> None:
    """2,000 in 20 ms: were the loop to wake for each that isn't due with another, that would be
    300 times and more."""
    loop = fluvial_loop
    early: list[float] = []
    ran: list[float] = []

    def check(due: float) -> None:
        ran.append(due)
        if loop.time() < due:
            early.append(due)

    start = loop.time() + 0.01
    dues = [start + random.uniform(0.0, 0.02) for _ in range(2000)]
    for due in dues:
        loop.call_at(due, check, due)
    loop.call_at(start + 0.021, loop.stop)
    before = sleeps()
    loop.run_forever()
    assert sleeps() - before < 120
    assert early == []
    assert ran == sorted(dues)


def test_far_timers_do_not_hide_a_crowd(fluvial_loop: Loop) -> None:
    """Wherever the heap holds them."""
    loop = fluvial_loop
    start = loop.time() + 0.02
    far = [loop.call_at(start + 3600 + i, print) for i in range(3000)]
    for i in range(2000):
        loop.call_at(start + i * 0.00001, int)
    loop.call_at(start + 0.021, loop.stop)
    before = sleeps()
    loop.run_forever()
    assert sleeps() - before < 120
    for handle in far:
        handle.cancel()


def test_order_of_deadlines_then_of_creation(fluvial_loop: Loop) -> None:
    """asyncio's heap gives no order to timers with the same deadline."""
    loop = fluvial_loop
    calls: list[tuple[int, int]] = []
    base = loop.time() + 0.005
    due = [(random.randrange(20), n) for n in range(500)]
    for slot, n in due:
        loop.call_at(base + slot * 0.0001, calls.append, (slot, n))
    loop.call_at(base + 0.01, loop.stop)
    loop.run_forever()
    assert calls == sorted(due)


@pytest.mark.parametrize("base", [0.005, -1.0], ids=["ahead", "past"])
def test_order_within_a_nanosecond(loop: asyncio.AbstractEventLoop, base: float) -> None:
    """A double tells times apart that the clock can't."""
    calls: list[float] = []
    due = loop.time() + base
    times = [due]
    for _ in range(50):
        times.append(math.nextafter(times[-1], math.inf))
    for when in reversed(times):
        loop.call_at(when, calls.append, when)
    loop.call_at(loop.time() + 0.01, loop.stop)
    loop.run_forever()
    assert calls == times


def test_call_later_zero_is_a_timer_after_what_is_ready(loop: asyncio.AbstractEventLoop) -> None:
    calls: list[str] = []
    handle = loop.call_later(0, calls.append, "timer")
    assert isinstance(handle, asyncio.TimerHandle)
    loop.call_soon(calls.append, "soon")
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert calls == ["soon", "timer"]


@pytest.mark.parametrize("delay", [-1, -1e300])
def test_the_past_is_now(loop: asyncio.AbstractEventLoop, delay: float) -> None:
    loop.call_later(delay, loop.stop)
    loop.run_forever()


@pytest.mark.parametrize("delay", [1e6, 1e10, 1e18, 1e300, math.inf])
def test_the_far_future_never_comes(fluvial_loop: Loop, delay: float) -> None:
    calls: list[int] = []
    handle = fluvial_loop.call_later(delay, calls.append, 1)
    fluvial_loop.call_later(0.002, fluvial_loop.stop)
    fluvial_loop.run_forever()
    assert calls == []
    assert handle.when() >= delay
    handle.cancel()


def test_nan_is_refused(fluvial_loop: Loop) -> None:
    with pytest.raises(ValueError, match="NaN"):
        fluvial_loop.call_later(math.nan, print)


def test_none_is_refused(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(TypeError):
        loop.call_later(None, print)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        loop.call_at(None, print)  # type: ignore[arg-type]


def test_a_cancelled_timer_is_gone_at_once(fluvial_loop: Loop) -> None:
    class Argument:
        pass

    arg = Argument()
    gone = weakref.ref(arg)
    handle = fluvial_loop.call_later(3600, print, arg)
    del arg
    handle.cancel()
    assert gone() is None
    handles = weakref.ref(handle)
    del handle
    assert handles() is None


def test_cancelling_any_leaves_the_others_in_order(loop: asyncio.AbstractEventLoop) -> None:
    calls: list[int] = []
    base = loop.time() + 0.005
    order = list(range(1000))
    random.shuffle(order)
    timers = {n: loop.call_at(base + n * 0.00001, calls.append, n) for n in order}
    kept = set(random.sample(order, 400))
    for n, timer in timers.items():
        if n not in kept:
            timer.cancel()
    loop.call_at(base + 0.02, loop.stop)
    loop.run_forever()
    assert calls == sorted(kept)


def test_a_timer_may_cancel_itself_and_others(loop: asyncio.AbstractEventLoop) -> None:
    calls: list[str] = []
    handles: dict[str, asyncio.TimerHandle] = {}

    def first() -> None:
        calls.append("first")
        handles["first"].cancel()
        handles["second"].cancel()

    when = loop.time() + 0.002
    handles["first"] = loop.call_at(when, first)
    handles["second"] = loop.call_at(when, calls.append, "second")
    loop.call_at(when + 0.002, loop.stop)
    loop.run_forever()
    assert calls == ["first"]


def test_timers_compare_by_deadline(loop: asyncio.AbstractEventLoop) -> None:
    early, late = loop.call_later(1, print), loop.call_later(2, print)
    assert early < late
    assert early != late
    assert sorted([late, early]) == [early, late]
    assert len({early, late, early}) == 2
    early.cancel()
    late.cancel()


def test_time_is_monotonic(loop: asyncio.AbstractEventLoop) -> None:
    assert time.monotonic() <= loop.time() <= time.monotonic()
