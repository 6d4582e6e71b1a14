"""The access log's lines for Python: for the `logging` module, or for syslog.

C writes them to a pipe, and drops and counts them when it is full, as with any slow reader of the
log. A thread reads the pipe, so that no handler of the user's keeps the event loop waiting.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import socket
import sys
import threading
from collections.abc import Callable

_PATIENCE = 3.0  # seconds; for the last lines, when the server stops

# How the plain layout begins, which has no other place for the level.
_LEVELS = {b"INFO:     ": logging.INFO, b"WARNING:  ": logging.WARNING}

Emit = Callable[[int, str], None]


class LogLines:
    """A pipe, and the thread that passes each line in it to `emit(level, text)`.

    `end` is called after the last one.
    """

    def __init__(self, emit: Emit, end: Callable[[], None] | None = None) -> None:
        self._emit = emit
        self._end = end
        self._reader, self.fd = os.pipe()
        self._thread = threading.Thread(target=self._read, name="access log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Waits for what is in the pipe, if the C server has closed its end, but not for long."""
        os.close(self.fd)
        self._thread.join(_PATIENCE)

    def _read(self) -> None:
        with open(self._reader, "rb") as lines:
            for line in lines:
                level = _LEVELS.get(line[:10], logging.INFO)
                text = line[10:] if line[:10] in _LEVELS else line
                try:
                    self._emit(level, text.decode("utf-8", "backslashreplace").rstrip("\n"))
                except Exception:  # of a filter, for example; the next lines arrive all the same
                    logging.getLogger("fluvial").exception("A line of the access log is lost")
        if self._end is not None:
            self._end()


def lines_for(syslog: str | tuple[str, int] | None) -> LogLines:
    """Lines for a syslog daemon (a Unix socket's path, or host and port), or for `logging`."""
    if syslog is None:
        return LogLines(to_logging)
    handler = _SyslogHandler(syslog)
    return LogLines(handler.send, handler.close)


def to_logging(level: int, text: str) -> None:
    """Passes a line to the logger "fluvial.access"."""
    logging.getLogger("fluvial.access").log(level, text)


class _SyslogHandler(logging.handlers.SysLogHandler):
    """Says once that lines don't arrive, and once how many there were."""

    def __init__(self, address: str | tuple[str, int]) -> None:
        facility = logging.handlers.SysLogHandler.LOG_DAEMON
        super().__init__(address, facility, socket.SOCK_DGRAM)
        self.setFormatter(logging.Formatter(f"fluvial[{os.getpid()}]: %(message)s"))
        self.append_nul = False
        self._lost = 0

    def send(self, level: int, text: str) -> None:
        """Sends a line."""
        before = self._lost
        self.emit(logging.LogRecord("fluvial.access", level, "", 0, text, (), None))
        if before and self._lost == before:
            logging.getLogger("fluvial").warning("Access log: syslog lost %d lines", before)
            self._lost = 0

    def handleError(self, record: logging.LogRecord) -> None:
        """Counts a line that could not be sent."""
        if not self._lost:
            words = "Access log: syslog at %s doesn't take lines: %s"
            logging.getLogger("fluvial").error(words, self.address, sys.exc_info()[1])
        self._lost += 1
