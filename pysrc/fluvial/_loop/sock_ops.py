"""The loop's sock_recv(), sock_recv_into() and sock_sendall(): coroutines, as in asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket


class SocketsMixin(asyncio.SelectorEventLoop):
    """Part of the loop: receiving and sending on users' sockets. The work is done in C."""

    _receive: Any
    _receive_into: Any
    _send_all: Any

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        """Receives up to `n` bytes; b"" once the peer has finished sending."""
        return await self._receive(sock, n)  # type: ignore[no-any-return]

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        """Receives into a writable buffer; returns the number of bytes."""
        return await self._receive_into(sock, buf)  # type: ignore[no-any-return]

    async def sock_sendall(self, sock: socket.socket, data: Any) -> None:
        """Sends all of `data`."""
        await self._send_all(sock, data)
