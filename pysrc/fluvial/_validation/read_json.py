"""JSON from clients: msgspec's decoder, and the standard library's for what that refuses.

Whatever is wrong with a text, there is one kind of exception. Beyond RFC 8259 a byte order mark and
NaN are accepted, as Python does. Integers that Python won't convert and lone surrogates, which
can't be written as UTF-8 again, are refused. See ADR 20.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container
from typing import Any

import msgspec

from ..exceptions import InvalidJSON

# An escape within a string; the group has a surrogate that isn't part of a pair.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
# A string, or a number that may be too long.
_LONG_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|(-?\d{600,})', re.DOTALL)


class Exact(float):
    """A number that remembers how it was written, for those who make a Decimal of it."""

    __slots__ = ("text",)
    __module__ = "builtins"  # pydantic doesn't look for a model's fields in the attributes of those
    text: str

    def __new__(cls, text: str) -> Exact:
        """The number, given its text."""
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __str__(self) -> str:
        return self.text


def read_json(data: bytes | str) -> Any:
    """The value that `data` is. Raises: InvalidJSON when it isn't JSON, or has what is refused."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return read_slowly(data)


def read_slowly(data: bytes | str, *, exact: bool = False) -> Any:
    """As `read_json`, with the standard library's words for what is wrong.

    With `exact` fractions are `Exact`: see `settle`. Raises: InvalidJSON as `read_json` does.
    """
    text = _text(data)
    try:
        value = json.loads(text, parse_float=Exact if exact else None)
    except json.JSONDecodeError as exc:
        raise InvalidJSON(exc.msg, text, exc.pos) from exc
    except RecursionError:
        raise InvalidJSON("Nested too deeply", text, 0) from None
    except ValueError as exc:  # sys.set_int_max_str_digits
        words = str(exc).partition(":")[0]
        raise InvalidJSON(words, text, _long_number(text)) from None
    lone = _lone_surrogate(text)
    if lone is not None:
        raise InvalidJSON("Lone surrogate", text, lone)
    return value


def _text(data: bytes | str) -> str:
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")  # RFC 8259 section 8.1 lets us ignore a byte order mark
    except UnicodeDecodeError as exc:
        doc = data.decode("utf-8-sig", "replace")
        raise InvalidJSON("Invalid UTF-8", doc, exc.start) from exc


def _lone_surrogate(text: str) -> int | None:
    """Where the first surrogate is that has no partner, given valid JSON."""
    if "\\u" not in text:
        return None
    return next((found.start() for found in _ESCAPE.finditer(text) if found[1]), None)


def _long_number(text: str) -> int:
    """Where a number is that has too many digits."""
    for found in _LONG_NUMBER.finditer(text):
        if found[1]:
            try:
                int(found[1])
            except ValueError:
                return found.start()
    return 0


def settle(value: Any, texts: Container[int] = ()) -> Any:
    """`value` with plain floats for what is `Exact` in it; lists, dicts and models are changed.

    Numbers whose ids are in `texts` become texts.
    """
    top = [value]
    pending: list[Any] = [top]
    while pending:
        place = pending.pop()
        items = place.items() if isinstance(place, dict) else enumerate(place)
        for key, item in list(items):
            if type(item) is Exact:
                place[key] = item.text if id(item) in texts else float(item)
            elif isinstance(item, (list, dict)):
                pending.append(item)
            elif hasattr(item, "__pydantic_fields_set__"):
                parts = (item.__dict__, item.__pydantic_extra__)
                pending.extend(part for part in parts if part)
    return top[0]
