"""Cookies: reading Cookie, writing Set-Cookie (RFC 6265)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

SameSite = Literal["lax", "strict", "none"]

# RFC 6265 section 4.1.1: a token, and what may stand in a value without quotes.
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_PLAIN_VALUE = re.compile(r"[!#$%&'()*+\-./0-9:<=>?@A-Z\[\]^_`a-z{|}~]*\Z")
_ATTRIBUTE = re.compile(r"[ -:<-~]*\Z")
_ESCAPED = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))", re.DOTALL)


def parse_cookies(header: str) -> dict[str, str]:
    """The pairs of a Cookie header: nothing is refused, the last of a name wins."""
    return dict(cookie_pairs(header))


def cookie_pairs(header: str) -> Iterator[tuple[str, str]]:
    """The pairs of a Cookie header, in their order."""
    for chunk in header.split(";"):
        name, separator, value = chunk.partition("=")
        if not separator:
            name, value = "", chunk
        name, value = name.strip(), value.strip()
        if name or value:
            yield name, _unquote(value)


def cookie_header(
    key: str,
    value: str,
    *,
    max_age: int | None,
    expires: datetime | str | int | None,
    path: str | None,
    domain: str | None,
    secure: bool,
    httponly: bool,
    samesite: SameSite | None,
    partitioned: bool,
) -> str:
    """The value of Set-Cookie.

    Raises: ValueError for a name or an attribute that can't stand in it.
    """
    if not _NAME.match(key):
        raise ValueError(f"{key!r} can't be a cookie's name")
    attributes = {
        "expires": None if expires is None else _expires(expires),
        "Max-Age": max_age,
        "Domain": domain,
        "Path": path,
        "SameSite": samesite,
    }
    parts = [f"{key}={_quote(value)}"]
    for name, given in attributes.items():
        if given is not None:
            if not _ATTRIBUTE.match(str(given)):
                raise ValueError(f"{given!r} can't be a cookie's {name}")
            parts.append(f"{name}={given}")
    flags = {"Secure": secure, "HttpOnly": httponly, "Partitioned": partitioned}
    return "; ".join(parts + [name for name, is_set in flags.items() if is_set])


def _expires(expires: datetime | str | int) -> str:
    if isinstance(expires, str):
        return expires
    from email.utils import format_datetime

    if isinstance(expires, int):
        expires = datetime.now(UTC) + timedelta(seconds=expires)
    return format_datetime(expires.astimezone(UTC), usegmt=True)


def _quote(value: str) -> str:
    """Octal escapes in quotes for what can't stand as it is: http.cookies' convention."""
    if _PLAIN_VALUE.match(value):
        return value
    return '"' + "".join(map(_escape, value)) + '"'


def _escape(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if " " <= char <= "~" and char not in ",;":
        return char
    return f"\\{ord(char):03o}"


def _unquote(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return _ESCAPED.sub(lambda m: chr(int(m[1], 8)) if m[1] else m[2], value[1:-1])
