"""A loop's default executor that doesn't hold up the loop's end without a bound."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger("fluvial")


class BoundedExecutor(ThreadPoolExecutor):
    """asyncio's default executor, whose shutdown() waits for `patience` seconds at most.

    Threads that still run then go on, and the interpreter waits for them when it exits.
    """

    def __init__(self, patience: float) -> None:
        self._begun: list[threading.Thread] = []
        super().__init__(thread_name_prefix="asyncio", initializer=self._note)
        self._patience = patience

    def _note(self) -> None:
        self._begun.append(threading.current_thread())

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the threads that wait for work, and with `wait` gives others a bounded time."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        deadline = time.monotonic() + self._patience
        for thread in self._begun if wait else ():
            thread.join(max(0.0, deadline - time.monotonic()))
        if wait and (left := sum(thread.is_alive() for thread in self._begun)):
            log.warning(
                "%d threads of asyncio's executor are still running; not waiting for them", left
            )
