"""Which thread Python's signal handlers run in."""

from __future__ import annotations

import signal


def hears_signals() -> bool:
    """Whether this is the main thread of the main interpreter.

    `threading.main_thread()` doesn't tell: in a sub-interpreter, it is only the first thread that
    ran there.
    """
    try:
        signal.signal(signal.SIGINT, None)  # always refused; the kind of error gives the result
    except TypeError:
        return True
    except ValueError:
        pass
    return False
