"""The end of a pool: in order, in time, and whatever state its threads are in."""

from __future__ import annotations

import asyncio
import atexit
import gc
import subprocess
import sys
import threading
import time
import weakref

import pytest
from fluvial import _core
from support.pools import run, until

# ---- close() ----------------------------------------------------------------------------------


def test_close_runs_what_waits_and_delivers_it() -> None:
    async def main() -> None:
        pool = _core.Pool(asyncio.get_running_loop(), threads=2)
        ran: list[int] = []
        futures = [pool.submit(None, ran.append, n) for n in range(100)]
        pool.close(timeout=30)
        assert sorted(ran) == list(range(100))
        assert all(future.done() for future in futures)
        stats = pool.stats()
        assert (stats["threads"], stats["pending"]) == (0, 0)

    run(main())


def test_a_closed_pool_takes_no_jobs_and_can_be_closed_again() -> None:
    async def main() -> None:
        pool = _core.Pool(asyncio.get_running_loop())
        await pool.submit(None, len, "")
        pool.close()
        with pytest.raises(RuntimeError, match="pool is closed"):
            pool.submit(None, len, "")
        pool.close()

    run(main())


def test_a_pool_that_is_freed_by_an_exception_leaves_it_alone() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            _ = [_core.Pool(asyncio.get_running_loop()), 1 // 0]

    run(main())


def test_close_reports_what_interrupts_it() -> None:
    class Callback:
        fails = False

        def __call__(self) -> None: ...

        def __eq__(self, other: object) -> bool:
            if self.fails:
                raise KeyboardInterrupt
            return self is other

        __hash__ = None  # type: ignore[assignment]

    async def main() -> None:
        pool = _core.Pool(asyncio.get_running_loop())
        callback = Callback()
        atexit.register(callback)
        Callback.fails = True
        with pytest.raises(KeyboardInterrupt):
            pool.close()
        Callback.fails = False
        atexit.unregister(callback)
        pool.close()

    run(main())


def test_a_pool_that_never_worked_closes() -> None:
    async def main() -> None:
        _core.Pool(asyncio.get_running_loop()).close()

    run(main())


def test_past_the_timeout_jobs_are_cancelled_and_stuck_workers_left_behind() -> None:
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(60)

    async def main() -> None:
        pool = _core.Pool(asyncio.get_running_loop(), threads=1)
        running = pool.submit(None, work)
        await until(begun.is_set)
        waiting = [pool.submit(None, work) for _ in range(3)]
        pool.close(timeout=0.05)
        assert running.cancelled()
        assert all(future.cancelled() for future in waiting)
        assert pool.stats()["threads"] == 1
        release.set()
        await until(lambda: pool.stats()["threads"] == 0)

    run(main())


def test_a_worker_that_outlives_pool_and_loop_ends_by_itself() -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    class Argument:
        def __del__(self) -> None:
            ended.set()

    def work(_: Argument) -> None:
        begun.set()
        release.wait(60)

    async def main() -> weakref.ref[_core.Pool]:
        pool = _core.Pool(asyncio.get_running_loop())
        pool.submit(None, work, Argument())
        await until(begun.is_set)
        pool.close(timeout=0)
        return weakref.ref(pool)

    pool = run(main())
    gc.collect()
    release.set()
    assert ended.wait(30)
    deadline = time.monotonic() + 30
    while pool() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_results_come_back_after_the_loop_was_closed() -> None:
    """loop.close() first, pool.close() later: nothing is lost, nothing touches the loop."""
    ran: list[int] = []
    pools: list[_core.Pool] = []
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(60)
        ran.append(1)

    async def main() -> None:
        pools.append(_core.Pool(asyncio.get_running_loop()))
        pools[0].submit(None, work)
        await until(begun.is_set)

    run(main())
    release.set()
    pools[0].close(timeout=30)
    assert ran == [1]
    assert pools[0].stats()["pending"] == 0


def test_a_forgotten_pool_ends_its_threads() -> None:
    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate()]

    async def main() -> None:
        pool = _core.Pool(asyncio.get_running_loop())
        before = names()
        await pool.submit(None, threading.current_thread)
        assert names() != before
        gone = weakref.ref(pool)
        del pool
        await asyncio.sleep(0)
        assert gone() is None
        assert names() == before

    run(main())


def test_the_pool_is_freed_with_a_loop_that_knows_it() -> None:
    async def main() -> weakref.ref[_core.Pool]:
        loop = asyncio.get_running_loop()
        loop.pool = _core.Pool(loop)  # type: ignore[attr-defined]
        await loop.pool.submit(None, len, "")  # type: ignore[attr-defined]
        return weakref.ref(loop.pool)  # type: ignore[attr-defined]

    pool = run(main())
    gc.collect()
    assert pool() is None


# ---- The end of the process -------------------------------------------------------------------

BEGIN = """
import asyncio, os, sys, threading, time
from fluvial import _core
from fluvial._loop import Loop

runner = asyncio.Runner(loop_factory=Loop)
begun = threading.Event()
pool = None

def work(function, *args):
    begun.set()
    function(*args)

async def begin(*args):
    global pool
    pool = _core.Pool(asyncio.get_running_loop())
    if args:
        pool.submit(None, work, *args)
        while not begun.is_set():
            await asyncio.sleep(0.001)
    else:
        await pool.submit(None, len, "")
"""


def outcome(script: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a process; one that hangs fails the test."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", BEGIN + script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


STUCK = {
    "sleep": "time.sleep, 1000",
    "lock": "threading.Lock().__enter__",
    "read": "os.read, os.pipe()[0], 1",
    "join": "threading.Event().wait",
}


@pytest.mark.parametrize("close", ["", "pool.close(0.01)", "pool.close(0.01); runner.close()"])
@pytest.mark.parametrize("stuck", STUCK)
def test_exit_waits_for_no_stuck_worker(stuck: str, close: str) -> None:
    work = STUCK[stuck]
    if stuck == "lock":
        work = "(lambda lock: lock.acquire() and lock.acquire()), threading.Lock()"
    script = f"runner.run(begin({work}))\n{close}\nprint('end')\n"
    code, out, err = outcome(script)
    assert (code, out) == (0, "end\n"), err
    assert "Fatal" not in err


def test_exit_with_idle_workers_and_an_open_loop() -> None:
    code, out, err = outcome("runner.run(begin())\nprint('end')\n")
    assert (code, out) == (0, "end\n"), err


def test_exit_while_a_worker_computes() -> None:
    code, out, err = outcome(
        "def spin():\n    while True: pass\nrunner.run(begin(spin))\nprint('end')\n"
    )
    assert (code, out) == (0, "end\n"), err


def test_sys_exit_inside_the_loop() -> None:
    script = """
async def main():
    await begin(time.sleep, 1000)
    sys.exit(7)
runner.run(main())
"""
    code, _, err = outcome(script)
    assert code == 7, err


def test_a_forked_child_leaves_the_pool_alone() -> None:
    script = """
runner.run(begin())
child = os.fork()
if child == 0:
    pool.close()
    del pool
    sys.exit(5)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5

async def again():
    return await pool.submit(None, len, "abc")

print(runner.run(again()))
pool.close()
"""
    code, out, err = outcome(script)
    assert (code, out) == (0, "3\n"), err
