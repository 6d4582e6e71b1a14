"""FastAPI's mark of a default, by which a value that was given can be recognised."""

from __future__ import annotations

from typing import Any


class DefaultPlaceholder:
    """A default in FastAPI; here nothing is one, since what wasn't given is None."""

    value: Any


def Default(value: Any) -> Any:  # FastAPI's name
    """The value itself."""
    return value
