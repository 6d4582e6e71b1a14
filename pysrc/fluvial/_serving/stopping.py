"""Lets a handler find out that its server is stopping, so that a stream can end by itself."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextvars import ContextVar


class Stop:
    """The stop of one server: not yet asked for, or under way."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}

    def set(self) -> None:
        """Notes that the server stops, and wakes all who wait for that."""
        with self._lock:
            self._event.set()
            waiting, self._waiting = self._waiting, {}
        for future, loop in waiting.items():
            with contextlib.suppress(RuntimeError):  # a loop that has been closed waits no more
                loop.call_soon_threadsafe(_wake, future)

    def is_set(self) -> bool:
        """Whether the server stops."""
        return self._event.is_set()

    def wait_in_thread(self, timeout: float | None) -> bool:
        """Waits in this thread; whether the server stops."""
        return self._event.wait(timeout)

    def watch(self) -> asyncio.Future[None]:
        """A future of the running loop, done when the server stops; `forget` it at the end."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self._lock:
            if self._event.is_set():
                future.set_result(None)
            else:
                self._waiting[future] = loop
        return future

    def forget(self, future: asyncio.Future[None]) -> None:
        """Releases what `watch` has returned."""
        with self._lock:
            self._waiting.pop(future, None)

    async def wait(self) -> None:
        """Waits on the running loop."""
        future = self.watch()
        try:
            await future
        finally:
            self.forget(future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


# Of the server that handles the current request; outside of servers none ever stops.
current_stop: ContextVar[Stop] = ContextVar("fluvial_stop", default=Stop())  # noqa: B039  # shared on purpose
