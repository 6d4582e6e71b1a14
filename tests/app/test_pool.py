"""_core.Pool: what a job sees, how results come back, what is kept and what is let go."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
from fluvial import Loop, _core
from support.pools import run, until, with_pool


class Canary:
    """Something that can be watched disappearing."""


# ---- Calls and results ------------------------------------------------------------------------


def test_passes_arguments_and_returns_the_result_from_another_thread() -> None:
    def func(*args: object, **kwargs: object) -> object:
        return args, kwargs, threading.get_ident()

    async def main(pool: _core.Pool) -> None:
        args, kwargs, ident = await pool.submit(None, func, 1, "two", three=3)
        assert (args, kwargs) == ((1, "two"), {"three": 3})
        assert ident != threading.get_ident()
        assert await pool.submit(None, func) == ((), {}, ident), "the warm thread is taken"

    with_pool(main)


def test_an_exception_comes_back_as_it_was_raised() -> None:
    error = KeyError("no such thing")

    def fail() -> None:
        raise error

    async def main(pool: _core.Pool) -> None:
        with pytest.raises(KeyError) as caught:
            await pool.submit(None, fail)
        assert caught.value is error
        assert [entry.name for entry in caught.traceback][-1] == "fail"
        assert await pool.submit(None, str, 5) == "5"

    with_pool(main)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_exceptions_that_end_programs_end_the_call_only(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error

    async def main(pool: _core.Pool) -> None:
        future = pool.submit(None, fail)
        await asyncio.wait([future])
        assert type(future.exception()) is error
        assert await pool.submit(None, len, "abc") == 3

    with_pool(main)


def test_what_interrupts_the_delivery_of_a_result_leaves_the_loop() -> None:
    class Future(asyncio.Future[Any]):
        def set_result(self, result: Any) -> None:
            raise KeyboardInterrupt

    loop = Loop()
    loop.create_future = lambda: Future(loop=loop)  # type: ignore[method-assign]
    pool = _core.Pool(loop)
    pool.submit(None, len, "")
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    pool.close()
    loop.close()


def test_stop_iteration_is_an_error() -> None:
    async def main(pool: _core.Pool) -> None:
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            await pool.submit(None, next, iter([]))
        assert type(caught.value.__cause__) is StopIteration

    with_pool(main)


def test_jobs_run_in_the_order_of_submission() -> None:
    ran: list[int] = []

    async def main(pool: _core.Pool) -> None:
        futures = [pool.submit(None, ran.append, n) for n in range(500)]
        await asyncio.gather(*futures)

    with_pool(main, threads=1)
    assert ran == list(range(500))


def test_every_one_of_many_jobs_comes_back_once() -> None:
    async def client(pool: _core.Pool, name: int) -> int:
        return sum([await pool.submit(None, divmod, name, 7) == divmod(name, 7) for _ in range(50)])

    async def main(pool: _core.Pool) -> None:
        assert await asyncio.gather(*(client(pool, n) for n in range(200))) == [50] * 200
        stats = pool.stats()
        assert (stats["jobs"], stats["pending"], stats["queued"]) == (10_000, 0, 0)

    with_pool(main)


def test_a_result_that_came_before_the_loop_blocks_is_not_overlooked() -> None:
    """A job that ends while the loop runs Python wakes nobody: the loop must look once more."""
    late: list[str] = []

    async def main(pool: _core.Pool) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(20):
            go = threading.Event()
            future = pool.submit(None, go.wait, 60)
            await until(lambda: pool.stats()["busy"] == 1)
            timer = loop.call_later(10, late.append, "only a timer woke the loop")
            go.set()
            while pool.stats()["busy"]:
                time.sleep(0.0005)  # noqa: ASYNC251 - the loop must not block in its poll
            assert await future
            timer.cancel()

    with_pool(main)
    assert late == []


def test_a_cancelled_future_drops_the_result_of_a_job_that_runs_on() -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(20)
        ended.set()

    async def main(pool: _core.Pool) -> None:
        future = pool.submit(None, work)
        await until(begun.is_set)
        assert future.cancel()
        release.set()
        await until(lambda: pool.stats()["pending"] == 0)
        assert ended.is_set()
        assert future.cancelled()

    with_pool(main)


def test_the_queue_is_bounded() -> None:
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(20)

    async def main(pool: _core.Pool) -> None:
        futures = [pool.submit(None, work)]
        await until(begun.is_set)
        futures += [pool.submit(None, work) for _ in range(3)]
        with pytest.raises(RuntimeError, match="queue is full"):
            pool.submit(None, work)
        await asyncio.sleep(0)  # handed over: counted as before
        with pytest.raises(RuntimeError, match="queue is full"):
            pool.submit(None, work)
        release.set()
        await asyncio.gather(*futures)
        await pool.submit(None, work)

    with_pool(main, threads=1, queue=3)


@pytest.mark.parametrize(
    ("config", "name"),
    [({"threads": 0}, "threads"), ({"queue": 0}, "queue"), ({"idle_seconds": -1}, "idle_seconds")],
)
def test_a_wrong_number_is_named(config: dict[str, int], name: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=f"^{name} must be between"):
            _core.Pool(asyncio.get_running_loop(), **config)

    run(main())


def test_wrong_arguments_are_type_errors() -> None:
    async def main(pool: _core.Pool) -> None:
        with pytest.raises(TypeError):
            _core.Pool(object())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="Context"):
            pool.submit({}, len)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="callable"):
            pool.submit(None)  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            await pool.submit(None, len)
        with pytest.raises(TypeError):
            await pool.submit(None, None)  # type: ignore[arg-type]
        assert pool.stats()["pending"] == 0

    with_pool(main)


# ---- Context variables ------------------------------------------------------------------------

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")


def swap(value: str) -> str:
    before = var.get()
    var.set(value)
    return before


def test_without_a_context_a_job_runs_in_a_copy_of_the_current_one() -> None:
    async def main(pool: _core.Pool) -> None:
        var.set("caller's")
        assert await pool.submit(None, swap, "job's") == "caller's"
        assert var.get() == "caller's"
        assert await pool.submit(None, swap, "job's") == "caller's"

    with_pool(main)


def test_a_job_runs_inside_the_given_context_and_may_change_it() -> None:
    async def main(pool: _core.Pool) -> None:
        context = contextvars.Context()
        var.set("caller's")
        assert await pool.submit(context, swap, "first") == "unset"
        assert context[var] == "first"
        assert await pool.submit(context, swap, "second") == "first"
        assert await pool.submit(contextvars.Context(), var.get) == "unset"

    with_pool(main)


def test_a_context_in_use_is_refused() -> None:
    async def main(pool: _core.Pool) -> None:
        context = contextvars.Context()
        begun, release = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            release.wait(20)

        held = pool.submit(context, hold)
        await until(begun.is_set)
        with pytest.raises(RuntimeError, match="already entered"):
            await pool.submit(context, len, "")
        release.set()
        await held

    with_pool(main)


# ---- The threads ------------------------------------------------------------------------------


def thread_ids() -> set[str]:
    return {path.name for path in Path("/proc/self/task").iterdir()}


def test_no_thread_before_the_first_job() -> None:
    async def main(pool: _core.Pool) -> None:
        before = thread_ids()
        await asyncio.sleep(0.01)
        assert pool.stats()["threads"] == 0
        assert thread_ids() <= before  # those of others may end
        await pool.submit(None, len, "")
        assert pool.stats()["threads"] == 1

    with_pool(main)


def test_threads_are_named() -> None:
    def look() -> str:
        return Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text()

    async def main(pool: _core.Pool) -> None:
        assert await pool.submit(None, look) == "fluvial-0\n"

    with_pool(main)


@pytest.mark.own_process
def test_threads_block_the_signals_that_the_loop_blocks() -> None:
    """Else processes started by handlers would ignore SIGTERM."""

    def look() -> set[int]:
        return signal.pthread_sigmask(signal.SIG_BLOCK, [])

    def terminate() -> int:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        child.terminate()
        return child.wait(30)

    async def main(pool: _core.Pool) -> None:
        assert await pool.submit(None, look) == {signal.SIGUSR2}
        assert await pool.submit(None, terminate) == -signal.SIGTERM

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        assert before == set()
        with_pool(main)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_thread_local_state_stays_with_the_thread() -> None:
    local = threading.local()

    def count() -> int:
        local.count = getattr(local, "count", 0) + 1
        return int(local.count)

    async def main(pool: _core.Pool) -> None:
        assert [await pool.submit(None, count) for _ in range(3)] == [1, 2, 3]

    with_pool(main, threads=1)


def test_thread_local_state_goes_with_the_thread() -> None:
    local = threading.local()

    def put() -> weakref.ref[Canary]:
        local.canary = Canary()
        return weakref.ref(local.canary)

    async def main(pool: _core.Pool) -> weakref.ref[Canary]:
        canary = await pool.submit(None, put)
        assert canary() is not None
        return canary

    assert with_pool(main)() is None


def test_current_thread_works_and_is_forgotten_when_the_thread_ends() -> None:
    async def main(pool: _core.Pool) -> None:
        thread = await pool.submit(None, threading.current_thread)
        assert thread in threading.enumerate()
        assert await pool.submit(None, threading.current_thread) is thread

    before = threading.enumerate()
    with_pool(main)
    assert threading.enumerate() == before


def test_threads_are_not_enumerated_unless_they_ask() -> None:
    async def main(pool: _core.Pool) -> None:
        before = threading.enumerate()
        await pool.submit(None, len, "")
        assert threading.enumerate() == before

    with_pool(main)


def test_idle_threads_end() -> None:
    async def main(pool: _core.Pool) -> None:
        barrier = threading.Barrier(3)
        await asyncio.gather(*(pool.submit(None, barrier.wait, 20) for _ in range(3)))
        assert pool.stats()["threads"] == 3
        await until(lambda: pool.stats()["threads"] == 0)
        assert pool.stats()["peak_threads"] == 3
        assert await pool.submit(None, len, "ab") == 2

    with_pool(main, idle_seconds=1)


def test_tracers_set_for_new_threads_see_jobs() -> None:
    seen: list[str] = []

    def tracer(frame: Any, event: str, arg: object) -> None:
        seen.append(frame.f_code.co_name)

    def traced_job() -> None:
        pass

    async def main(pool: _core.Pool) -> None:
        await pool.submit(None, traced_job)

    before = threading.gettrace()
    threading.settrace(tracer)
    try:
        with_pool(main)
    finally:
        threading.settrace(before)  # type: ignore[arg-type]
    assert "traced_job" in seen


# ---- What is let go ---------------------------------------------------------------------------


def test_arguments_and_results_do_not_outlive_their_use() -> None:
    async def main(pool: _core.Pool) -> None:
        argument = Canary()
        kept = weakref.ref(argument)
        future = pool.submit(None, lambda value: [value], argument)
        del argument
        assert (await future)[0] is kept()
        del future
        await asyncio.sleep(0)  # the callback that woke this task held the future
        assert kept() is None

    with_pool(main)


def test_the_traceback_of_an_exception_is_not_kept_by_the_worker() -> None:
    kept: list[weakref.ref[Canary]] = []

    def fail() -> None:
        canary = Canary()
        kept.append(weakref.ref(canary))
        raise ValueError

    async def main(pool: _core.Pool) -> None:
        future = pool.submit(None, fail)
        await asyncio.wait([future])
        assert isinstance(future.exception(), ValueError)
        assert kept[0]() is not None
        del future
        await asyncio.sleep(0)
        assert kept[0]() is None

    with_pool(main)


def test_many_jobs_leave_nothing_behind() -> None:
    def fail() -> None:
        raise ValueError

    async def round_trip(pool: _core.Pool) -> None:
        futures = [pool.submit(None, fail) for _ in range(20)]
        futures += [pool.submit(None, dict, a=n) for n in range(20)]
        await asyncio.gather(*futures, return_exceptions=True)

    async def main(pool: _core.Pool) -> None:
        for _ in range(5):
            await round_trip(pool)
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(100):
            await round_trip(pool)
        gc.collect()
        assert sys.getallocatedblocks() - before < 200

    with_pool(main, threads=1)


# ---- How long jobs may wait -------------------------------------------------------------------


def test_jobs_may_wait_for_less_while_the_queue_does_not_empty() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        go_on.wait(60)

    async def main(pool: _core.Pool) -> None:
        first = pool.submit(None, block)
        assert await asyncio.to_thread(begun.wait, 60)
        others = [pool.submit(None, int)]
        await until(lambda: pool.patience() == 0.05)
        others.append(pool.submit(None, int))
        assert pool.patience() == 0.05
        go_on.set()
        await asyncio.gather(first, *others)

        async def waits_long() -> bool:
            future = pool.submit(None, int)
            patience = pool.patience()
            await future
            return patience == 0.5

        while not await waits_long():  # the test itself may have been away for so long
            pass

    with_pool(main, threads=1, patience=0.5)


def test_a_job_that_has_begun_is_not_refused() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def block() -> str:
        begun.set()
        go_on.wait(60)
        return "done"

    async def main(pool: _core.Pool) -> None:
        first = pool.submit(None, block)
        assert await asyncio.to_thread(begun.wait, 60)
        second = pool.submit(None, int)
        assert pool.refuse(second)
        assert not pool.refuse(second)
        assert not pool.refuse(first)
        assert pool.stats()["refused"] == 1
        go_on.set()
        assert await first == "done"
        assert not pool.refuse(first)
        assert not second.done()

    with_pool(main, threads=1)


@pytest.mark.parametrize("patience", [-1, 86_401, float("nan")])
def test_a_patience_that_is_none(patience: Any) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="patience"):
            _core.Pool(asyncio.get_running_loop(), patience=patience)  # type: ignore[arg-type]

    run(main())
