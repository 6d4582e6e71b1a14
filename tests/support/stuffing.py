"""Sends until the server takes no more: what a slow application makes its connection do."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.http_server import Server
    from support.serving import Served

KERNEL_BUFFER = 1 << 18  # bytes; one that is not fixed grows to megabytes
TURNS = 5  # looks that the server must have taken at the socket without taking anything


def fix_receive_buffer(listener: socket.socket) -> None:
    """Gives all connections that it will accept a receive buffer that doesn't grow."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)


def turn(served: Served | Server) -> None:
    """Returns when the server's loop has looked at its descriptors several times."""

    async def looks() -> None:
        for _ in range(10):
            await asyncio.sleep(0.001)

    assert served.loop is not None
    asyncio.run_coroutine_threadsafe(looks(), served.loop).result(60)


def stuff(served: Served | Server, sock: socket.socket, data: bytes) -> int:
    """Sends as much of `data` as the server and the kernel take: how many bytes.

    No clock decides: it gives up when the server's loop has had its turns and took nothing.
    """
    sent, idle = 0, 0
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
    sock.setblocking(False)
    view = memoryview(data)
    while sent < len(data) and idle < TURNS:
        before = sent
        try:
            while sent < len(data):
                sent += sock.send(view[sent : sent + 65536])
        except BlockingIOError:
            turn(served)
        idle = idle + 1 if sent == before else 0
    sock.settimeout(30)
    return sent
