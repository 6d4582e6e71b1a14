"""The asyncio event loop: the hot part in C (`_core.Loop`), the rest from asyncio itself."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from asyncio import events, format_helpers
from typing import Any

from fluvial import _core

logger = logging.getLogger("asyncio")


class _NoSelector:
    """Stands where asyncio's loop keeps its selector; ours has none."""

    def close(self) -> None:
        """Called by asyncio when the loop is closed."""


class Loop(_core.Loop, asyncio.SelectorEventLoop):
    """An asyncio event loop on libuv."""

    def __init__(self) -> None:
        super().__init__(_NoSelector())

    def __repr__(self) -> str:
        return (
            f"<{self.__class__.__name__} running={self.is_running()} "
            f"closed={self.is_closed()} debug={self.get_debug()}>"
        )

    def run_forever(self) -> None:
        """Runs until stop() is called."""
        self._check_closed()
        self._check_running()
        self._set_coroutine_origin_tracking(self._debug)
        hooks = sys.get_asyncgen_hooks()
        wakeup = self._listen_for_signals()
        try:
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(
                firstiter=self._asyncgen_firstiter_hook,
                finalizer=self._asyncgen_finalizer_hook,
            )
            events._set_running_loop(self)
            self._run()
        finally:
            self._stopping = False
            self._thread_id = None
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*hooks)
            if wakeup is not None:
                signal.set_wakeup_fd(wakeup)

    def close(self) -> None:
        """Closes the loop, which must not be running; does nothing the second time."""
        super().close()
        self._shut()

    def _listen_for_signals(self) -> int | None:
        """Lets Python's signal handler wake the loop; returns the wake-up fd to restore."""
        if threading.current_thread() is not threading.main_thread():
            return None
        return signal.set_wakeup_fd(self._csock.fileno(), warn_on_full_buffer=False)

    def _add_callback(self, handle: Any) -> None:
        """Schedules a handle that asyncio made (for a signal)."""
        if not handle._cancelled:
            self.call_soon(handle._run)

    def _callback_failed(self, handle: Any, exc: BaseException) -> None:
        """Called by handles whose callback raised."""
        source = format_helpers._format_callback_source(handle._callback, handle._args)
        context: dict[str, Any] = {
            "message": f"Exception in callback {source}",
            "exception": exc,
            "handle": handle,
        }
        if handle._source_traceback:
            context["source_traceback"] = handle._source_traceback
        self.call_exception_handler(context)

    def _callback_ran(self, handle: Any, seconds: float) -> None:
        """Called after each callback in debug mode."""
        if seconds >= self.slow_callback_duration:
            logger.warning("Executing %r took %.3f seconds", handle, seconds)
