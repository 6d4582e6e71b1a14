"""Signals: handlers on the loop, KeyboardInterrupt out of it, everything restored."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest
from fluvial._loop import Loop

pytestmark = pytest.mark.own_process


def kill(number: int) -> None:
    os.kill(os.getpid(), number)


def test_a_handler_runs_on_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        got: asyncio.Future[str] = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, got.set_result, "signal")
        loop.call_later(0.01, kill, signal.SIGUSR1)
        assert await got == "signal"
        assert loop.remove_signal_handler(signal.SIGUSR1)
        assert not loop.remove_signal_handler(signal.SIGUSR1)

    loop.run_until_complete(main())
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_a_handler_runs_after_others_are_removed(loop: asyncio.AbstractEventLoop) -> None:
    """asyncio stops listening when the last handler goes; plain Python handlers must still
    wake the loop."""

    async def main() -> None:
        loop.add_signal_handler(signal.SIGUSR1, print)
        loop.remove_signal_handler(signal.SIGUSR1)
        loop.call_later(0.01, kill, signal.SIGINT)
        await asyncio.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(main())
    for task in asyncio.all_tasks(loop):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)


def test_an_interrupt_leaves_a_loop_that_blocks(loop: asyncio.AbstractEventLoop) -> None:
    timer = threading.Timer(0.05, kill, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    timer.join()
    assert not loop.is_running()


def test_a_runner_turns_an_interrupt_into_cancellation() -> None:
    seen: list[str] = []

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.01, kill, signal.SIGINT)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
    assert seen == ["cancelled"]


def test_the_wakeup_descriptor_is_restored(fluvial_loop: Loop) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write)
    fluvial_loop.run_until_complete(asyncio.sleep(0))
    assert signal.set_wakeup_fd(before) == write
    os.close(read)
    os.close(write)


def test_handlers_are_removed_at_close() -> None:
    loop = Loop()
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


def test_only_the_main_thread_handles_signals(loop: asyncio.AbstractEventLoop) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            loop.add_signal_handler(signal.SIGUSR1, print)
        except (ValueError, RuntimeError) as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_signals_that_cannot_be_handled(
    loop: asyncio.AbstractEventLoop, number: signal.Signals
) -> None:
    with pytest.raises((OSError, RuntimeError)):
        loop.add_signal_handler(number, print)


def test_a_loop_in_another_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    results: list[int] = []

    def work() -> None:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(asyncio.sleep(0.001))
            results.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [1]
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.set_wakeup_fd(-1) == -1
