"""The Host field (RFC 9110 section 7.2)."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

# A name or address as they occur: "/", "@", "#" and the like would end the host in a URL that is
# made of it, and lead elsewhere.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{0,5}))?")


def split_host(value: str | None) -> tuple[str, str] | None:
    """(host, port) of a Host field; the port is "" when there is none. None for what is none."""
    match = None if value is None else _HOST.fullmatch(value)
    if match is None:
        return None
    if match[1].startswith("["):
        try:
            IPv6Address(match[1][1:-1])
        except AddressValueError:
            return None
    return match[1], match[2] or ""
