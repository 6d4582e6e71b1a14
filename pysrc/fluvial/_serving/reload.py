"""Reloading: a program is restarted when one of its files changes."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

from .supervisor import Supervisor, Work

if TYPE_CHECKING:
    import socket

    from .config import Config
    from .manager import ServiceManager
    from .watched_files import WatchedFiles

log = logging.getLogger("fluvial")
_SHOWN = 3  # changed files that a line names


class Reloader(Supervisor):
    """Runs `work(sockets, supervised)` in one process, and again after each change of `files`.

    The address is bound and listened on once: clients that connect during a restart wait. A program
    that can't start, because of a syntax error for example, is tried again after the next change. A
    separate process watches the files, because this one forks and must not have threads.
    """

    def __init__(
        self, config: Config, work: Work, files: WatchedFiles, manager: ServiceManager | None = None
    ) -> None:
        super().__init__(config, work, manager)
        self._files = files
        self._wanted = True  # whether to start the program, now or when the old one has ended
        self._changes = os.pipe()
        self._unread = b""  # the beginning of a line
        self._watcher = 0
        self._watched_fds = (self._changes[0],)

    def run(self, *, to_the_end: bool = True) -> int:
        """Serves until a signal asks to stop. Raises: BindError when the address can't be bound."""
        os.set_blocking(self._changes[0], False)
        parent = os.getpid()
        self._watcher = self._start_watcher()
        try:
            return super().run(to_the_end=to_the_end)
        finally:
            if self._watcher and os.getpid() == parent:  # not in a child, which leaves here, too
                os.kill(self._watcher, signal.SIGKILL)
                os.waitpid(self._watcher, 0)
            for fd in self._changes:
                os.close(fd)

    # -- The watcher ------------------------------------------------------------------------

    def _start_watcher(self) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._watch()
        return pid

    def _watch(self) -> NoReturn:
        """Runs in the watcher process: writes a line for each batch of changes, a JSON list of
        paths."""
        status = 1
        try:
            os.setpgid(0, 0)  # a Ctrl+C is for the parent
            for fd in (self._lifeline[1], self._changes[0]):
                os.close(fd)
            self._files.watch(self._changes[1], self._lifeline[0])
            status = 0
        except BaseException:
            log.exception("Can't watch files for changes")
        os._exit(status)

    # -- Changes ----------------------------------------------------------------------------

    def _note_ready(self) -> None:
        super()._note_ready()
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._changes[0], 65536):
                *lines, self._unread = (self._unread + piece).split(b"\n")
                self._changed(sorted({path for line in lines for path in json.loads(line)}))

    def _changed(self, paths: list[str]) -> None:
        if self._stopping or not paths:
            return
        names = [os.path.relpath(path) for path in paths[:_SHOWN]]
        more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        log.info("%s%s changed; starting again", ", ".join(names), more)
        self._wanted = True
        self._told = False
        self._manager.reloading()
        if self._pids():
            self._kill_in(self._config.graceful_timeout + self._config.cleanup_timeout)
            self._signal_workers(signal.SIGTERM)

    # -- Methods that replace the supervisor's ---------------------------------------------------

    def _may_start(self, place: Any) -> bool:
        return self._wanted and not (place.pid or self._stopping)

    def _start(self, place: Any, held: list[socket.socket]) -> None:
        self._wanted = False
        super()._start(place, held)

    def _is_over(self) -> bool:
        return self._stopping and not self._pids()

    def _note_end(self, pid: int, status: int) -> None:
        if pid == self._watcher:
            self._watcher = 0
        super()._note_end(pid, status)

    def _ended(self, place: Any, status: int) -> None:
        place.pid = 0
        if self._stopping:
            return
        self._kill_at = 0.0
        place.due = time.monotonic()
        if not self._wanted:
            log.error(
                "The program ended with status %d; it starts again when a file changes", status
            )
