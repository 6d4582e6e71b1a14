"""Exceptions that nothing has handled: they are logged, or passed to the test that made the
request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar

log = logging.getLogger("fluvial.error")

# Set in the context of a test client's requests; returns whether the exception was taken.
taker: ContextVar[Callable[[BaseException], bool] | None] = ContextVar("taker", default=None)

# Set by what watches requests; called with each unhandled exception before it is logged.
observer: ContextVar[Callable[[BaseException], None] | None] = ContextVar("observer", default=None)


def is_taken(exc: BaseException | None) -> bool:
    """Offers `exc` to the test that made the request; returns whether it takes the exception."""
    take = taker.get()
    return take is not None and exc is not None and take(exc)


def log_unhandled(text: str, exc: BaseException | None) -> None:
    """Logs `exc` as an error, with its traceback, unless a test takes it."""
    if exc is not None and (observe := observer.get()) is not None:
        observe(exc)
    if not is_taken(exc):
        log.error(text, exc_info=exc)
