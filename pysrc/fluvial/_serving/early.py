"""SIGINT and SIGTERM while the command is still importing what it consists of.

Python has no handler for SIGTERM, and the kernel gives the first process of a container no signal
for which it has none: a `docker stop` at that moment would be lost. SIGINT would leave a traceback.
This module is the first that `fluvial/__init__.py` imports, and imports little itself.

The garbage collector rests meanwhile: modules, classes and functions stay, and to look through them
again and again takes a twentieth of the time.
"""

import gc
import os
import signal
import sys
from types import FrameType
from typing import Any

_HANDLERS: dict[signal.Signals, Any] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}


def is_command() -> bool:
    """Whether this process is `fluvial` or `python -m fluvial`, not a program that imports it."""
    # sys.argv is the end of sys.orig_argv; but "-m" is its first while the package is imported.
    at = len(sys.orig_argv) - len(sys.argv)
    if at < 1 or sys.argv[0] not in ("-m", sys.orig_argv[at]):
        return False
    return os.path.basename(sys.orig_argv[at]) == "fluvial"


def end_on_signals() -> None:
    """Ends the process at SIGINT or SIGTERM, until `leave_signals` or other handlers are set."""
    for number, default in _HANDLERS.items():
        if signal.getsignal(number) is default:
            signal.signal(number, _end)


def leave_signals() -> None:
    """Restores Python's own handlers, for commands that don't serve."""
    for number, default in _HANDLERS.items():
        if signal.getsignal(number) is _end:
            signal.signal(number, default)


def imported() -> None:
    """Has the garbage collector work again, if it rests for our sake."""
    if _RESTS:
        gc.enable()


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(130 if number == signal.SIGINT else 0)  # as if a startup had been interrupted


_RESTS = is_command() and gc.isenabled()
if is_command():
    end_on_signals()
if _RESTS:
    gc.disable()
