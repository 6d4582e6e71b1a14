"""The supervisor of workers that are replaced while they serve: when asked to by a signal, when
they have served for long enough, or when their loop stands still.

A worker is only ever stopped when the one that takes its place is ready. Both accept from the same
sockets, so nothing that waits there is lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import random
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import stacks
from .config import RANGES
from .draining import RETIRING
from .identity import take_pid_file
from .inherited import settle
from .metrics import Counting, close_counting, make_counting
from .metrics_text import resident_size
from .reopening import REOPEN, has_file, is_free
from .reporting import RETIRE
from .secure import SecureError
from .signals import OURS
from .sockets import BindError, closing
from .succession import Legacy, Predecessor, leave_files, own_files, start_successor
from .supervisor import LATE, STOPPED, Place, Supervisor, Work, pause_after
from .worker_cells import WorkerCells

if TYPE_CHECKING:
    import socket

    from .certificates import Certificates
    from .config import Config
    from .manager import ServiceManager

log = logging.getLogger("fluvial")

_LOOK = 1.0  # seconds between two looks at the workers
_STACKS_TIME = 1.0  # seconds that a worker has for writing its stacks
_COMMANDS = ("SIGHUP", "SIGTTIN", "SIGTTOU", "SIGUSR2")
_MOST = RANGES["workers"][1]


class Rolling(Supervisor):
    """Runs workers as Supervisor does, and replaces them.

    `renew()` returns the configuration after SIGHUP, what new workers run from then on, and their
    certificates. It raises ValueError or SecureError when the configuration or a certificate is
    wrong; then everything stays as it is. `certificates` are renewed when their files change, and
    the workers get them while they serve.
    """

    def __init__(
        self,
        config: Config,
        work: Work,
        renew: Callable[[Certificates], tuple[Config, Work, Certificates]],
        manager: ServiceManager | None,
        before: Predecessor | None,
        certificates: Certificates,
    ) -> None:
        super().__init__(config, work, manager)
        self._before = before or Predecessor()
        self._successor = 0  # the process that has our sockets, too, after SIGUSR2
        self._held: list[socket.socket] = []
        self._passed = self._manager.passed  # the descriptors of those that the manager has passed
        self._dropped: list[socket.socket] = []  # the predecessor's, which are no longer wanted
        self._has_strays = False  # whether the metrics have slots of a parent that has ended
        self._renew = renew
        self._certificates = certificates
        certificates.share()
        self._look_at = 0.0  # when to look for new certificates
        self._cells = WorkerCells(2 * _MOST)
        self._counting: Counting | None = None
        self._coming: dict[Place, Place] = {}  # a place, and the one whose worker it gets
        self._rolling: list[Place] = []  # whose workers are still to be replaced
        self._retiring: dict[Place, float] = {}  # places of old workers, and when they are killed
        self._awake = 0.0  # when this process last went on after it had been stopped
        self._stalled: dict[Place, float] = {}  # since when their stacks have been asked for
        self._requests: dict[Place, int] = {}  # after how many a worker is replaced
        self._failures = 0  # of workers that were to take others' places, in a row
        self._try_at = 0.0  # before that time no other is started for a limit's sake
        self._taken = _commands_of_ours()
        if is_free():  # even if there is no file yet, since SIGHUP may bring one
            self._taken += (signal.SIGUSR1,)

    # -- Signals ----------------------------------------------------------------------------

    def _commands(self) -> tuple[int, ...]:
        return self._taken

    def _handle_signals(self, held: list[socket.socket]) -> None:
        self._held = held
        super()._handle_signals(held)

    def _obey(self, number: int) -> None:
        if number == REOPEN and not has_file(self._config):
            log.warning("Ignoring SIGUSR1")
            return
        if self._stopping:
            return
        log.info("Received %s", signal.Signals(number).name)
        if number == REOPEN:
            self._signal_workers(signal.SIGUSR1)
        elif number == signal.SIGHUP:
            self._restart()
        elif number == signal.SIGUSR2:
            self._start_successor(self._held)  # now: a SIGTERM may have come with it
        elif number == signal.SIGTTIN:
            if len(self._places) < _MOST:
                self._places.append(Place(number=len(self._places) + 1))
        elif len(self._places) > 1:
            self._remove(self._places[-1])

    def _restart(self) -> None:
        """Replaces all workers, one after the other."""
        self._told = False
        self._manager.reloading()
        try:
            config, self._work, self._certificates = self._renew(self._certificates)
        except (SecureError, ValueError) as exc:
            log.error("No worker was restarted: %s", exc)
            return  # _look_after notifies the manager that it serves
        self._certificates.share()
        self._resize(config.workers - self._config.workers)
        self._config = config
        for coming in self._coming.values():  # they have the old configuration, or hang
            self._retire(coming, signal.SIGTERM)
        self._coming.clear()
        self._failures, self._try_at = 0, 0.0
        self._rolling = [place for place in self._places if place.pid]

    def _resize(self, more: int) -> None:
        self._places += [Place() for _ in range(min(more, _MOST - len(self._places)))]
        for place in self._places[len(self._places) + min(more, 0) :]:
            if len(self._places) > 1:
                self._remove(place)

    def _remove(self, place: Place) -> None:
        self._places.remove(place)
        if place in self._rolling:
            self._rolling.remove(place)
        if (coming := self._coming.pop(place, None)) is not None:
            self._retire(coming, signal.SIGTERM)
        self._retire(place, RETIRE if place.ready else signal.SIGTERM)

    # -- Another process with the same sockets ------------------------------------------------

    def _hold_address(self) -> list[socket.socket]:
        sockets = super()._hold_address()
        try:
            workers = max(2, self._config.workers)
            self._counting = make_counting(self._config, workers, self._before.legacy.metrics)
        except BindError:
            with closing(sockets):
                raise
        return sockets

    def run(self, *, to_the_end: bool = True) -> int:
        """As Supervisor.run()."""
        try:
            return super().run(to_the_end=to_the_end)
        finally:
            close_counting(self._counting)

    def _find_sockets(self) -> list[socket.socket]:
        if not self._before.pid:
            return super()._find_sockets()
        self._passed = self._before.legacy.passed
        kept, self._dropped = settle(self._config, self._passed, self._before.sockets())
        return kept

    def _start_successor(self, held: list[socket.socket]) -> None:
        if self._successor or self._before.pid:
            which = self._successor or self._before.pid
            log.warning("Ignoring SIGUSR2: process %d already shares these sockets", which)
            return
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ()) - self._deaf_to
        try:
            self._successor = start_successor(held, mask, self._legacy())
        except OSError as exc:
            log.error("Could not start another process: %s", exc.strerror)
            return
        log.info("Started process %d on the same sockets; this one keeps serving", self._successor)

    def _legacy(self) -> Legacy:
        metrics = -1 if self._counting is None else self._counting.memory.fd
        return Legacy(metrics, self._certificates.sessions, self._passed)

    def _note_end(self, pid: int, status: int) -> None:
        if pid and pid == self._successor:
            self._successor = 0
            self._has_strays = True
            code = os.waitstatus_to_exitcode(status)
            log.error("Process %d exited with status %d; this one keeps serving", pid, code)
        super()._note_end(pid, status)

    def _pids_to_reap(self) -> list[int]:
        return [*self._pids(), *([self._successor] if self._successor else [])]

    def _succeed_predecessor(self, held: list[socket.socket]) -> None:
        log.info("Process %d has exited; this one takes its place", self._before.pid)
        self._before = Predecessor()
        self._has_strays = True
        own_files([*held, *self._dropped])
        with closing(self._dropped):
            self._dropped = []
        take_pid_file(self._config.pid)

    def _stop(self) -> None:
        if self._counting is not None and not self._successor:
            self._counting.memory.note_stop()
        if not self._successor:
            super()._stop()
            return
        # The clients' next connections are the successor's, so they are treated as when a worker
        # is replaced.
        self._stopping = True
        self._manager.send(f"MAINPID={self._successor}")
        config = self._config
        self._kill_in(config.graceful_timeout + config.cleanup_timeout + RETIRING + LATE)
        for place in self._records():
            if place.pid:
                _kill(place.pid, RETIRE if place.ready else signal.SIGTERM)

    # -- Replacing --------------------------------------------------------------------------

    def _look_after(self, held: list[socket.socket]) -> None:
        now = time.monotonic()
        self._kill_retired(now)
        if self._before.pid and not self._before.runs():
            self._succeed_predecessor(held)
        if self._has_strays:
            self._has_strays = self._counting is not None and self._counting.memory.clear_strays()
        if self._stopping:
            if self._successor:
                leave_files(held)
            return
        if (interval := self._certificates.interval) and now >= self._look_at:
            self._look_at = now + interval
            self._certificates.look()
        for place in (*self._places, *self._coming.values()):
            if place.pid and not place.ready:
                self._check_start(place, now)
        for place in self._places:
            if place.pid and place.ready:
                self._check_pulse(place, now)
                self._check_limits(place, now)
        for place, coming in list(self._coming.items()):
            if coming.ready:
                self._promote(place, coming)
        while self._rolling and not self._coming:
            place = self._rolling.pop(0)
            if place.pid:
                self._coming[place] = coming = Place(number=place.number)
                self._start(coming, held)
                if not coming.pid:
                    self._come_to_nothing(coming)

    def _kill_retired(self, now: float) -> None:
        for place, kill_at in self._retiring.items():
            if now >= kill_at:
                log.warning("Worker %d did not stop in time and was killed", place.pid)
                self._retiring[place] = now + LATE
                _kill(place.pid, signal.SIGKILL)
        self._tell_ready()

    def _times(self) -> list[float]:
        times = list(self._retiring.values())
        if self._before.pid or self._has_strays:
            times.append(time.monotonic() + _LOOK)
        config = self._config
        limits = (config.max_requests, config.max_lifetime, config.max_rss)
        if self._stopping:
            return times
        if self._certificates.interval:
            times.append(self._look_at)
        if any((config.longest_standstill, *limits)):
            times.append(time.monotonic() + _LOOK)
        if longest := config.longest_start:
            starting = (*self._places, *self._coming.values())
            started = [each.started for each in starting if each.pid and not each.ready]
            times += [max(at + longest, time.monotonic() + 0.1) for at in started]
        return times

    def _promote(self, place: Place, coming: Place) -> None:
        """Gives the worker of `coming`, which is ready, the place of the old one."""
        del self._coming[place]
        self._failures = 0
        old = Place(place.pid, place.started, ready=place.ready, cell=place.cell, slot=place.slot)
        place.pid, place.started, place.ready = coming.pid, coming.started, True
        place.cell, coming.cell = coming.cell, -1
        place.slot, coming.slot = coming.slot, -1
        if self._counting is not None:
            self._counting.memory.note_restart()
        self._requests[place] = self._requests.pop(coming, 0)
        self._stalled.pop(place, None)
        if old.pid:
            log.info("Worker %d takes the place of worker %d", place.pid, old.pid)
            self._retire(old, RETIRE if old.ready else signal.SIGTERM)

    def _come_to_nothing(self, coming: Place) -> None:
        """Leaves the old workers in their places, and is in no hurry to try again."""
        self._coming = {old: new for old, new in self._coming.items() if new is not coming}
        self._rolling.clear()
        self._failures += 1
        self._try_at = time.monotonic() + pause_after(self._failures)

    def _retire(self, place: Place, number: int) -> None:
        """Asks the worker in `place`, which is no longer one of the places, to end."""
        self._forget(place)
        if place.pid:
            config = self._config
            patience = config.longest_stop + RETIRING + LATE
            self._retiring[place] = time.monotonic() + patience
            _kill(place.pid, number)

    # -- Reasons ----------------------------------------------------------------------------

    def _make_up_for(self, seconds: float) -> None:
        super()._make_up_for(seconds)
        if seconds >= STOPPED:
            self._awake = time.monotonic()
            self._stalled.clear()
            self._retiring = {place: at + seconds for place, at in self._retiring.items()}

    def _check_pulse(self, place: Place, now: float) -> None:
        """Replaces a worker whose loop stands still, after its stacks have been written."""
        timeout = self._config.longest_standstill
        pulse = self._cells.pulse(place.cell)
        if not timeout or not pulse or now - max(pulse, self._awake) < timeout:
            self._stalled.pop(place, None)
        else:
            words = "its event loop has stood still for %.1f seconds; it is replaced"
            self._end_stalled(place, now, words % (now - pulse))

    def _check_start(self, place: Place, now: float) -> None:
        """Ends a worker that isn't ready in time, which others may be waiting for."""
        timeout = self._config.longest_start
        if timeout and now - max(place.started, self._awake) >= timeout:
            words = "it did not start within %g seconds and will be killed"
            self._end_stalled(place, now, words % timeout)

    def _end_stalled(self, place: Place, now: float, words: str) -> None:
        """Kills a worker after its stacks have been written."""
        if place not in self._stalled:
            self._stalled[place] = now
            log.error("Worker %d: %s", place.pid, words)
            if stacks.SIGNAL:
                _kill(place.pid, stacks.SIGNAL)
        elif now - self._stalled[place] >= _STACKS_TIME:
            _kill(place.pid, signal.SIGKILL)

    def _check_limits(self, place: Place, now: float) -> None:
        if now < self._try_at or place in self._coming or place in self._rolling:
            return
        config = self._config
        requests, lived = self._cells.requests(place.cell), now - place.started
        if config.max_requests and requests >= self._requests[place]:
            reason = f"has had {requests} requests"
        elif config.max_lifetime and lived >= config.max_lifetime:
            reason = f"has lived for {lived:.0f} seconds"
        elif config.max_rss and (size := resident_size(place.pid)) >= config.max_rss:
            reason = f"has {size} bytes of memory"
        else:
            return
        log.info("Worker %d %s; replacing it", place.pid, reason)
        self._rolling.append(place)

    # -- What the supervisor does otherwise ---------------------------------------------------

    def _tell_ready(self) -> None:
        if not (self._rolling or self._coming):
            super()._tell_ready()

    def _records(self) -> list[Place]:
        return [*self._places, *self._coming.values(), *self._retiring]

    def _start(self, place: Place, held: list[socket.socket]) -> None:
        self._forget(place)
        place.cell = self._cells.take()
        if self._counting is not None:
            place.slot = self._counting.memory.take()
            if place.starts:
                self._counting.memory.note_restart()
        config = self._config
        self._requests[place] = config.max_requests + random.randint(0, config.max_requests_jitter)
        super()._start(place, held)
        if not place.pid:
            self._give_back(place)

    def _counting_of(self, place: Place) -> Counting | None:
        return self._counting and dataclasses.replace(self._counting, slot=place.slot)

    def _cell_of(self, place: Place) -> memoryview | None:
        return self._cells.view(place.cell)

    def _may_start(self, place: Place) -> bool:
        return super()._may_start(place) and place not in self._coming

    def _ended(self, place: Place, status: int) -> None:
        pid = place.pid
        if place in self._retiring:
            del self._retiring[place]
            place.pid = 0
            self._give_back(place)
            log.info("Worker %d has ended", pid)
            return
        self._forget(place)
        self._give_back(place)
        if place in self._places:
            super()._ended(place, status)
            return
        self._come_to_nothing(place)
        if not self._stopping:
            words = "Worker %d exited with status %d before it was ready; the others stay"
            log.error(words, pid, status)

    def _forget(self, place: Place) -> None:
        self._stalled.pop(place, None)
        self._requests.pop(place, None)

    def _give_back(self, place: Place) -> None:
        if place.cell >= 0:
            self._cells.give_back(place.cell)
            place.cell = -1
        if self._counting is not None:
            self._counting.memory.give_back(place.slot)
            place.slot = -1


def _commands_of_ours() -> tuple[int, ...]:
    """The signals that are commands, except those for which the app or its parent has a use."""
    numbers = [getattr(signal, name) for name in _COMMANDS if hasattr(signal, name)]
    return tuple(number for number in numbers if signal.getsignal(number) in OURS)


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
