"""Name resolution: numeric addresses are converted at once, everything else by a thread."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import BaseEventLoop as _Base
else:
    _Base = object

NUMERIC = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


class NamesMixin(_Base):
    """The loop's `getaddrinfo` and `getnameinfo`."""

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """As socket.getaddrinfo, without a thread for IP addresses."""
        if _is_address(host) and (port is None or isinstance(port, int)) and not self.get_debug():
            return socket.getaddrinfo(host, port, family, type, proto, flags)
        return await super().getaddrinfo(
            host, port, family=family, type=type, proto=proto, flags=flags
        )

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> Any:
        """As socket.getnameinfo, without a thread when only numeric results are requested."""
        if flags & NUMERIC == NUMERIC:
            return socket.getnameinfo(sockaddr, flags)
        return await super().getnameinfo(sockaddr, flags)


def _is_address(host: Any) -> bool:
    """Whether `host` is an IPv4 or IPv6 address, perhaps with a scope: `fe80::1%eth0`."""
    if not isinstance(host, str):
        return False
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host.partition("%")[0])
    except (OSError, ValueError):
        return False
    return True
