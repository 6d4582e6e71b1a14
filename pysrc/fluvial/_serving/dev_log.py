"""The development server's log: colours on a terminal, and tracebacks of the user's own code."""

from __future__ import annotations

import logging
import os
import sys
import traceback

from .._messages.error_page import is_users

_COLOURS = {"DEBUG": 36, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 35}


class UsersFrames(logging.Filter):
    """Reduces a record's traceback to the frames of the user's code, and counts the others.

    A traceback without any is left as it is.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: the record is only changed."""
        if record.exc_info and (exc := record.exc_info[1]) is not None:
            record.exc_text = users_traceback(exc)
        return True


def users_traceback(exc: BaseException) -> str:
    """The traceback of `exc` and of what it was raised from, with the frames of the user's code."""
    whole = traceback.TracebackException.from_exception(exc)
    hidden = 0
    part: traceback.TracebackException | None = whole
    while part is not None:
        own = [frame for frame in part.stack if is_users(frame.filename)]
        if own:
            hidden += len(part.stack) - len(own)
            part.stack = traceback.StackSummary.from_list(own)
        part = part.__cause__ or (None if part.__suppress_context__ else part.__context__)
    text = "".join(whole.format()).rstrip("\n")
    return f"{text}\n  ({hidden} frames of libraries are not shown)" if hidden else text


class _Coloured(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        colour = _COLOURS.get(record.levelname)
        text = super().formatMessage(record)
        if colour is None:
            return text
        return text.replace(record.levelname, f"\033[{colour}m{record.levelname}\033[0m", 1)


def colour_log() -> None:
    """Colours the levels of our log where stderr is a terminal, unless NO_COLOR is set.

    See https://no-color.org.
    """
    if os.environ.get("NO_COLOR") or not sys.stderr.isatty():
        return
    for handler in logging.getLogger("fluvial").handlers:
        if (formatter := handler.formatter) is not None:
            handler.setFormatter(_Coloured(formatter._fmt))
