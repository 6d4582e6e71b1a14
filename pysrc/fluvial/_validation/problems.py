"""The errors in a 422 response, with pydantic 2's type names and messages, as in FastAPI."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
Loc = tuple[str | int, ...]
Problem = dict[str, Any]


def problem(kind: str, loc: Loc, msg: str, value: Any, **ctx: Any) -> Problem:
    """Makes one entry of `detail`."""
    entry: Problem = {"type": kind, "loc": loc, "msg": msg, "input": value}
    if ctx:
        entry["ctx"] = ctx
    return entry


def missing(loc: Loc, value: Any = None) -> Problem:
    """The problem of an absent required field; `value` is the object that should contain it."""
    return problem("missing", loc, "Field required", value)


class Failed(Exception):
    """Raised by a conversion that refuses a value; it doesn't know the `loc` of the value."""

    def __init__(self, kind: str, msg: str, **ctx: Any) -> None:
        super().__init__(msg)
        self.kind = kind
        self.msg = msg
        self.ctx = ctx

    def at(self, loc: Loc, value: Any) -> Problem:
        """Makes the problem of the value at `loc`."""
        return problem(self.kind, loc, self.msg, value, **self.ctx)


_LIMITS: dict[str, tuple[str, str, Callable[[Any, Any], bool]]] = {
    "gt": ("greater_than", "greater than", lambda value, limit: value > limit),
    "ge": ("greater_than_equal", "greater than or equal to", lambda value, limit: value >= limit),
    "lt": ("less_than", "less than", lambda value, limit: value < limit),
    "le": ("less_than_equal", "less than or equal to", lambda value, limit: value <= limit),
}


def check_number(value: T, limits: Any) -> T:
    """Returns `value`. Raises: Failed when it violates one of `limits`."""
    step = limits.multiple_of
    if step is not None and value % step:
        raise Failed("multiple_of", f"Input should be a multiple of {step}", multiple_of=step)
    for name in ("le", "lt", "ge", "gt"):
        limit = getattr(limits, name)
        kind, words, holds = _LIMITS[name]
        if limit is not None and not holds(value, limit):
            raise Failed(kind, f"Input should be {words} {_number(limit)}", **{name: limit})
    return value


def check_text(value: str, limits: Any) -> str:
    """Returns `value`. Raises: Failed when it violates `min_length`, `max_length` or `pattern`."""
    import re

    least, most, pattern = limits.min_length, limits.max_length, limits.pattern
    if least is not None and len(value) < least:
        msg = f"String should have at least {least} character{_plural(least)}"
        raise Failed("string_too_short", msg, min_length=least)
    if most is not None and len(value) > most:
        msg = f"String should have at most {most} character{_plural(most)}"
        raise Failed("string_too_long", msg, max_length=most)
    if pattern is not None and not re.search(pattern, value):
        msg = f"String should match pattern '{pattern}'"
        raise Failed("string_pattern_mismatch", msg, pattern=pattern)
    return value


def check_length(count: int, name: str, least: int | None, most: int | None) -> None:
    """Checks a collection's number of items. Raises: Failed when it is below `least` or above
    `most`."""
    if least is not None and count < least:
        kind, words, bounds = "too_short", f"at least {least}", {"min_length": least}
    elif most is not None and count > most:
        kind, words, bounds = "too_long", f"at most {most}", {"max_length": most}
    else:
        return
    limit = next(iter(bounds.values()))
    msg = f"{name} should have {words} item{_plural(limit)} after validation, not {count}"
    raise Failed(kind, msg, field_type=name, **bounds, actual_length=count)


def one_of(values: Iterable[Any]) -> str:
    """The values as a text like "'a', 'b' or 3"."""
    *first, last = [repr(value) for value in values]
    return f"{', '.join(first)} or {last}" if first else last


def _plural(count: int) -> str:
    return "" if count == 1 else "s"


def _number(limit: Any) -> str:
    return str(int(limit)) if isinstance(limit, float) and limit.is_integer() else str(limit)
