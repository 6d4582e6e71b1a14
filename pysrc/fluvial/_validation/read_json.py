"""Reads JSON from clients with msgspec's decoder, and with the standard library's if that fails.

Every kind of fault in a text raises InvalidJSON. In addition to RFC 8259, a byte order mark and NaN
are accepted, as in Python. Refused are integers with more digits than Python converts, and lone
surrogates, which can't be encoded as UTF-8. See ADR 20.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container
from typing import Any

import msgspec

from ..exceptions import InvalidJSON

# An escape within a string. The group matches a surrogate that isn't part of a pair.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
# A string, or (as the group) a number that may be too long.
_LONG_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|(-?\d{600,})', re.DOTALL)


class Exact(float):
    """A number that keeps its text, so that a Decimal made of it has all of its digits."""

    __slots__ = ("text",)
    # With from_attributes, pydantic doesn't read a model's fields from instances of builtins.
    __module__ = "builtins"
    text: str

    def __new__(cls, text: str) -> Exact:
        """Makes the number from its text."""
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __str__(self) -> str:
        return self.text


def read_json(data: bytes | str) -> Any:
    """The value of `data`. Raises: InvalidJSON when it isn't JSON, or has something refused."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return read_slowly(data)


def read_slowly(data: bytes | str, *, exact: bool = False) -> Any:
    """As `read_json`, but its errors have the standard library's messages.

    With `exact`, numbers with a fraction or an exponent are `Exact`; `settle` makes them floats.

    Raises: InvalidJSON when `read_json` does.
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
    """The position of the first surrogate without a partner in valid JSON, or None."""
    if "\\u" not in text:
        return None
    return next((found.start() for found in _ESCAPE.finditer(text) if found[1]), None)


def _long_number(text: str) -> int:
    """The position of a number with too many digits."""
    for found in _LONG_NUMBER.finditer(text):
        if found[1]:
            try:
                int(found[1])
            except ValueError:
                return found.start()
    return 0


def settle(value: Any, texts: Container[int] = ()) -> Any:
    """Replaces each `Exact` in `value` by a float; lists, dicts and models are changed in place.

    Numbers whose ids are in `texts` are replaced by their texts. Returns the value.
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
