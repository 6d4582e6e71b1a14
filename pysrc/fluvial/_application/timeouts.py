"""When the handlers of a route are ended: after its timeout, or when the client leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST = 2**32 - 1  # milliseconds, C's


def check_timeout(seconds: object, where: str) -> None:
    """Raises: TypeError or ValueError unless it is None or a number of seconds that C can hold."""
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{where}: timeout must be a number of seconds, not {seconds!r}")
    if not 0 <= seconds <= LONGEST / 1000:
        raise ValueError(
            f"{where}: timeout must be from 0 to {LONGEST // 1000} seconds, not {seconds!r}"
        )


def ends_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """A plan's `timeout` and `cancel`, from a route's options.

    The timeout is in milliseconds, 1 at least; 0 stands for no limit. None stands for the server's.
    """
    seconds: float | None = options.get("timeout")
    timeout = None if seconds is None else max(1, round(seconds * 1000)) if seconds else 0
    return {"timeout": timeout, "cancel": options.get("cancel_on_disconnect")}
