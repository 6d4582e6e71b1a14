"""The errors in a 422 response: pydantic's, with the places of the values in the request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

Loc = tuple[str | int, ...]
Problem = dict[str, Any]


def missing(loc: Loc, value: Any = None) -> Problem:
    """The problem of an absent required value; `value` is the object that should contain it."""
    return {"type": "missing", "loc": loc, "msg": "Field required", "input": value}


def problems_of(exc: ValidationError, loc: Loc) -> Sequence[Problem]:
    """The problems in a pydantic error about the value at `loc`."""
    errors: list[Any] = exc.errors(include_url=False)
    return [{**error, "loc": (*loc, *error["loc"])} for error in errors]
