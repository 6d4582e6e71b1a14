"""FastAPI's mark of a default, which tells what was given from what was not."""

from __future__ import annotations

from typing import Any


class DefaultPlaceholder:
    """A default in FastAPI; here nothing is one, since what wasn't given is None."""

    value: Any


def Default(value: Any) -> Any:  # FastAPI's name
    """The value itself."""
    return value
