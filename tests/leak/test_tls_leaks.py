"""Thousands of TLS connections, ended in every way: objects, descriptors and memory stay flat."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fluvial._loop import Loop
from support.certificate import make_certificate
from support.flat import descriptors, resident
from support.sanitizer import SANITIZED
from support.tls import Contexts, make_client_context, make_server_context

CONNECTIONS = 20  # in a round, at once
ROUNDS = 5 if SANITIZED else 30
MANY_ROUNDS = ROUNDS if SANITIZED else 500  # of connections that come to their proper end
Connect = Callable[[Contexts, str, int], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1000):
            writer.write(data)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def opened(
    tls: Contexts, host: str, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(
        host, port, ssl=tls.client, server_hostname="localhost"
    )
    writer.write(b"x" * 100)
    await reader.readexactly(100)
    return reader, writer


async def closed(tls: Contexts, host: str, port: int) -> None:
    _, writer = await opened(tls, host, port)
    writer.close()
    await writer.wait_closed()


async def aborted(tls: Contexts, host: str, port: int) -> None:
    _, writer = await opened(tls, host, port)
    writer.transport.abort()
    await writer.wait_closed()


async def unverified(tls: Contexts, host: str, port: int) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(host, port, ssl=tls.client, server_hostname="elsewhere")


async def given_up(tls: Contexts, host: str, port: int) -> None:
    """Gone within the handshake."""
    _, writer = await asyncio.open_connection(host, port)
    starting = asyncio.ensure_future(writer.start_tls(tls.client, server_hostname="localhost"))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    writer.transport.abort()


async def started(tls: Contexts, host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    await writer.start_tls(tls.client, server_hostname="localhost")
    writer.write(b"x")
    await reader.readexactly(1)
    writer.close()
    await writer.wait_closed()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("connect", "count"),
    [
        (closed, MANY_ROUNDS),
        (aborted, ROUNDS),
        (unverified, ROUNDS),
        (given_up, ROUNDS),
        (started, MANY_ROUNDS),
    ],
)
def test_flat(connect: Connect, count: int, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    tls = Contexts(make_server_context(certificate), make_client_context(certificate))

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls.server)
        address = server.sockets[0].getsockname()

        async def rounds(count: int) -> tuple[int, int, int]:
            for _ in range(count):
                await asyncio.gather(*(connect(tls, *address) for _ in range(CONNECTIONS)))
            await asyncio.sleep(0.05)  # the server's side ends, too
            gc.collect()
            return len(gc.get_objects()), descriptors(), resident()

        before = await rounds(5)
        objects, files, memory = await rounds(count)
        assert objects - before[0] < ROUNDS
        assert files == before[1]
        assert SANITIZED or memory - before[2] < 2 * 1024 * 1024
        server.close()
        await server.wait_closed()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
