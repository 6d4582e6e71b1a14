"""Whether the server that handles this request is stopping.

Streams that may never end should end by themselves then. Those that go on are cancelled when half
of `--graceful-timeout` is over. This works in every kind of app and handler; outside a server's
requests no server is ever stopping.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator
from typing import TypeVar

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

    The item that is being waited for then is cancelled.
    """
    iterator = aiter(items)
    stop = asyncio.ensure_future(wait())
    step: asyncio.Future[T] | None = None
    try:
        while not stop.done():
            step = asyncio.ensure_future(anext(iterator))
            await asyncio.wait((step, stop), return_when="FIRST_COMPLETED")
            if not step.done():
                return
            try:
                yield step.result()
            except StopAsyncIteration:
                return
    finally:
        stop.cancel()
        if step is not None and not step.done():
            step.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await step
        if hasattr(iterator, "aclose"):
            await iterator.aclose()
