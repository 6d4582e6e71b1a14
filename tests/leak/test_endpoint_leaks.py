"""10,000 datagram endpoints, pairs of pipes, sub-processes, users' sockets: none stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.flat import stays_flat
from support.sanitizer import SANITIZED

if TYPE_CHECKING:
    from fluvial._loop import Loop

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ENDPOINTS = 1_000 if SANITIZED else 10_000  # a sanitizer looks for other things, and is slow
PROCESSES = ENDPOINTS
BATCH = 50
PROCESSES_AT_ONCE = 20


class Counting(asyncio.DatagramProtocol):
    """Answers; is done when it has got so many datagrams."""

    def __init__(self, count: int, answers: bool) -> None:
        self.count = count
        self.answers = answers
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.answers:
            self.transport.sendto(data, addr)
        self.count -= 1
        if self.count == 0:
            self.done.set_result(None)


class Ending(asyncio.Protocol):
    """Is done when its connection is lost; is part of a cycle."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


async def datagrams(loop: Loop) -> None:
    server, echo = await loop.create_datagram_endpoint(
        lambda: Counting(BATCH, answers=True), local_addr=("127.0.0.1", 0)
    )
    clients = []
    for n in range(BATCH):
        transport, client = await loop.create_datagram_endpoint(
            lambda: Counting(1, answers=False), remote_addr=server.get_extra_info("sockname")
        )
        transport.sendto(b"%d" % n)
        clients.append(client)
    await echo.done
    for n, client in enumerate(clients):
        await client.done
        if n % 2:
            client.transport.abort()
        else:
            client.transport.close()
    server.close()


async def full_datagrams(loop: Loop) -> None:
    """What can't be sent is dropped with the endpoint."""
    for _ in range(BATCH):
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=left)
        while transport.get_write_buffer_size() < 10_000:
            transport.sendto(b"x" * 1000)
        transport.abort()
        right.close()


async def pipes(loop: Loop) -> None:
    for n in range(BATCH):
        read, write = os.pipe()
        _, reader = await loop.connect_read_pipe(Ending, os.fdopen(read, "rb", 0))
        _, writer = await loop.connect_write_pipe(Ending, os.fdopen(write, "wb", 0))
        writer.transport.write(b"x" * 100_000)
        if n % 2:
            writer.transport.close()
        else:
            reader.transport.close()
        await reader.lost
        await writer.lost


async def processes(loop: Loop) -> None:
    async def silent() -> None:
        process = await asyncio.create_subprocess_exec("/bin/true")
        assert await process.wait() == 0

    async def talking() -> None:
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=-1, stdout=-1)
        assert await process.communicate(b"x" * 10_000) == (b"x" * 10_000, None)

    async def killed() -> None:
        process = await asyncio.create_subprocess_exec("/bin/sleep", "60", stderr=-1)
        process.kill()
        assert await process.wait() == -9

    async def missing() -> None:
        with contextlib.suppress(FileNotFoundError):
            await asyncio.create_subprocess_exec("/no/such/program", stdin=-1)

    kinds = [silent] * 12 + [talking] * 4 + [killed] * 2 + [missing] * 2
    assert len(kinds) == PROCESSES_AT_ONCE
    await asyncio.gather(*(kind() for kind in kinds))


async def sockets(loop: Loop) -> None:
    """A connection by the loop's sock_ calls alone, and datagrams over another pair."""
    with socket.create_server(("127.0.0.1", 0), backlog=BATCH) as server:
        server.setblocking(False)

        async def serve() -> None:
            sock, _ = await loop.sock_accept(server)
            with sock:
                buffer = bytearray(10)
                size = await loop.sock_recv_into(sock, buffer)
                await loop.sock_sendall(sock, buffer[:size])
                assert await loop.sock_recv(sock, 10) == b""

        async def ask() -> None:
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, server.getsockname())
                receiving = loop.create_task(loop.sock_recv(sock, 10))
                await loop.sock_sendall(sock, b"x")
                assert await receiving == b"x"

        await asyncio.gather(*(each() for each in [serve, ask] * BATCH))


async def datagram_sockets(loop: Loop) -> None:
    async def exchange() -> None:
        with (
            socket.socket(type=socket.SOCK_DGRAM) as left,
            socket.socket(type=socket.SOCK_DGRAM) as right,
        ):
            for sock in (left, right):
                sock.setblocking(False)
                sock.bind(("127.0.0.1", 0))
            receiving = loop.create_task(loop.sock_recvfrom(right, 10))
            await asyncio.sleep(0)
            await loop.sock_sendto(left, b"x", right.getsockname())
            assert await receiving == (b"x", left.getsockname())

    await asyncio.gather(*(exchange() for _ in range(BATCH)))


def test_datagram_endpoints() -> None:
    stays_flat(datagrams, ENDPOINTS // BATCH)


def test_datagram_endpoints_that_are_full() -> None:
    stays_flat(full_datagrams, ENDPOINTS // BATCH)


def test_pipes() -> None:
    stays_flat(pipes, ENDPOINTS // BATCH)


def test_sub_processes() -> None:
    stays_flat(processes, PROCESSES // PROCESSES_AT_ONCE)


def test_sockets() -> None:
    stays_flat(sockets, ENDPOINTS // BATCH)


def test_datagram_sockets() -> None:
    stays_flat(datagram_sockets, ENDPOINTS // BATCH)
