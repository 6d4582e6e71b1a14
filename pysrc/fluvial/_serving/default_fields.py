"""Header fields that the operator adds to all responses, in the form that C takes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .._messages.framing import FRAMING_FIELDS
from .._messages.header_fields import TEXT_TOKEN

Fields = tuple[bytes, bool, bool]  # lines, whether there is no Server, and no Date

_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def read_field(field: Any) -> str:
    """A field as "name: value", of "NAME:VALUE" or (name, value).

    Raises: TypeError or ValueError when it is none, or one that is the server's.
    """
    if isinstance(field, tuple | list) and len(field) == 2:
        name, value = field
        colon = ":"
    elif isinstance(field, str):
        name, colon, value = field.partition(":")
    else:
        raise TypeError(f"header must have the form NAME:VALUE, not {field!r}")
    name, value = str(name).strip().lower(), str(value).strip(" \t")
    if not colon or not TEXT_TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ValueError(
            f"header must have the form NAME:VALUE, such as X-Frame-Options:DENY, not {field!r}"
        )
    if name in FRAMING_FIELDS:
        raise ValueError(f"header can't be {name}: the server sets it itself")
    return f"{name}: {value}"


def make_fields(fields: Iterable[str], server: bool, date: bool) -> Fields:
    """What C takes. A field that is added takes the place of the server's own of that name."""
    lines = [read_field(field) for field in fields]
    names = {line.partition(":")[0] for line in lines}
    text = "".join(f"{line}\r\n" for line in lines)
    return text.encode("latin-1"), not server or "server" in names, not date or "date" in names
