"""Several processes on one address: a parent that only starts, watches and stops workers.

The parent binds the sockets and listens on them, and all workers accept from them. So what waits in
a socket's queue is lost with no worker's end: another one accepts it. (With SO_REUSEPORT each
worker has a queue of its own, which is reset when the worker ends.) The parent has no loop and no
threads, so it can fork safely.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from .access_log import AccessLogError
from .identity import IdentityError
from .manager import ServiceManager
from .signals import STOPPING, TERMINAL, ignore_others
from .sockets import BindError, bind, closing, describe

if TYPE_CHECKING:
    from .config import Config
    from .metrics import Counting

log = logging.getLogger("fluvial")
START_FAILED = 3  # the exit status of a worker whose app could not start
_STEADY = 10.0  # seconds; a worker that has served this long is replaced at once when it ends
_FIRST_PAUSE = 0.5  # seconds before a new worker starts after failures; doubled each time
_LONGEST_PAUSE = 10.0
LATE = 0.4  # seconds that a worker may exceed its own deadline
STOPPED = 1.0  # seconds by which a wait is too long when this process was stopped meanwhile


@dataclasses.dataclass(frozen=True)
class Supervised:
    """What a worker knows about its parent.

    `lifeline` is the read end of a pipe that is never written to. It reaches its end when the
    parent ends for any reason, and then the worker stops. `ready` is the write end of a pipe on
    which workers report that they serve.
    """

    parent: int
    lifeline: int
    ready: int
    mask: set[int]  # the signals to block once the worker's own handlers are installed
    cell: memoryview | None = None  # for the loop's pulse and the number of requests, or None
    number: int = 0  # which of the workers this is, counted from 1
    counting: Counting | None = None  # where it counts, if all do that together

    def tell_ready(self) -> None:
        """Reports to the parent that this worker serves."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self.ready, os.getpid().to_bytes(4, sys.byteorder))


Work = Callable[[list[socket.socket], Supervised], int]


@dataclasses.dataclass(eq=False)
class Place:
    """One worker's place: the process that has it, and when the next one starts.

    Times are those of time.monotonic().
    """

    pid: int = 0  # 0: none
    started: float = 0.0
    starts: int = 0
    ready: bool = False
    failures: int = 0  # in a row
    due: float = 0.0  # when the next worker starts
    number: int = 0  # which of the workers it has, counted from 1
    cell: int = -1  # the number of its memory, if the parent watches it
    slot: int = -1  # the number of its memory for metrics, if there are any


