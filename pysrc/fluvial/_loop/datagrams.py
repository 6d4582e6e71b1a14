"""The loop's datagram endpoints. Sockets that the C transport can't serve get asyncio's own."""

from __future__ import annotations

import asyncio
import socket
from asyncio import trsock
from typing import Any

from .. import _core

# Families whose addresses the C transport knows.
_FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6, socket.AF_UNIX})


class DatagramsMixin(asyncio.SelectorEventLoop):
    """Part of the loop: makes the transport for asyncio's create_datagram_endpoint()."""

    def _make_datagram_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.DatagramProtocol,
        address: Any = None,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> asyncio.BaseTransport:
        # A class derived from socket.socket may override how it sends.
        if type(sock) is not socket.socket or sock.family not in _FAMILIES:
            return super()._make_datagram_transport(  # type: ignore[no-any-return]  # super() is asyncio's
                sock, protocol, address, waiter, extra
            )
        self._ensure_fd_no_transport(sock)
        transport = _core.DatagramTransport(
            self, sock, sock.family, protocol, address, waiter, _socket_info(sock, extra)
        )
        self._transports[sock.fileno()] = transport
        return transport


def _socket_info(sock: socket.socket, extra: dict[str, Any] | None) -> dict[str, Any]:
    """The values that get_extra_info() returns for a datagram socket."""
    info = dict(extra or ())
    info["socket"] = trsock.TransportSocket(sock)
    for name, ask in (("sockname", sock.getsockname), ("peername", sock.getpeername)):
        try:
            info.setdefault(name, ask())
        except OSError:
            info.setdefault(name, None)
    return info
