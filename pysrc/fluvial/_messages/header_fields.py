"""Header fields in the form in which they are sent (RFC 9110 section 5), and their checks."""

from __future__ import annotations

import re

RawHeaders = list[tuple[bytes, bytes]]
TOKEN_PATTERN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2
TOKEN = re.compile(TOKEN_PATTERN.encode())
TEXT_TOKEN = re.compile(TOKEN_PATTERN)
FIELD_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")  # section 5.5


def header_field(name: str, value: str) -> tuple[bytes, bytes]:
    """A field as bytes. Raises: TypeError or ValueError when it can't be sent."""
    return field_name(name), field_value(value, name)


def field_name(name: str) -> bytes:
    """A name as bytes, in lower case.

    Raises: TypeError when it isn't a str, ValueError when it can't be encoded.
    """
    try:
        return name.lower().encode("latin-1")
    except AttributeError:
        raise TypeError(f"a header field's name is a str, not {name!r}") from None
    except UnicodeEncodeError:
        raise ValueError(f"a header field's name is a token of ASCII, not {name!r}") from None


def field_value(value: str, name: str) -> bytes:
    """The value of the field `name` as bytes.

    Raises: TypeError when it isn't a str, ValueError when it can't be encoded.
    """
    try:
        return value.encode("latin-1")
    except AttributeError:
        raise TypeError(f"the value of the header field {name!r} is a str, not {value!r}") from None
    except UnicodeEncodeError:
        raise ValueError(
            f"the value of the header field {name!r} has characters that aren't Latin-1: "
            f"{value!r}; percent-encode them"
        ) from None


def check_head(status: object, headers: RawHeaders) -> None:
    """Checks the head of a response.

    Raises: TypeError or ValueError for a status or a header field that can't be sent.
    """
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"status_code must be 200 to 599, not {status!r}")
    for name, value in headers:
        check_field(name, value)


def check_field(name: bytes, value: bytes) -> None:
    """Raises: ValueError when the name isn't a token, or the value holds control characters."""
    if not TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
        raise ValueError(f"malformed header field {name!r}: {value!r}")
