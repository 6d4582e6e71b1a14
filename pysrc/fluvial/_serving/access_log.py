"""Where the access log's lines go. C writes them, in a thread of its own (log_writer.c)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .access_format import is_json, read_format
from .standard_descriptors import descriptor_of

if TYPE_CHECKING:
    from .config import Config

STDOUT = "-"
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY


class AccessLogError(Exception):
    """The access log can't be opened; the message says why."""


class AccessLog:
    """The access log of one server; `worker` is the number of its process."""

    def __init__(self, config: Config, worker: int = 0) -> None:
        self._config = config
        self._worker = worker
        self._fd = -1  # owned

    @property
    def is_on(self) -> bool:
        """Whether there are lines at all. They have the level "info"."""
        return self._config.access_log and self._config.log_level in ("info", "debug")

    def open(self) -> None:
        """Opens the file, if there is one. Raises: AccessLogError."""
        path = self._config.access_log_file
        if not self.is_on or path == STDOUT:
            return
        try:
            self._fd = os.open(path, _APPEND, 0o640)
        except OSError as exc:
            raise AccessLogError(f"can't open the access log {path!r}: {exc.strerror}") from exc

    def options(self) -> dict[str, Any]:
        """The arguments of the C server, which duplicates the descriptor."""
        if not self.is_on:
            return {}
        text = self._config.access_logformat
        fd = descriptor_of("stdout") if self._config.access_log_file == STDOUT else self._fd
        options: dict[str, Any] = {"access_log": fd}
        if (pieces := read_format(text)) is not None:
            options["access_format"] = (is_json(text), self._worker, pieces)
        return options

    def close(self) -> None:
        """Closes what open() has opened; the C server has its own."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
