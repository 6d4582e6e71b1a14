"""Forks: in the child a loop counts as closed, and the child must not disturb the parent's loop."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import weakref
from collections.abc import Iterable
from typing import Any

from .asyncio_private import is_runners_handler, is_signal_handler

_loops: weakref.WeakSet[ForkMixin] = weakref.WeakSet()


class ForkMixin:
    """What `os.fork()` does to a loop."""

    _forked: Any
    _signal_handlers: dict[int, Any]
    _ssock: Any
    _csock: Any

    def _watch_forks(self) -> None:
        _register()
        _loops.add(self)

    def _leave_signals(self) -> None:
        """Called in the child. Signals of the child must not be written to the parent's wake-up
        descriptor. Those for which the loop had handlers get their default action back, because no
        loop handles them in the child."""
        _reset_signals(self._signal_handlers)
        if self._ssock is None or self._csock is None:
            return
        with contextlib.suppress(ValueError):  # raised outside the main interpreter
            wakeup = signal.set_wakeup_fd(-1)
            if wakeup not in {-1, self._csock.fileno()}:
                signal.set_wakeup_fd(wakeup)
        self._ssock.close()
        self._csock.close()


def _reset_signals(numbers: Iterable[int]) -> None:
    """Undoes add_signal_handler(), and asyncio.Runner's handler for SIGINT."""
    with contextlib.suppress(ValueError):  # a thread of a sub-interpreter
        for number in numbers:
            if is_signal_handler(signal.getsignal(number)):
                default = number == signal.SIGINT and signal.default_int_handler
                signal.signal(number, default or signal.SIG_DFL)
        if is_runners_handler(signal.getsignal(signal.SIGINT)):
            signal.signal(signal.SIGINT, signal.default_int_handler)


@functools.cache
def _register() -> None:
    os.register_at_fork(after_in_child=_in_child)


def _in_child() -> None:
    loops = list(_loops)
    for loop in loops:  # mark all of them before anything else can fail
        loop._forked()
    for loop in loops:
        loop._leave_signals()
