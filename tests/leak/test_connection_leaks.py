"""10,000 connections of each kind: objects, descriptors and memory stay where they are."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fluvial._loop import Loop
from support.flat import descriptors, resident
from support.growth import ATTEMPTS
from support.sanitizer import SANITIZED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CONNECTIONS = 1_000 if SANITIZED else 10_000  # a sanitizer looks for other things, and is slow
AT_ONCE = 50
MEMORY = 1024 * 1024  # bytes by which the process may grow


class Echo(asyncio.Protocol):
    """Sends back what it gets; every other one is a cycle with its transport in the end."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Asking(asyncio.Protocol):
    """Sends a message, waits for its echo, and ends the connection in one way or another."""

    count = 0

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"x" * 100)

    def data_received(self, data: bytes) -> None:
        Asking.count += 1
        match Asking.count % 4:
            case 0:
                self.transport.close()
            case 1:
                self.transport.abort()
            case 2:
                self.transport.write_eof()
            case 3:
                self.transport.get_extra_info("socket").fileno()
                self.transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(None)


async def tcp(loop: Loop, _: Path) -> Callable[[], Awaitable[Any]]:
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=AT_ONCE)
    address = server.sockets[0].getsockname()
    return lambda: loop.create_connection(Asking, *address)


async def unix(loop: Loop, folder: Path) -> Callable[[], Awaitable[Any]]:
    path = str(folder / "socket")
    await loop.create_unix_server(Echo, path, backlog=AT_ONCE)
    return lambda: loop.create_unix_connection(Asking, path)


async def lent(loop: Loop, _: Path) -> Callable[[], Awaitable[Any]]:
    async def connect() -> Any:
        left, right = socket.socketpair()
        await loop.connect_accepted_socket(Echo, left)
        return await loop.create_connection(Asking, sock=right)

    return connect


async def streams(loop: Loop, _: Path) -> Callable[[], Awaitable[Any]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(100))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=AT_ONCE)
    address = server.sockets[0].getsockname()
    return lambda: loop.create_connection(Asking, *address)


def figures() -> tuple[int, int, int, int]:
    """Objects, blocks of Python's allocator, descriptors and resident bytes."""
    gc.collect()
    return len(gc.get_objects()), sys.getallocatedblocks(), descriptors(), resident()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", [tcp, unix, lent, streams])
def test_flat(kind: Callable[[Loop, Path], Awaitable[Any]], tmp_path: Path) -> None:
    async def one(connect: Callable[[], Awaitable[Any]]) -> None:
        _, protocol = await connect()
        await protocol.lost

    async def many(connect: Callable[[], Awaitable[Any]], count: int) -> None:
        for _ in range(count // AT_ONCE):
            await asyncio.gather(*(one(connect) for _ in range(AT_ONCE)))
        while len(loop._held()) > 0:  # noqa: ASYNC110  # the other ends, which tell nobody
            await asyncio.sleep(0.001)

    async def main() -> None:
        connect = await kind(loop, tmp_path)
        await many(connect, CONNECTIONS // 10)
        grown = []
        while not grown or (grown[-1] >= MEMORY and len(grown) < ATTEMPTS):
            objects, blocks, files, memory = figures()
            await many(connect, CONNECTIONS)
            after = figures()
            assert after[0] - objects < 100
            assert after[1] - blocks < CONNECTIONS // 10
            assert after[2] == files
            grown.append(0 if SANITIZED else after[3] - memory)
        assert grown[-1] < MEMORY, grown
        for sock in list(loop._acceptors):
            loop._stop_serving(sock)

    loop = Loop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
