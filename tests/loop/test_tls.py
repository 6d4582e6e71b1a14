"""TLS connections that are up: data in both directions, limits, what they tell of themselves."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.certificate import ENVIRONMENT, Certificate
from support.tls import BufferedRecorder, Contexts, Echo, Peer, Recorder


class TinyBuffer(BufferedRecorder):
    size = 3


# ---- Data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder, TinyBuffer])
@pytest.mark.parametrize("size", [1, 999, 1000, 16384, 16385, 1_000_003])
def test_data(
    loop: asyncio.AbstractEventLoop, tls: Contexts, factory: Callable[[], Any], size: int
) -> None:
    if factory is TinyBuffer and size > 20_000:
        size = 20_000
    data = os.urandom(size)

    async def main() -> None:
        async with tls.pair(factory, factory) as (ours, theirs):
            ours.transport.write(data)
            await theirs.until(lambda: len(theirs.data) >= size)
            theirs.transport.write(data[::-1])
            await ours.until(lambda: len(ours.data) >= size)
            assert (theirs.data, ours.data) == (data, data[::-1])

    loop.run_until_complete(main())


def test_kinds_of_data(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.pair() as (ours, theirs):
            reused = bytearray(b"two ")
            ours.transport.write(b"one ")
            ours.transport.write(reused)
            reused[:] = b"XXXX"
            ours.transport.write(memoryview(b"-three -")[1:-1])
            ours.transport.write(b"")
            ours.transport.writelines([b"four ", bytearray(b"five "), memoryview(b"six")])
            ours.transport.writelines(iter([]))
            await theirs.until(lambda: theirs.data.endswith(b"six"))
            assert theirs.data == b"one two three four five six"
            for wrong in ("text", None, 1, [b"x"]):
                with pytest.raises(TypeError):
                    ours.transport.write(wrong)
            assert not ours.transport.is_closing()

    loop.run_until_complete(main())


def test_bad_lines(fluvial_loop: Any, tls: Contexts) -> None:
    # asyncio sends the first of them and then closes the connection.
    async def main() -> None:
        async with tls.pair() as (ours, theirs):
            with pytest.raises(TypeError):
                ours.transport.writelines([b"bad", "line"])
            ours.transport.write(b"good")
            await theirs.until(lambda: theirs.data == b"good")

    fluvial_loop.run_until_complete(main())


def test_data_in_pieces_of_records(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.peer() as (peer, theirs):
            for byte in peer.records(b"hello") + peer.records(b" world"):
                peer.send(bytes([byte]))
                await asyncio.sleep(0)
            await theirs.until(lambda: theirs.data == b"hello world")

    loop.run_until_complete(main())


def test_many_records_in_one_read(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.peer() as (peer, theirs):
            peer.send(b"".join(peer.records(b"%d," % n) for n in range(500)))
            await theirs.until(lambda: theirs.data.endswith(b"499,"))
            assert theirs.data.split(b",")[:-1] == [b"%d" % n for n in range(500)]

    loop.run_until_complete(main())


def test_what_came_before_a_broken_record(fluvial_loop: Any, tls: Contexts) -> None:
    # asyncio drops what it has decrypted in the same read.
    async def main() -> None:
        async with tls.peer() as (peer, theirs):
            good, broken = peer.records(b"good"), bytearray(peer.records(b"broken"))
            broken[-1] ^= 1
            peer.send(good + broken)
            await theirs.until_lost()
            assert theirs.data == b"good"
            assert isinstance(theirs.exception, ssl.SSLError)

    fluvial_loop.run_until_complete(main())


def test_a_buffer_that_is_no_memoryview(fluvial_loop: Any, tls: Contexts) -> None:
    # asyncio reads all but the first record into a copy.
    class Plain(BufferedRecorder):
        size = 100_000

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

    data = os.urandom(90_000)

    async def main() -> None:
        async with tls.peer(Plain) as (peer, theirs):
            peer.send(peer.records(data))
            await theirs.until(lambda: len(theirs.data) == len(data))
            assert theirs.data == data

    fluvial_loop.run_until_complete(main())


def test_another_protocol(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.pair() as (ours, theirs):
            for factory in (BufferedRecorder, Recorder, TinyBuffer):
                other = factory()
                theirs.transport.set_protocol(other)
                assert theirs.transport.get_protocol() is other
                ours.transport.write(b"for the other")
                await other.until(lambda other=other: other.data == b"for the other")
            theirs.transport.set_protocol(theirs)
            assert theirs.data == b""

    loop.run_until_complete(main())


def test_streams(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    data = os.urandom(2_000_000)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(100_000):
            writer.write(part)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls.server)
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), ssl=tls.client, server_hostname="localhost"
        )
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_a_context_with_its_own_ssl_object(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    class Counting(ssl.SSLObject):
        calls = 0

        def read(self, *args: Any) -> Any:
            Counting.calls += 1
            return super().read(*args)

        def write(self, data: Any) -> int:
            Counting.calls += 1
            return super().write(data)

    tls.client.sslobject_class = Counting

    async def main() -> None:
        async with tls.pair(BufferedRecorder, Echo) as (ours, _theirs):
            ours.transport.write(b"x" * 40_000)
            await ours.until(lambda: len(ours.data) == 40_000)

    loop.run_until_complete(main())
    assert Counting.calls > 2


# ---- Flow control ---------------------------------------------------------------------------


def test_paused_reading(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    piece = os.urandom(100_000)

    async def main() -> None:
        async with tls.pair() as (ours, theirs):
            written = 0
            assert theirs.transport.is_reading()
            theirs.transport.pause_reading()
            assert not theirs.transport.is_reading()
            while "pause" not in ours.events:  # so it stops reading below, too
                ours.transport.write(piece)
                written += 1
                assert written < 1000
                await asyncio.sleep(0)
            assert theirs.data == b""
            theirs.transport.resume_reading()
            await theirs.until(lambda: len(theirs.data) == written * len(piece))
            assert theirs.data == piece * written
            await ours.until(lambda: ours.events[-1] == "resume")

    loop.run_until_complete(main())


@pytest.mark.parametrize("factory", [Recorder, TinyBuffer])
def test_pausing_within_data(
    loop: asyncio.AbstractEventLoop, tls: Contexts, factory: type[Recorder]
) -> None:
    class Pausing(factory):  # type: ignore[misc, valid-type]
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    async def main() -> None:
        async with tls.pair(server=Pausing) as (ours, theirs):
            for n in range(100):
                ours.transport.write(b"%d," % n)
            await theirs.until(lambda: theirs.data.endswith(b"99,"))
            assert theirs.data == b"".join(b"%d," % n for n in range(100))

    loop.run_until_complete(main())


def test_reading_paused_from_the_begin(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    class Pausing(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.pause_reading()

    async def main() -> None:
        async with tls.listening(Pausing) as (port, accepted):
            peer = Peer(*await asyncio.open_connection("127.0.0.1", port), tls.client)
            await peer.handshake(then=b"at once")  # comes with the end of the handshake
            theirs = await accepted
            await theirs.until(lambda: "made" in theirs.events)
            peer.send(peer.records(b", and later"))
            assert not theirs.transport.is_reading()
            await asyncio.sleep(0.01)
            assert theirs.data == b""
            theirs.transport.resume_reading()
            await theirs.until(lambda: theirs.data == b"at once, and later")
            await peer.closed()
            await theirs.until_lost()

    loop.run_until_complete(main())


def test_data_with_the_handshake(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.listening(Recorder) as (port, accepted):
            peer = Peer(*await asyncio.open_connection("127.0.0.1", port), tls.client)
            await peer.handshake(then=b"at once")
            theirs = await accepted
            await theirs.until(lambda: theirs.data == b"at once")
            await peer.closed()
            await theirs.until_lost()

    loop.run_until_complete(main())


def test_limits(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.pair() as (ours, theirs):
            transport = ours.transport
            theirs.transport.pause_reading()
            assert transport.get_write_buffer_limits() == (128 * 1024, 512 * 1024)
            transport.set_write_buffer_limits(high=1000)
            assert transport.get_write_buffer_limits() == (250, 1000)
            with pytest.raises(ValueError, match="must be >= low"):
                transport.set_write_buffer_limits(high=1, low=2)
            assert transport.get_write_buffer_size() == 0
            while "pause" not in ours.events:
                transport.write(bytes(100_000))
            assert transport.get_write_buffer_size() >= 1000
            theirs.transport.resume_reading()
            await ours.until(lambda: ours.events[-1] == "resume")
            assert transport.get_write_buffer_size() <= 250

    loop.run_until_complete(main())


def test_no_end_of_file_but_close(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.pair() as (ours, _theirs):
            assert not ours.transport.can_write_eof()
            with pytest.raises(NotImplementedError):
                ours.transport.write_eof()

    loop.run_until_complete(main())


# ---- What is known of a connection ----------------------------------------------------------


def test_extra_info(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.pair() as (ours, theirs):
            info = ours.transport.get_extra_info
            assert info("sslcontext") is tls.client
            assert info("ssl_object").version() == "TLSv1.3"
            assert dict(name[0] for name in info("peercert")["subject"])["commonName"]
            assert info("cipher") == info("ssl_object").cipher()
            assert info("compression") is None
            assert info("socket").getpeername() == info("peername")
            assert info("peername") == theirs.transport.get_extra_info("sockname")
            assert info("sockname") == theirs.transport.get_extra_info("peername")
            assert theirs.transport.get_extra_info("peercert") is None
            assert theirs.transport.get_extra_info("sslcontext") is tls.server
            assert info("unheard of") is None
            assert info("unheard of", 1) == 1
            assert isinstance(ours.transport, asyncio.Transport)

    loop.run_until_complete(main())


# ---- What OpenSSL does by itself ------------------------------------------------------------


@asynccontextmanager
async def openssl(*args: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The openssl command, whose standard input and output are pipes."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = await asyncio.create_subprocess_exec("openssl", *args, env=ENVIRONMENT, **pipes)
    yield process
    process.kill()
    await process.communicate()


async def printed(process: asyncio.subprocess.Process, text: bytes) -> None:
    """Reads what the process prints until there is `text`."""
    assert process.stdout is not None
    seen = b""
    async with asyncio.timeout(20):
        while text not in seen:
            more = await process.stdout.read(1000)
            assert more, seen
            seen += more


def test_key_update(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.listening(Echo) as (port, accepted):
            arguments = ["-connect", f"127.0.0.1:{port}", "-tls1_3"]
            async with openssl("s_client", *arguments) as client:
                theirs = await accepted
                await theirs.until(lambda: "made" in theirs.events)
                await printed(client, b"---\n")
                for text in (b"before\n", b"K\n", b"after\n", b"k\n", b"again\n"):
                    client.stdin.write(text)
                    if len(text) > 2:
                        await printed(client, text)
                    else:
                        await printed(client, b"KEYUPDATE\n")
                assert theirs.data == b"before\nafter\nagain\n"
            await theirs.until_lost()

    loop.run_until_complete(main())


def test_renegotiation(
    loop: asyncio.AbstractEventLoop, tls: Contexts, certificate: Certificate
) -> None:
    tls.client.maximum_version = ssl.TLSVersion.TLSv1_2

    async def main() -> None:
        files = ["-cert", str(certificate.cert), "-key", str(certificate.key)]
        async with openssl("s_server", "-accept", "127.0.0.1:0", *files) as server:
            assert server.stdout is not None
            while not (line := await server.stdout.readline()).startswith(b"ACCEPT"):
                assert line
            port = int(line.rpartition(b":")[2])
            transport, ours = await loop.create_connection(
                Recorder, "127.0.0.1", port, ssl=tls.client, server_hostname="localhost"
            )
            transport.write(b"before\n")
            await printed(server, b"before\n")
            server.stdin.write(b"r\n")  # asks for another handshake
            await printed(server, b"SSL_do_handshake")
            transport.write(b"after\n")
            await printed(server, b"after\n")
            server.stdin.write(b"from the server\n")
            await ours.until(lambda: ours.data == b"from the server\n")
            transport.abort()
            await ours.until_lost()

    loop.run_until_complete(main())
