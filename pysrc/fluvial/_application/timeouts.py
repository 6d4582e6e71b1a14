"""How long the responses of a route may take."""

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


def timeout_of(options: Mapping[str, Any]) -> int | None:
    """The milliseconds of a route's `timeout`, 1 at least; 0 stands for no limit, None for the
    server's.
    """
    seconds: float | None = options.get("timeout")
    if not seconds:
        return None if seconds is None else 0
    return max(1, round(seconds * 1000))
