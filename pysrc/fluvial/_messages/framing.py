"""What decides where a message ends: header fields, statuses and Content-Length."""

from __future__ import annotations

from collections.abc import Iterable

# Fields that frame a message or belong to the connection (RFC 9110 section 7.6.1). The server sets
# them itself.
FRAMING_FIELDS = frozenset(
    (
        *("connection", "content-length", "keep-alive", "proxy-connection", "te"),
        *("trailer", "trailers", "transfer-encoding", "upgrade"),
    )
)
# A final response with one of these ends after its header section (RFC 9112 section 6.3).
BODYLESS = (204, 304)
# Statuses without content, which a 205 states by Content-Length: 0 (RFC 9110 sections 15.2, 15.3.5,
# 15.3.6 and 15.4.5).
WITHOUT_CONTENT = frozenset((*range(100, 200), 204, 205, 304))


def declared_length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """What Content-Length says; -1 when it is missing or isn't a number of at most 19 digits."""
    for name, value in headers:
        if name.lower() == b"content-length" and value.isdigit() and len(value) < 20:
            return int(value)
    return -1


def with_length(
    status_code: int, headers: list[tuple[bytes, bytes]], length: int, method: str
) -> list[tuple[bytes, bytes]]:
    """The header fields of a response whose body has `length` bytes, whatever they said before of
    its framing. A response without content may say how long it would be."""
    empty = method == "HEAD" and length == 0 and declared_length(headers) >= 0
    if status_code in BODYLESS or empty:
        return headers
    framing = (b"content-length", b"transfer-encoding")
    kept = [(name, value) for name, value in headers if name.lower() not in framing]
    return [*kept, (b"content-length", b"%d" % length)]
