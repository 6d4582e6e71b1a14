"""Where the access log's lines go. C writes them, in a thread of its own (log_writer.c)."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from .access_format import is_json, read_format
from .standard_descriptors import descriptor_of

if TYPE_CHECKING:
    from .. import _core
    from .config import Config
    from .log_lines import LogLines

log = logging.getLogger("fluvial")

STDOUT, LOGGING, SYSLOG = "-", "logging", "syslog"
_DAEMON = "/dev/log"
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY


class AccessLogError(Exception):
    """The access log can't be opened; the message says why."""


class AccessLog:
    """The access log of one server; `worker` is the number of its process."""

    def __init__(self, config: Config, worker: int = 0) -> None:
        self._config = config
        self._worker = worker
        self._fd = -1  # owned
        self._lines: LogLines | None = None

    @property
    def is_on(self) -> bool:
        """Whether there are lines at all. They have the level "info"."""
        return self._config.access_log and self._config.log_level in ("info", "debug")

    def open(self) -> None:
        """Opens what the lines are written to. Raises: AccessLogError when it can't be opened."""
        where = self._config.access_log_file
        if not self.is_on or where == STDOUT:
            return
        try:
            if is_file(where):
                self._fd = os.open(where, _APPEND, 0o640)
            else:
                from .log_lines import lines_for  # slow to import, and seldom needed

                self._lines = lines_for(syslog_address(where))
        except OSError as exc:
            raise AccessLogError(f"can't open the access log {where!r}: {exc.strerror}") from exc

    def options(self) -> dict[str, Any]:
        """The arguments of the C server, which duplicates the descriptor."""
        if not self.is_on:
            return {}
        text = self._config.access_logformat
        options: dict[str, Any] = {"access_log": self._descriptor()}
        if (pieces := read_format(text)) is not None:
            options["access_format"] = (is_json(text), self._worker, pieces)
        return options

    def _descriptor(self) -> int:
        if self._lines is not None:
            return self._lines.fd
        return descriptor_of("stdout") if self._config.access_log_file == STDOUT else self._fd

    def reopen(self, server: _core.Server | None) -> None:
        """Opens the file anew: it may have been renamed. `server` is None before the start."""
        if self._fd < 0:
            return
        before = self._fd
        try:
            self.open()
            if server is not None:
                server.reopen_log(self._fd)
        except (AccessLogError, OSError) as exc:
            log.error("The access log was not reopened: %s", exc)
        else:
            log.info("Reopened the access log")
        if self._fd != before:
            os.close(before)

    def close(self) -> None:
        """Closes what open() has opened; the C server has its own."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._lines is not None:
            self._lines.close()
            self._lines = None


def is_file(where: str) -> bool:
    """Whether `access_log_file` names a file, which can be opened anew."""
    return where not in (STDOUT, LOGGING) and syslog_address(where) is None


def syslog_address(where: str) -> str | tuple[str, int] | None:
    """The address in "syslog", "syslog:/dev/log" or "syslog:HOST:PORT"; None for other texts.

    Raises: ValueError when the address is none.
    """
    kind, _, rest = where.partition(":")
    if kind != SYSLOG:
        return None
    if not rest:
        return _DAEMON
    if rest.startswith("/"):
        return rest
    host, _, port = rest.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(
            "access_log_file takes syslog:/dev/log or syslog:HOST:PORT; a file of that name is "
            f"./syslog. It is {where!r}"
        )
    return host.strip("[]"), int(port)
