"""Pairs of connected sockets that don't block, and time for a loop to look at them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

Pair = tuple[socket.socket, socket.socket]


@contextlib.contextmanager
def sockets() -> Iterator[Pair]:
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


async def turns(n: int = 3) -> None:
    """Lets the loop poll `n` times."""
    for _ in range(n):
        await asyncio.sleep(0.001)
