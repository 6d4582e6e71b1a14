"""Forks: in the child a loop counts as closed, and nothing there disturbs the parent's."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import weakref
from typing import Any

_loops: weakref.WeakSet[ForkMixin] = weakref.WeakSet()


class ForkMixin:
    """What `os.fork()` does to a loop."""

    _forked: Any
    _ssock: Any
    _csock: Any

    def _watch_forks(self) -> None:
        _register()
        _loops.add(self)

    def _leave_signals(self) -> None:
        """Called in the child. The parent's wake-up descriptor must get no signals from here."""
        if self._ssock is None or self._csock is None:
            return
        with contextlib.suppress(ValueError):  # only the main interpreter may ask
            wakeup = signal.set_wakeup_fd(-1)
            if wakeup not in {-1, self._csock.fileno()}:
                signal.set_wakeup_fd(wakeup)
        self._ssock.close()
        self._csock.close()


@functools.cache
def _register() -> None:
    os.register_at_fork(after_in_child=_in_child)


def _in_child() -> None:
    loops = list(_loops)
    for loop in loops:  # all of them, before anything else can fail
        loop._forked()
    for loop in loops:
        loop._leave_signals()
