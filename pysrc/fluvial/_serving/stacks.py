"""Writing the Python stacks of all threads to stderr, also while code keeps the GIL."""

from __future__ import annotations

import contextlib
import faulthandler
import signal

from .standard_descriptors import descriptor_of

# The signal that makes a process of ours write its stacks; see also stop_guard.c for others taken.
SIGNAL = signal.SIGRTMAX - 3 if hasattr(signal, "SIGRTMAX") else 0


def enable() -> int:
    """Installs the handler of `SIGNAL`; returns the signal, or 0 where there is none.

    The handler is faulthandler's. It runs in C and takes no lock, so it needs no cooperation.
    """
    descriptor = descriptor_of("stderr")
    if not SIGNAL or descriptor < 0:
        return 0
    with contextlib.suppress(OSError, RuntimeError):
        faulthandler.register(SIGNAL, file=descriptor, all_threads=True)
        return SIGNAL
    return 0
