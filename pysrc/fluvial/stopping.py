"""Whether the server that handles this request is stopping.

Streams that may never end should end by themselves then. Those that go on are cancelled when half
of `--graceful-timeout` is over. This works in every kind of app and handler; outside a server's
requests no server is ever stopping.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Self, TypeVar

from ._serving.stopping import current_stop

__all__ = ["is_set", "until_stopping", "wait", "wait_in_thread"]

T = TypeVar("T")


def is_set() -> bool:
    """Whether the server is stopping."""
    return current_stop.get().is_set()


async def wait() -> None:
    """Waits until the server is stopping."""
    await current_stop.get().wait()


def wait_in_thread(timeout: float | None = None) -> bool:
    """For `def` handlers: waits for at most `timeout` seconds; whether the server is stopping."""
    return current_stop.get().wait_in_thread(timeout)


async def until_stopping(items: AsyncIterable[T]) -> AsyncIterator[T]:
    """The items of `items`, until there are no more or the server is stopping.

    The item that is being waited for then is cancelled. `items` takes its steps in the task that
    iterates, so that `asyncio.timeout()` around a `yield` in it works.
    """
    iterator = aiter(items)
    stop = current_stop.get()
    stopped = stop.watch()
    try:
        while not stopped.done():
            with _Step(stopped) as step:
                try:
                    item = await anext(iterator)
                except StopAsyncIteration:
                    return
            if step.was_cancelled:
                return
            yield item
    finally:
        stop.forget(stopped)
        if hasattr(iterator, "aclose"):
            await iterator.aclose()


class _Step:
    """Cancels what its block awaits when `stopped` is done; the cancellation ends with it."""

    def __init__(self, stopped: asyncio.Future[None]) -> None:
        self.was_cancelled = False
        self._stopped = stopped
        self._task: asyncio.Task[Any] | None = None  # in the block
        self._asked = False
        self._before = 0  # cancellations of the task that others have asked for

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._before = self._task.cancelling()
        self._stopped.add_done_callback(self._cancel)
        return self

    def _cancel(self, stopped: asyncio.Future[None]) -> None:
        if self._task is not None:
            self._asked = True
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool:
        task, self._task = self._task, None
        assert task is not None
        self._stopped.remove_done_callback(self._cancel)
        if not self._asked or task.uncancel() > self._before:
            return False
        self.was_cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        return self.was_cancelled
