"""What an ASGI app may send, checked where C doesn't see it: in a mount that is behind middleware.

The errors are those of the core (ext/asgi/message.c), and are raised by the app's own `send`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .._messages.pieces import is_bytes_like

if TYPE_CHECKING:
    from .protocol import Message


def check_start(message: Message) -> None:
    """Raises: TypeError or ValueError when status or headers are none."""
    status = message.get("status")
    if not isinstance(status, int):
        raise TypeError(f"http.response.start needs an integer 'status', not {status!r}")
    if not 200 <= status <= 599:
        raise ValueError(f"'status' must be 200 to 599, not {status}")
    headers = message.get("headers", ())
    if not isinstance(headers, Iterable):
        raise TypeError("'headers' must be iterable")
    message["headers"] = [_pair(item) for item in headers]


def _pair(item: Any) -> tuple[bytes, bytes]:
    try:
        name, value = item
    except (TypeError, ValueError):
        raise TypeError(f"a header is a pair of bytes, not {item!r}") from None
    for part in (name, value):
        if not is_bytes_like(part):
            raise TypeError(f"header names and values are bytes, not {part!r}")
    return bytes(name), bytes(value)


def check_body(message: Message) -> None:
    """Raises: TypeError when the body isn't bytes."""
    body = message.get("body", b"")
    if not is_bytes_like(body):
        raise TypeError(f"'body' must be bytes, not {type(body).__name__}")
