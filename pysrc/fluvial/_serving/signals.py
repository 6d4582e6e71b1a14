"""The signals of a server's process: those that stop it, and those that it ignores.

SIGINT and SIGTERM: the first begins the orderly stop, and ends a start that is not over yet. SIGINT
while the process stops already ends what is under way at once; SIGTERM does not, since a whole
process group may get it besides what the parent passes on. Both set deadlines which `_core`'s guard
keeps whatever the app does.
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
from .standard_descriptors import descriptor_of

if TYPE_CHECKING:
    from .config import Config
    from .server import Service

log = logging.getLogger("fluvial")

STOPPING = (signal.SIGINT, signal.SIGTERM)
_NAMES = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU")
IGNORED = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
# A terminal repeats these for as long as it is read from or written to.
_REPEATED = {getattr(signal, name, None) for name in ("SIGTTIN", "SIGTTOU")}

# Seconds from a second SIGINT to the end, unless the loop has noticed it by then.
_URGENCY = 1.0

Handler = Callable[[int, FrameType | None], Any]


def ignore_others() -> dict[int, Any]:
    """Has the signals that no server of ours knows yet ignored, with a line in the log.

    Leaves alone what the app, or whoever started the process, has decided. Returns the handlers
    that were there before, for `restore`.
    """
    return {
        number: signal.signal(number, _ignored)
        for number in IGNORED
        if _core.signal_is_default(number)
    }


def ignore_others_until_the_end() -> None:
    """As `ignore_others`, also while the interpreter ends, which resets Python's handlers."""
    ignore_others()
    atexit.register(_ignore_silently)  # the first to be registered is the last to be called


def restore(before: dict[int, Any]) -> None:
    """Puts the handlers back, but for those that somebody has replaced meanwhile."""
    for number, handler in before.items():
        if signal.getsignal(number) in OURS:
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _ignored(number: int, frame: FrameType | None) -> None:
    if number in _REPEATED:
        signal.signal(number, signal.SIG_IGN)
    log.warning("Ignoring %s", signal.Signals(number).name)


def _ignore_silently() -> None:
    for number in IGNORED:
        if signal.getsignal(number) is _ignored:
            signal.signal(number, signal.SIG_IGN)


class StopSignals:
    """SIGINT and SIGTERM in a process that serves an app, from `open` to `close`.

    `parent` is the pid of the supervisor of a worker; `mask` are the signals that are blocked in
    this thread while the server runs (None: those that are when it is opened).
    """

    def __init__(self, config: Config, parent: int = 0, mask: set[int] | None = None) -> None:
        self.number = 0  # the signal that came first
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
        """Takes the signals over. In the main thread, which gets none of them before `listen`."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        self._mask = mask if self._mask is None else self._mask
        self._before = {number: signal.signal(number, self._on_signal) for number in STOPPING}
        OURS.append(self._on_signal)
        error = descriptor_of("stderr")
        _core.guard_open(self._config.cleanup_timeout, _URGENCY, self._parent, error)

    def listen(self) -> None:
        """From now on a signal that comes before `attach` raises KeyboardInterrupt."""
        assert self._mask is not None
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def close(self) -> None:
        """Undoes `open`."""
        _core.guard_close()
        restore(self._before)
        OURS.remove(self._on_signal)

    def attach(self, loop: Loop, service: Service) -> None:
        """From now on signals go to `service`, in the loop's thread; also one that came before."""
        self._loop, self._service = loop, service
        if self.number:
            self._told = True
            service.stop()

    def started(self) -> None:
        """The app's start is over: what follows the first signal may take its time."""
        self._started = True
        config = self._config
        _core.guard_patience(config.graceful_timeout + config.cleanup_timeout)

    def detach(self) -> None:
        """The service is over: what remains is the end of the interpreter, within bounds."""
        self._loop = self._service = None
        self._started = True
        _core.guard_deadline(self._config.graceful_timeout + self._config.cleanup_timeout)

    @property
    def status(self) -> int:
        """The exit status of a process whose start a signal has ended."""
        return 128 + self.number if self.number == signal.SIGINT else 0

    def lose_parent(self) -> None:
        """The supervisor is gone, as the end of its pipe has told: counts as SIGTERM."""
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
        if self._loop.is_closed():  # nothing is left to stop
            return
        if forced or not self._told:
            self._loop.call_soon_threadsafe(self._tell, forced)
        if not self._started and frame is not None and frame.f_code is not _WAITING:
            self._interrupt(number)  # the start doesn't let the loop go on

    def _interrupt(self, number: int) -> None:
        """Ends the code that is running: a start, or what SIGINT finds after the service."""
        if number == signal.SIGINT or not self._started:
            raise KeyboardInterrupt

    def _tell(self, forced: bool) -> None:
        """In the loop."""
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


# The code that runs in the loop's thread while no callback does.
_WAITING = Loop.run_forever.__code__
OURS: list[Handler] = [_ignored]  # all that stand in Python's table


def _in_child() -> None:
    """What an app forks is no server: there signals do what they do by default."""
    for number in (*STOPPING, *IGNORED):
        if signal.getsignal(number) in OURS:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


os.register_at_fork(after_in_child=_in_child)
