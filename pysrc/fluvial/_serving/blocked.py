"""Reports the line of code that blocks the event loop; for development."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import AsyncIterator
from types import FrameType
from typing import Any

from .._messages.error_page import is_users

log = logging.getLogger("fluvial")

LIMIT = 0.1  # seconds after which a step counts as blocking the loop
_PAUSE = 0.05  # seconds between two checks


def users_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame that is the user's code."""
    while frame is not None and not is_users(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


class Watchdog:
    """A thread that regularly has the loop run a callback. When the callback is late, the thread
    reports the line of the user's code that the loop's thread is executing, once for each line.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float = LIMIT) -> None:
        self._loop = loop
        self._limit = limit
        self._thread_id = threading.get_ident()  # the loop's
        self._answered = threading.Event()
        self._ending = threading.Event()
        self._told: set[tuple[str, int]] = set()
        self._thread = threading.Thread(target=self._watch, name="fluvial-watchdog", daemon=True)

    def start(self) -> None:
        """Begins to watch the loop of this thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._ending.set()
        self._answered.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ending.wait(_PAUSE):
            self._answered.clear()
            try:
                self._loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:  # the loop is closed
                return
            if not self._answered.wait(self._limit):
                self._tell(users_frame(sys._current_frames().get(self._thread_id)))
                self._answered.wait()

    def _tell(self, frame: FrameType | None) -> None:
        if frame is None:
            return
        code = frame.f_code
        place = (code.co_filename, frame.f_lineno)
        if place not in self._told:
            self._told.add(place)
            log.warning(
                "%s blocks the event loop: it has been at %s:%d for %d ms, and nobody else is "
                "served. Use `def` instead of `async def`, or await",
                code.co_name,
                *place,
                round(self._limit * 1000),
            )


@contextlib.asynccontextmanager
async def watched(_: Any) -> AsyncIterator[None]:
    """A lifespan within which the running loop is watched."""
    watchdog = Watchdog(asyncio.get_running_loop())
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()
