"""The server's log: the logger "fluvial" and those below it, on stderr."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import sys

logger = logging.getLogger("fluvial")

# A pipe that is ready takes this many bytes in one write (at least 512, by POSIX).
_AT_ONCE = getattr(select, "PIPE_BUF", 512)
_PATIENCE_MS = 50


class NonBlockingHandler(logging.Handler):
    """Writes records to stderr; drops and counts those that stderr doesn't accept.

    A server must keep serving, and must be able to stop, even if nobody reads its log.
    """

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._dropped = 0
        self._broken = False  # the last line was written only in part

    def emit(self, record: logging.LogRecord) -> None:
        """Waits for at most _PATIENCE_MS, and not at all after a record has been dropped."""
        try:
            text = self.format(record) + "\n"
            if self._dropped:
                text = f"{self._dropped} log records dropped\n{text}"
            if self._broken:
                text = f"\n{text}"
            self._write(text.encode("utf-8", "backslashreplace"))
        except Exception:
            self.handleError(record)

    def _write(self, data: bytes) -> None:
        done = 0
        try:
            sys.stderr.flush()
            fd = sys.stderr.fileno()
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            while done < len(data) and self._is_ready(poll):
                with contextlib.suppress(BlockingIOError):
                    done += os.write(fd, data[done : done + _AT_ONCE])
        except OSError:  # a full disk, or a reader that is gone
            # logging's report of it would stay in sys.stderr, and since 3.14 be the exit status.
            pass
        if done < len(data):
            self._dropped += 1
            self._broken = self._broken or done > 0
        else:
            self._dropped, self._broken = 0, False

    def _is_ready(self, poll: select.poll) -> bool:
        found = poll.poll(0 if self._dropped else _PATIENCE_MS)
        return any(events & select.POLLOUT for _, events in found)


class LogConfigError(ValueError):
    """The file of --log-config can't be used; the message says why."""


def configure(level: str, file: str | None = None) -> None:
    """Sends the log to stderr, unless the app or `file` has set up handlers for it.

    `file` is a dict for logging.config.dictConfig(), as JSON or TOML. A level of its own for the
    logger "fluvial" takes the place of `level`.

    Raises: LogConfigError when `file` can't be read or isn't such a dict.
    """
    if file is not None:
        before = logger.level
        logger.setLevel(logging.NOTSET)
        try:
            _apply(file)
        except LogConfigError:
            logger.setLevel(before)
            raise
    if file is None or logger.level == logging.NOTSET:
        logger.setLevel(level.upper())
    if logger.handlers or logging.getLogger().handlers:
        return
    handler: logging.Handler = logging.StreamHandler()
    if _is_the_process_s_own():
        handler = NonBlockingHandler()
        logging.lastResort = NonBlockingHandler(logging.WARNING)  # asyncio's, for example
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False


def _apply(file: str) -> None:
    import json  # these three are slow to import, and seldom needed
    import logging.config
    import tomllib

    try:
        with open(file, "rb") as source:
            read = tomllib.load if file.endswith(".toml") else json.load
            found = read(source)
        if not isinstance(found, dict):
            raise ValueError('it must be an object, such as {"root": …}')
        # Loggers that exist already, ours among them, go on, unless the file says otherwise.
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False} | found)
    except OSError as exc:
        raise LogConfigError(f"can't read {exc.filename or file}: {exc.strerror}") from exc
    except (ValueError, TypeError, AttributeError, ImportError) as exc:
        cause = f" ({exc.__cause__})" if exc.__cause__ is not None else ""
        raise LogConfigError(f"--log-config {file}: {exc}{cause}") from exc


def _is_the_process_s_own() -> bool:
    """Whether sys.stderr is still the stream that the process started with."""
    own = sys.__stderr__
    try:
        return own is not None and sys.stderr is own and own.fileno() == 2
    except OSError:
        return False
