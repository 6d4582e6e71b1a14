"""Several processes on one address: a parent that only starts, watches and stops workers.

Each worker binds the port itself with SO_REUSEPORT, so that the kernel spreads connections; a Unix
socket is bound once and inherited. The parent has no loop and no threads, so forking is safe.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from ._sockets import bind, bind_tcp

if TYPE_CHECKING:
    from ._config import Config

log = logging.getLogger("fluvial")
START_FAILED = 3  # the exit status of a worker whose app could not start
_EARLY = 1.0  # seconds; a worker that ends sooner than this isn't started again at once
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Work = Callable[[list[socket.socket], int], int]


class Supervisor:
    """Runs `work(sockets, lifeline)` in `config.workers` processes; its result is the exit status.

    The lifeline is the read end of a pipe that nobody writes to: it ends with the parent, however
    that ends, so that no worker is left behind.
    """

    def __init__(self, config: Config, work: Work) -> None:
        self._config = config
        self._work = work
        self._started: dict[int, float] = {}
        self._stopping = False
        self._status = 0
        self._lifeline = os.pipe()

    def run(self) -> int:
        """Returns the exit status when all workers have ended. Raises: BindError."""
        held = self._hold_address()
        try:
            for number in _SIGNALS:
                signal.signal(number, self._forward)
            for _ in range(self._config.workers):
                self._start(held)
            while self._started:
                self._reap(held)
        finally:
            for sock in held:
                sock.close()
            for fd in self._lifeline:
                os.close(fd)
        return self._status

    def _hold_address(self) -> list[socket.socket]:
        """Sockets that keep the address ours. Raises: BindError when another has it."""
        config = self._config
        if config.uds is not None:
            return bind(config)
        for sock in bind_tcp(config.host, config.port):
            sock.close()  # free: without SO_REUSEPORT another's port shows
        return bind_tcp(config.host, config.port, shared=True)

    def _start(self, held: list[socket.socket]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os._exit(self._run_worker(held))
        self._started[pid] = time.monotonic()
        log.info("worker %d started", pid)

    def _run_worker(self, held: list[socket.socket]) -> int:
        """The child: never returns into the parent's code.

        Its process group is its own, so that Ctrl+C reaches it once: from the parent.
        """
        os.setpgid(0, 0)
        os.close(self._lifeline[1])
        for number in _SIGNALS:
            signal.signal(number, signal.default_int_handler if number == 2 else signal.SIG_DFL)
        try:
            sockets = held
            if self._config.uds is None:
                port = held[0].getsockname()[1]
                sockets = bind_tcp(self._config.host, port, shared=True)
                for sock in held:
                    sock.close()
            status = self._work(sockets, self._lifeline[0])
        except BaseException:
            log.exception("worker %d failed", os.getpid())
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        return status

    def _reap(self, held: list[socket.socket]) -> None:
        pid, wait_status = os.wait()
        lived = time.monotonic() - self._started.pop(pid, 0.0)
        status = os.waitstatus_to_exitcode(wait_status)
        if self._stopping:
            return
        if status == START_FAILED or (status != 0 and lived < _EARLY):
            log.error("worker %d ended at once with status %d: giving up", pid, status)
            self._status = status if status > 0 else 1
            self._stop(signal.SIGTERM)
            return
        log.warning("worker %d ended with status %d: starting another", pid, status)
        self._start(held)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self._stop(signal.Signals(number))

    def _stop(self, number: signal.Signals) -> None:
        self._stopping = True
        for pid in self._started:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
