"""The loop's parts used many times over: objects, descriptors and memory stay where they are."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Awaitable, Callable

import pytest
from fluvial._loop import Loop
from support.flat import descriptors, resident
from support.sanitizer import SANITIZED

Round = Callable[[Loop], Awaitable[None]]


async def callbacks(loop: Loop) -> None:
    for _ in range(500):
        loop.call_soon(int, "1")
        loop.call_soon(max, 1, 2, 3, 4, 5).cancel()
        loop.call_later(0, int)
        loop.call_later(99, int, "1").cancel()
        loop.call_soon_threadsafe(int)
    await asyncio.sleep(0)
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(100)))


async def failures(loop: Loop) -> None:
    loop.set_exception_handler(lambda *_: None)
    for _ in range(100):
        loop.call_soon(int, "no number")
    await asyncio.sleep(0)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()
    await writer.wait_closed()


async def connections(loop: Loop) -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    for n in range(20):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x" * 100)
        await reader.readexactly(100)
        if n % 2:
            writer.transport.abort()
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def lent_sockets(loop: Loop) -> None:
    for _ in range(20):
        left, right = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
        transport.write(b"x" * 1_000_000)
        transport.abort()
        right.close()
    await asyncio.sleep(0.001)


async def watching(loop: Loop) -> None:
    for _ in range(50):
        left, right = socket.socketpair()
        left.setblocking(False)
        receiving = loop.create_task(loop.sock_recv(left, 10))
        await asyncio.sleep(0)
        right.send(b"x")
        await receiving
        left.close()
        right.close()


async def loops(loop: Loop) -> None:
    for _ in range(10):
        other = Loop()
        other.call_soon(print)
        other.call_later(9, print)
        other.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("once", [callbacks, failures, connections, lent_sockets, watching, loops])
def test_flat(once: Round) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        for _ in range(10):
            await once(loop)
        await asyncio.sleep(0.02)  # the servers' side ends, too
        gc.collect()
        before = len(gc.get_objects()), descriptors(), resident()
        for _ in range(60):
            await once(loop)
        await asyncio.sleep(0.02)
        gc.collect()
        objects, files, memory = len(gc.get_objects()), descriptors(), resident()
        assert objects - before[0] < 60  # less than one a round
        assert files == before[1]
        assert SANITIZED or memory - before[2] < 2 * 1024 * 1024

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
