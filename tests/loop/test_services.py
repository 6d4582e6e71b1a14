"""What asyncio builds on stream transports: sendfile, Unix servers, pipes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100_000):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("fallback", [False, True], ids=["native", "fallback"])
def test_sendfile(
    loop: asyncio.AbstractEventLoop,
    tmp_path: Path,
    fallback: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(data)
    if fallback:

        def refuse(*_: object, **__: object) -> Any:
            raise asyncio.SendfileNotAvailableError

        monkeypatch.setattr(loop, "_sock_sendfile_native", refuse)

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        getting = loop.create_task(reader.readexactly(len(data) + 10))
        writer.write(b"first")
        with (tmp_path / "file").open("rb") as file:
            assert await loop.sendfile(writer.transport, file, fallback=fallback) == len(data)
        writer.write(b"after")
        assert await getting == b"first" + data + b"after"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_unix_servers(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")

    async def main() -> None:
        server = await asyncio.start_unix_server(echo, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert writer.get_extra_info("peername") == path
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_pipes(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> bytes:
        read, write = os.pipe()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb")
        )
        transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(write, "wb"))
        repr(transport)
        transport.write(b"through the pipe")
        transport.close()
        return await reader.read()

    assert loop.run_until_complete(main()) == b"through the pipe"


def test_connections_that_are_refused_or_cancelled(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        connecting = loop.create_task(asyncio.open_connection(*address))
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await asyncio.sleep(0.01)  # the server may have accepted it: then it sees the end
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)

    loop.run_until_complete(main())
