"""SIGUSR1, which asks for log files to be opened anew after they were renamed."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from .._loop.main_thread import hears_signals
from .access_log import is_file
from .signals import OURS

if TYPE_CHECKING:
    from .._loop import Loop
    from .config import Config
    from .server import Service

REOPEN = getattr(signal, "SIGUSR1", None)


def has_file(config: Config) -> bool:
    """Whether there is a file to be opened."""
    return config.access_log and is_file(config.access_log_file)


def is_free() -> bool:
    """Whether there is such a signal, of which neither the app nor its parent makes use."""
    return REOPEN is not None and signal.getsignal(REOPEN) in OURS


@contextlib.contextmanager
def reopening(loop: Loop, config: Config, service: Service) -> Iterator[None]:
    """Listens to the signal, if there is a file, unless the app or its parent has a use for it."""
    if not hears_signals() or not has_file(config) or not is_free():
        yield
        return
    assert REOPEN is not None

    def reopen(number: int, frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(service.reopen_logs)

    OURS.append(reopen)
    before = signal.signal(REOPEN, reopen)
    try:
        yield
    finally:
        if signal.getsignal(REOPEN) is reopen:
            signal.signal(REOPEN, before)
        OURS.remove(reopen)