class Supervisor:
    """Runs `work(sockets, supervised)` in `config.workers` processes."""

    def __init__(self, config: Config, work: Work, manager: ServiceManager | None = None) -> None:
        self._config = config
        self._manager = manager or ServiceManager()
        self._work = work
        self._places = [Place(number=n + 1) for n in range(config.workers)]
        self._served = False  # whether any worker has ever been ready
        self._told = False  # whether the service manager knows of it
        self._received: list[int] = []  # signals that are not yet handled
        self._stopping = False
        self._kill_at = 0.0  # when the remaining workers are killed; 0 until stopping
        self._interrupts = 0
        self._status = 0
        self._to_the_end = True
        self._lifeline = os.pipe()
        self._ready = os.pipe()
        self._wakeup = os.pipe()
        self._watched_fds: tuple[int, ...] = ()  # what else ends a wait
        self._deaf_to: set[int] = set()  # the signals that are blocked except in a wait

    def run(self, *, to_the_end: bool = True) -> int:
        """Runs the workers; returns the exit status when all of them have ended.

        The previous signal handlers are restored, unless `to_the_end` says that the process exits
        afterwards. Raises: BindError when the address can't be bound.
        """
        self._to_the_end = to_the_end
        with closing(self._hold_address()) as held:
            before, wakeup = self._take_signals()
            while not self._is_over():
                self._start_due(held)
                self._wait()
                self._handle_signals(held)
                self._note_ready()
                self._reap()
                self._kill_late()
                self._look_after(held)
        for number, handler in before.items():
            if not to_the_end:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._deaf_to)
        signal.set_wakeup_fd(wakeup)
        for fd in (*self._lifeline, *self._ready, *self._wakeup):
            os.close(fd)
        return self._status

    def _hold_address(self) -> list[socket.socket]:
        """Sockets that listen on the addresses. Raises: BindError when another process has one."""
        sockets = self._find_sockets()
        for sock in sockets:
            try:
                sock.listen(self._config.backlog)
            except OSError as exc:
                address = describe(sock, self._config.scheme)
                with closing(sockets):
                    raise BindError(f"can't listen on {address}: {exc.strerror}") from exc
        return sockets

    def _find_sockets(self) -> list[socket.socket]:
        return bind(self._config, self._manager.passed)

    def _look_after(self, held: list[socket.socket]) -> None:
        """Called after each event, and when one of `_times` has come."""

    def _times(self) -> list[float]:
        """When to call `_look_after` at the latest."""
        return []

    # -- Signals ----------------------------------------------------------------------------

    def _take_signals(self) -> tuple[dict[int, Any], int]:
        """Installs our handlers; returns the previous handlers and wake-up descriptor."""
        for pipe in (self._wakeup, self._ready):
            for fd in pipe:
                os.set_blocking(fd, False)
        wakeup = signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        # The parent's own log would bring these about, where it goes to a terminal that doesn't
        # let processes in the background write (stty tostop): they are heard in `_wait` only.
        repeated = TERMINAL & set(self._commands())
        self._deaf_to = repeated - signal.pthread_sigmask(signal.SIG_BLOCK, repeated)
        numbers = (*STOPPING, signal.SIGCHLD, *self._commands())
        return {number: signal.signal(number, self._receive) for number in numbers}, wakeup

    def _commands(self) -> tuple[int, ...]:
        """The signals that `_obey` handles."""
        return ()

    def _obey(self, number: int) -> None:
        """Handles a signal that doesn't stop the server."""

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._received.append(number)

    def _handle_signals(self, held: list[socket.socket]) -> None:
        """Passes the first signal on as SIGTERM; a later SIGINT makes workers end at once."""
        while self._received:
            number = self._received.pop(0)
            if number not in STOPPING:
                self._obey(number)
            elif not self._stopping:
                name = signal.Signals(number).name
                log.info("Received %s; sending SIGTERM to %d workers", name, len(self._pids()))
                self._stop()
                for sock in held:
                    sock.close()  # so that no client connects to a Unix socket any more
            elif number == signal.SIGINT:
                self._interrupts += 1
                self._hurry()

    def _stop(self) -> None:
        self._stopping = True
        self._manager.stopping()
        self._kill_in(self._config.longest_stop + LATE)
        self._signal_workers(signal.SIGTERM)

    def _hurry(self) -> None:
        if self._interrupts > 1:
            self._kill_in(0)
            return
        self._kill_in(self._config.cleanup_timeout + LATE)
        self._signal_workers(signal.SIGINT)

    def _kill_in(self, seconds: float) -> None:
        at = time.monotonic() + seconds
        self._kill_at = min(self._kill_at or at, at)

    def _kill_late(self) -> None:
        if self._kill_at and time.monotonic() >= self._kill_at:
            for pid in self._pids():
                log.warning("Worker %d did not stop in time and was killed", pid)
            self._signal_workers(signal.SIGKILL)
            self._kill_at = time.monotonic() + LATE

    def _signal_workers(self, number: signal.Signals) -> None:
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _pids(self) -> list[int]:
        return [place.pid for place in self._records() if place.pid]

    def _records(self) -> list[Place]:
        """All places that may have a worker."""
        return self._places

    # -- Starting ---------------------------------------------------------------------------

    def _start_due(self, held: list[socket.socket]) -> None:
        for place in self._places:
            if self._may_start(place) and time.monotonic() >= place.due:
                self._start(place, held)

    def _may_start(self, place: Place) -> bool:
        """Whether a worker may be started in `place`.

        Until any worker has been ready, each place is used only once: the app may be broken.
        """
        return not (place.pid or self._stopping) and (self._served or place.starts == 0)

    def _start(self, place: Place, held: list[socket.socket]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # The child must get no signal while it still has the parent's handlers.
        mask: set[int] = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
        except OSError as exc:  # too many processes, or too little memory: those that serve go on
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            place.failures += 1
            place.due = time.monotonic() + pause_after(place.failures)
            log.error("Could not start a worker: %s", exc.strerror)
            return
        if pid == 0:
            self._end_worker(self._run_worker(parent, held, mask - self._deaf_to, place))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        place.pid, place.started, place.ready = pid, time.monotonic(), False
        place.starts += 1
        log.info("Started worker %d", pid)

    def _run_worker(
        self, parent: int, held: list[socket.socket], mask: set[int], place: Place
    ) -> int:
        """Runs in the child; returns its exit status.

        The child gets a process group of its own, so that a Ctrl+C reaches it only once, through
        the parent. `work` has to unblock the signals in a place where it catches KeyboardInterrupt.
        """
        os.setpgid(0, 0)
        _leave_to_parent()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, *self._commands()):
            signal.signal(number, signal.SIG_DFL)
        ignore_others(worker=True)  # what is forked has the system's defaults
        for fd in (self._lifeline[1], self._ready[0], *self._wakeup):
            os.close(fd)
        lifeline, ready, cell = self._lifeline[0], self._ready[1], self._cell_of(place)
        counting = self._counting_of(place)
        supervised = Supervised(parent, lifeline, ready, mask, cell, place.number, counting)
        try:
            return self._work(held, supervised)
        except KeyboardInterrupt:  # a SIGINT after the service has ended
            return 130
        except (BindError, IdentityError, AccessLogError) as exc:
            log.error("Worker %d: %s", os.getpid(), exc)
        except BaseException:
            log.exception("Worker %d failed", os.getpid())
        return 1

    def _cell_of(self, place: Place) -> memoryview | None:
        """The memory that a worker shares with the parent, if there is any."""
        return None

    def _counting_of(self, place: Place) -> Counting | None:
        """Where a worker counts together with the others; None if they don't."""
        return None

    def _end_worker(self, status: int) -> NoReturn:
        """Exits like the interpreter, but doesn't return to a script that has called run()."""
        if self._to_the_end:
            raise SystemExit(status)
        for step in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]  # no stub
            try:
                step()
            except BaseException:
                log.exception("Worker %d failed while it was exiting", os.getpid())
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status)

    # -- Watching ---------------------------------------------------------------------------

    def _is_over(self) -> bool:
        """Whether no worker runs and none will be started.

        This is the case after a stop, or when every worker has ended before it was ready.
        """
        if self._pids() or any(map(self._may_start, self._places)):
            return False
        return self._stopping or not self._served

    def _wait(self) -> None:
        """Waits for a signal, the end of a child, a worker's report or the next deadline."""
        times = [place.due for place in self._places if self._may_start(place)]
        times += self._times()
        if self._kill_at:
            times.append(self._kill_at)
        if self._manager.interval:
            times.append(self._manager.due)
        timeout = None
        if times:
            timeout = max(0.0, min(times) - time.monotonic()) * 1000
        poll = select.poll()
        poll.register(self._wakeup[0], select.POLLIN)
        for fd in (self._ready[0], *self._watched_fds):
            poll.register(fd, select.POLLIN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._deaf_to)
        begun = time.monotonic()
        poll.poll(timeout)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._deaf_to)
        if timeout is not None:
            self._make_up_for(time.monotonic() - begun - timeout / 1000)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup[0], 4096)
        self._manager.live()

    def _make_up_for(self, seconds: float) -> None:
        """Adds to deadlines what was slept beyond them: as long as this process was stopped, its
        workers probably were, too."""
        if seconds >= STOPPED and self._kill_at:
            self._kill_at += seconds

    def _note_ready(self) -> None:
        with contextlib.suppress(BlockingIOError):
            told = os.read(self._ready[0], 4096)
            pids = {
                int.from_bytes(told[at : at + 4], sys.byteorder) for at in range(0, len(told), 4)
            }
            for place in self._records():
                if place.pid in pids:
                    place.ready = self._served = True
                    self._status = 0
            self._tell_ready()

    def _tell_ready(self) -> None:
        """Tells the service manager, once, that a worker serves."""
        if self._served and not self._told:
            self._told = True
            self._manager.ready()

    def _reap(self) -> None:
        """Records which workers have ended.

        There may be other children, which the process had before, or which are orphans that the
        first process of a container inherits. They are reaped, too, except the children of a script
        that has called run(), which waits for them itself.
        """
        with contextlib.suppress(ChildProcessError):
            while self._to_the_end or os.getpid() == 1:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._note_end(pid, status)
        for pid in self._pids_to_reap():
            with contextlib.suppress(ChildProcessError):
                self._note_end(*os.waitpid(pid, os.WNOHANG))

    def _pids_to_reap(self) -> list[int]:
        return self._pids()

    def _note_end(self, pid: int, status: int) -> None:
        for place in self._records():
            if pid != 0 and place.pid == pid:
                self._ended(place, os.waitstatus_to_exitcode(status))

    def _ended(self, place: Place, status: int) -> None:
        pid, place.pid = place.pid, 0
        if self._stopping:
            if place.ready and status > 0:  # as of one process: sys.exit(5) in the lifespan's end
                self._status = self._status or status
            return
        lived = time.monotonic() - place.started
        place.failures = 0 if place.ready and lived >= _STEADY else place.failures + 1
        if not self._served:
            log.error("Worker %d exited with status %d before it was ready", pid, status)
            self._status = self._status or (status if status >= 0 else 1)
            return
        pause = 0.0
        if place.failures > 1 or not place.ready:
            pause = pause_after(place.failures)
        place.due = time.monotonic() + pause
        when = f"in {pause:g} seconds" if pause else "now"
        log.warning("Worker %d exited with status %d; starting another %s", pid, status, when)


def pause_after(failures: int) -> float:
    """How many seconds pass before the next start, after so many failures in a row."""
    return min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 10), _LONGEST_PAUSE)


def _leave_to_parent() -> None:
    """Makes a worker leave to its parent what the script made before the workers were started.

    These are temporary folders and processes of multiprocessing, which must end with the script.
    """
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]  # no stub
        finalizer.atexit = False
    if (module := sys.modules.get("multiprocessing.process")) is not None:
        module._children.clear()
