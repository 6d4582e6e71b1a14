"""The signals of a server's process: those that stop it, and those that it ignores.

The first SIGINT or SIGTERM starts the graceful shutdown, and cancels a startup that isn't complete.
A SIGINT during the shutdown ends the current requests at once. A SIGTERM then does not: a worker
may get it twice, once with its whole process group and once from its parent. Both signals set
deadlines, which the guard in `_core` enforces whatever the app does.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from .. import _core
from .._loop import Loop
from . import stacks
from .standard_descriptors import descriptor_of

if TYPE_CHECKING:
    from .config import Config
    from .server import Service

log = logging.getLogger("fluvial")

STOPPING = (signal.SIGINT, signal.SIGTERM)
_NAMES = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU")
IGNORED = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
# A terminal sends these again and again while the process reads from it or writes to it.
TERMINAL = {getattr(signal, name) for name in ("SIGTTIN", "SIGTTOU") if hasattr(signal, name)}
_RESTART = getattr(signal, "SIGHUP", None)
_SUCCEED = getattr(signal, "SIGUSR2", None)
_COMMANDS = {_RESTART, _SUCCEED, *TERMINAL}
_NO_PARENT = ": a restart takes a parent process, as --workers 2 or --worker-timeout 30 start it"

# Seconds after a second SIGINT until the process is terminated, unless the loop handles it before.
_URGENCY = 1.0

Handler = Callable[[int, FrameType | None], Any]


def ignore_others(*, worker: bool = False) -> dict[int, Any]:
    """Ignores the signals in IGNORED, with a line in the log for each that arrives.

    The line of a `worker` says that they are for its parent. Signals whose handling the app, or the
    program that started the process, has changed are left as they are. Returns the previous
    handlers, for `restore`.
    """
    return {
        number: signal.signal(number, _ignored_in_worker if worker else _ignored)
        for number in IGNORED
        if _core.signal_is_default(number)
    }


def ignore_others_until_the_end() -> None:
    """Like `ignore_others`, also while the interpreter exits, which resets Python's handlers."""
    ignore_others()
    atexit.register(_ignore_silently)  # registered first, so called last


def restore(before: dict[int, Any]) -> None:
    """Restores the handlers, except those that have been replaced in the meantime."""
    for number, handler in before.items():
        if signal.getsignal(number) in OURS:
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _ignored(number: int, frame: FrameType | None) -> None:
    _ignore(number, _NO_PARENT if number in (_RESTART, _SUCCEED) else "")


def _ignored_in_worker(number: int, frame: FrameType | None) -> None:
    _ignore(number, ": it is for the parent process" if number in _COMMANDS else "")


def _ignore(number: int, why: str) -> None:
    if number in TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    log.warning("Ignoring %s%s", signal.Signals(number).name, why)


def _ignore_silently() -> None:
    for number in IGNORED:
        if signal.getsignal(number) in (_ignored, _ignored_in_worker):
            signal.signal(number, signal.SIG_IGN)


class StopSignals:
    """Handles SIGINT and SIGTERM in a process that serves an app, from `open` to `close`.

    `parent` is the pid of a worker's supervisor. `mask` is the set of signals that are blocked in
    this thread while the server runs (None: those that are blocked when `open` is called).
    """

    def __init__(self, config: Config, parent: int = 0, mask: set[int] | None = None) -> None:
        self.number = 0  # the first signal that arrived
        self._config = config
        self._parent = parent
        self._mask = mask
        self._loop: Loop | None = None
        self._service: Service | None = None
        self._orphan = False
        self._told = False
        self._started = False
        self._before: dict[int, Any] = {}

    def open(self) -> None:
        """Installs the handlers; the signals are blocked until `listen`. For the main thread."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        self._mask = mask if self._mask is None else self._mask
        self._before = {number: signal.signal(number, self._on_signal) for number in STOPPING}
        OURS.append(self._on_signal)
        error = descriptor_of("stderr")
        patience = self._config.cleanup_timeout
        _core.guard_open(patience, _URGENCY, self._parent, error, stacks.enable())

    def listen(self) -> None:
        """Unblocks the signals. One that arrives before `attach` raises KeyboardInterrupt."""
        assert self._mask is not None
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def close(self) -> None:
        """Undoes `open`."""
        _core.guard_close()
        restore(self._before)
        OURS.remove(self._on_signal)

    def attach(self, loop: Loop, service: Service) -> None:
        """From now on signals stop `service`, in the loop's thread; so does an earlier one."""
        self._loop, self._service = loop, service
        if self.number:
            self._told = True
            service.stop()

    def started(self) -> None:
        """Records that the startup is complete: a shutdown may now take the configured time."""
        self._started = True
        _core.guard_patience(self._config.longest_stop)

    def detach(self) -> None:
        """Records that the service has ended, and sets a deadline for the interpreter's exit."""
        self._loop = self._service = None
        self._started = True
        _core.guard_deadline(self._config.graceful_timeout + self._config.cleanup_timeout)

    @property
    def status(self) -> int:
        """The exit status of a process whose startup was ended by a signal."""
        return 128 + self.number if self.number == signal.SIGINT else 0

    def lose_parent(self) -> None:
        """Treats the end of the supervisor, which its pipe has shown, as a SIGTERM."""
        self._orphan = True
        os.kill(os.getpid(), signal.SIGTERM)

    def _is_orphan(self) -> bool:
        return self._orphan or (self._parent != 0 and os.getppid() != self._parent)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        forced = _core.guard_note(number)
        self.number = self.number or number
        if self._loop is None:
            self._interrupt(number)
            return
        if self._loop.is_closed():  # there is nothing left to stop
            return
        if forced or not self._told:
            self._loop.call_soon_threadsafe(self._tell, forced)
        if not self._started and frame is not None and frame.f_code is not _WAITING:
            self._interrupt(number)  # the startup may be blocking the loop

    def _interrupt(self, number: int) -> None:
        """Interrupts the running code: a startup or, by SIGINT only, what follows the service."""
        if number == signal.SIGINT or not self._started:
            raise KeyboardInterrupt

    def _tell(self, forced: bool) -> None:
        """Stops the service; called by the loop."""
        if self._service is None:
            return
        if not self._told:
            self._told = True
            if self._is_orphan():
                log.error("Worker %d has lost its parent process; shutting down", os.getpid())
            self._service.stop()
        if forced:
            _core.guard_deadline(self._config.cleanup_timeout, True)
            self._service.stop()


# The code that the loop's thread runs while it runs no callback.
_WAITING = Loop.run_forever.__code__
OURS: list[Handler] = [_ignored, _ignored_in_worker]  # all handlers of ours that may be installed


def _in_child() -> None:
    """Restores the default handlers in a child that the app has forked, which isn't a server."""
    for number in (*STOPPING, *IGNORED):
        if signal.getsignal(number) in OURS:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


os.register_at_fork(after_in_child=_in_child)
