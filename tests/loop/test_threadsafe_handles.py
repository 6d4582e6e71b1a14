"""Handles of call_soon_threadsafe: from 3.14 on, threads that cancel one wait for its callback."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="new in 3.14")

ASKING: list[Callable[[Any], object]] = [lambda handle: handle.cancel(), lambda h: h.cancelled()]


class Call:
    """A callback that runs until other threads have had time to ask for its end."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.asked = threading.Semaphore(0)
        self.ended = False

    def __call__(self, threads: int) -> None:
        self.begun.set()
        for _ in range(threads):
            self.asked.acquire()
        time.sleep(0.05)  # asking ends with the callback, however late it begins
        self.ended = True


def asking(call: Call, handle: Any, ask: Callable[[Any], object], seen: list[object]) -> None:
    call.begun.wait()
    call.asked.release()
    ask(handle)
    seen.append(call.ended)


def run_beside(loop: asyncio.AbstractEventLoop, *threads: threading.Thread) -> None:
    """Runs the loop until the threads have ended."""

    def watch() -> None:
        for thread in threads:
            thread.join()
        loop.call_soon_threadsafe(loop.stop)

    for thread in threads:
        thread.start()
    watcher = threading.Thread(target=watch)
    watcher.start()
    loop.run_forever()
    watcher.join()


def test_it_is_one_of_asyncios(loop: asyncio.AbstractEventLoop) -> None:
    kind = asyncio.events._ThreadSafeHandle  # type: ignore[attr-defined]
    handle = loop.call_soon_threadsafe(print, "text")
    assert isinstance(handle, asyncio.Handle)
    assert isinstance(handle, kind)
    assert not isinstance(loop.call_soon(print), kind)
    assert "print" in repr(handle)
    handle.cancel()
    assert handle.cancelled()


@pytest.mark.parametrize("ask", ASKING, ids=["cancel", "cancelled"])
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("number", [1, 3])
def test_other_threads_wait_for_the_callbacks_end(
    loop: asyncio.AbstractEventLoop, number: int, debug: bool, ask: Callable[[Any], object]
) -> None:
    loop.set_debug(debug)
    loop.slow_callback_duration = 60
    call, seen = Call(), list[object]()
    handle = loop.call_soon_threadsafe(call, number)
    arguments = (call, handle, ask, seen)
    run_beside(loop, *(threading.Thread(target=asking, args=arguments) for _ in range(number)))
    assert seen == [True] * number


def test_the_exception_handler_has_run_when_they_go_on(loop: asyncio.AbstractEventLoop) -> None:
    call, seen = Call(), list[object]()

    def fail() -> None:
        call.begun.set()
        call.asked.acquire()
        raise ValueError

    def handle_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        time.sleep(0.05)
        call.ended = isinstance(context["exception"], ValueError)

    loop.set_exception_handler(handle_exception)
    handle = loop.call_soon_threadsafe(fail)
    arguments = (call, handle, ASKING[0], seen)
    run_beside(loop, threading.Thread(target=asking, args=arguments))
    assert seen == [True]


def test_the_callback_itself_does_not_wait(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[bool] = []

    def call() -> None:
        handle.cancel()
        seen.append(handle.cancelled())
        handle._run()  # as its lock is one that a thread may take again
        loop.stop()

    handle = loop.call_soon_threadsafe(call)
    loop.run_forever()
    assert seen == [True]


def test_cancelled_before_it_runs(loop: asyncio.AbstractEventLoop) -> None:
    calls: list[int] = []
    handle = loop.call_soon_threadsafe(calls.append, 1)
    thread = threading.Thread(target=handle.cancel)
    thread.start()
    thread.join()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert calls == []
    assert handle.cancelled()


@pytest.mark.own_process
def test_signal_handlers_run_meanwhile(loop: asyncio.AbstractEventLoop) -> None:
    """The main thread cancels what a loop in another thread runs."""
    begun, asked, noticed = threading.Event(), threading.Event(), threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: noticed.set())
    main = threading.get_ident()
    ended: list[bool] = []

    def call() -> None:
        begun.set()
        asked.wait()
        while not noticed.wait(0.02):  # until one comes while the other thread waits
            signal.pthread_kill(main, signal.SIGUSR1)
        ended.append(True)

    handle = loop.call_soon_threadsafe(call)
    loop.call_soon_threadsafe(loop.stop)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    begun.wait()
    asked.set()
    handle.cancel()
    assert ended == [True]
    thread.join()
