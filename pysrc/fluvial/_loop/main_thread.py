"""Which thread Python's signal handlers run in."""

from __future__ import annotations

import signal


def hears_signals() -> bool:
    """Whether this is the main thread of the main interpreter: in a sub-interpreter
    `threading.main_thread()` is just the first thread that ran there."""
    try:
        signal.signal(signal.SIGINT, None)  # refused in any case
    except TypeError:
        return True
    except ValueError:
        pass
    return False
