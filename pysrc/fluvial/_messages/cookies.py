"""Cookies: parsing Cookie fields and writing Set-Cookie fields (RFC 6265)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

from .header_fields import TEXT_TOKEN

SameSite = Literal["lax", "strict", "none"]

# RFC 6265 section 4.1.1: these characters need no quotes in a value.
_PLAIN_VALUE = re.compile(r"[!#$%&'()*+\-./0-9:<=>?@A-Z\[\]^_`a-z{|}~]*\Z")
_ATTRIBUTE = re.compile(r"[ -:<-~]*\Z")
_SAMESITE = ("lax", "strict", "none")
_ESCAPED = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))", re.DOTALL)


def parse_cookies(header: str) -> dict[str, str]:
    """The pairs of a Cookie field: nothing is rejected, and the last value of a name wins."""
    return dict(cookie_pairs(header))


def cookie_pairs(header: str) -> Iterator[tuple[str, str]]:
    """The pairs of a Cookie field, in their order."""
    for chunk in header.split(";"):
        name, separator, value = chunk.partition("=")
        if not separator:
            name, value = "", chunk
        name, value = name.strip(), value.strip()
        if name or value:
            yield name, _unquote(value)


_FLAGS = ("HttpOnly", "Partitioned", "Secure")  # attributes without a value


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
    """The value of a Set-Cookie field.

    Raises: TypeError or ValueError for a name, a value or an attribute that it can't contain.
    """
    if not isinstance(key, str) or not TEXT_TOKEN.fullmatch(key):
        raise ValueError(f"{key!r} can't be a cookie's name: write a token of ASCII (RFC 6265)")
    if samesite is not None and str(samesite).lower() not in _SAMESITE:
        raise ValueError(f"{samesite!r} can't be a cookie's SameSite: write one of {_SAMESITE}")
    attributes = {  # in the order of Python's http.cookies
        "Domain": domain,
        "expires": None if expires is None else _expires(expires),
        "HttpOnly": httponly,
        "Max-Age": None if max_age is None else _seconds(max_age),
        "Partitioned": partitioned,
        "Path": path,
        "SameSite": samesite,
        "Secure": secure,
    }
    parts = [f"{key}={_quote(_text(key, value))}"]
    for name, given in attributes.items():
        if name in _FLAGS:
            parts += [name] if given else []
        elif given is not None:
            if not _ATTRIBUTE.match(str(given)):
                raise ValueError(
                    f"{given!r} can't be a cookie's {name}: write ASCII without ';' and controls"
                )
            parts.append(f"{name}={given}")
    return "; ".join(parts)


def _text(key: str, value: object) -> str:
    """A cookie's value as text; numbers are converted by str()."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise TypeError(f"the value of the cookie {key!r} is a str, not {type(value).__name__}")
    if any(char > "\xff" for char in value):
        raise ValueError(
            f"the value of the cookie {key!r} has characters that would read back differently: "
            f"{value!r}; write urllib.parse.quote(value), and unquote() what comes back"
        )
    return value


def _seconds(max_age: object) -> int:
    if isinstance(max_age, (int, float)):
        return int(max_age)
    raise TypeError(f"a cookie's max_age is a number of seconds, not {max_age!r}")


def _expires(expires: datetime | str | float) -> str:
    if isinstance(expires, str):
        return expires
    from email.utils import format_datetime

    if isinstance(expires, (int, float)):
        expires = datetime.fromtimestamp(time.time(), UTC) + timedelta(seconds=expires)
    if not isinstance(expires, datetime):
        raise TypeError(f"a cookie's expires is a datetime, str or seconds, not {expires!r}")
    return format_datetime(expires.astimezone(UTC), usegmt=True)


def _quote(value: str) -> str:
    """Quotes a value that needs it, with octal escapes: the convention of http.cookies."""
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
