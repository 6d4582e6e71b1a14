"""What asyncio builds on stream transports: TLS, sendfile, Unix servers, pipes."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from support.certificate import Certificate, make_certificate


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert, certificate.key)
    return context


@pytest.fixture
def client_context(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate.cert))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100_000):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


def test_tls(
    loop: asyncio.AbstractEventLoop,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    data = os.urandom(2_000_000)

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_context)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
        )
        assert writer.get_extra_info("ssl_object").version().startswith("TLS")
        assert writer.get_extra_info("peername") == ("127.0.0.1", port)
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_tls_that_fails(loop: asyncio.AbstractEventLoop, server_context: ssl.SSLContext) -> None:
    loop.set_exception_handler(lambda *_: None)  # the server reports the failed handshake

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_context)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context())
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)

    loop.run_until_complete(main())


def test_start_tls(
    loop: asyncio.AbstractEventLoop,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go on\n")
        await writer.drain()
        await writer.start_tls(server_context)
        await echo(reader, writer)

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go on\n"
        await writer.start_tls(client_context, server_hostname="localhost")
        writer.write(b"secret")
        assert await reader.readexactly(6) == b"secret"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


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
