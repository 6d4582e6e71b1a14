"""TLS handshakes: those that fail, that take too long, that begin on a connection in use
(start_tls), and TLS within TLS.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fluvial._loop.tls import SSLProtocol
from support.tls import (
    BufferedRecorder,
    Contexts,
    Echo,
    Peer,
    Recorder,
    make_client_context,
    make_server_context,
)

if TYPE_CHECKING:
    from support.certificate import Certificate

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Streams, Streams]]:
    """The streams of both ends of a plain connection: ours, theirs."""
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result((reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    ours = await asyncio.open_connection(*server.sockets[0].getsockname())
    theirs = await accepted
    yield ours, theirs
    for _, writer in (ours, theirs):
        writer.transport.abort()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0)


# ---- Failures -------------------------------------------------------------------------------


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_an_unknown_certificate(
    loop: asyncio.AbstractEventLoop,
    tls: Contexts,
    debug: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop.set_debug(debug)
    caplog.set_level(logging.DEBUG, "asyncio")
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reports.append(context))

    async def main() -> None:
        async with tls.listening(Recorder) as (port, accepted):
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("127.0.0.1", port, ssl=True)
            assert (await accepted).events == []
            await asyncio.sleep(0.02)

    loop.run_until_complete(main())
    messages = [context["message"] for context in reports]
    told = "Error on transport creation for incoming connection"
    assert messages == ([told] if debug else [])
    assert ("SSL handshake failed on verifying the certificate" in caplog.text) == debug
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_no_tls_at_the_other_end(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with connected() as ((_, ours), (_, theirs)):
            theirs.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            with pytest.raises(ssl.SSLError, match=r"WRONG_VERSION_NUMBER|PACKET_LENGTH"):
                await ours.start_tls(tls.client, server_hostname="localhost")
            assert ours.transport.is_closing()

    loop.run_until_complete(main())


def test_the_peer_ends_the_handshake(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with connected() as ((_, ours), (_, theirs)):
            theirs.write_eof()
            with pytest.raises(ConnectionResetError):
                await ours.start_tls(tls.client, server_hostname="localhost")

    loop.run_until_complete(main())


def test_aborted_within_the_handshake(fluvial_loop: Any, tls: Contexts) -> None:
    # With asyncio start_tls() returns, as if it had succeeded.
    async def main() -> None:
        async with connected() as ((_, ours), _):
            fluvial_loop.call_later(0.01, ours.transport.abort)
            with pytest.raises(ConnectionAbortedError, match="during the SSL handshake"):
                await ours.start_tls(tls.client, server_hostname="localhost")

    fluvial_loop.run_until_complete(main())


@pytest.mark.parametrize("side", ["client", "server"])
def test_handshake_timeout(loop: asyncio.AbstractEventLoop, tls: Contexts, side: str) -> None:
    message = "SSL handshake is taking longer than 0.05 seconds: aborting the connection"

    async def main() -> None:
        if side == "client":
            async with connected() as ((_, ours), _):
                with pytest.raises(ConnectionAbortedError) as caught:
                    await loop.start_tls(
                        ours.transport,
                        ours.transport.get_protocol(),
                        tls.client,
                        server_hostname="localhost",
                        ssl_handshake_timeout=0.05,
                    )
                assert str(caught.value) == message
        else:
            async with tls.listening(Recorder, ssl_handshake_timeout=0.05) as (port, _):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                assert await reader.read() == b""
                writer.close()

    loop.run_until_complete(main())


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_wrong_timeouts(loop: asyncio.AbstractEventLoop, tls: Contexts, name: str) -> None:
    async def main() -> None:
        async with connected() as ((_, ours), _):
            protocol = ours.transport.get_protocol()
            for wrong in (0, -1):
                with pytest.raises(ValueError, match=f"{name} should be a positive number"):
                    await loop.start_tls(ours.transport, protocol, tls.client, **{name: wrong})

    loop.run_until_complete(main())


# ---- start_tls ------------------------------------------------------------------------------


def test_start_tls(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with connected() as ((reader, writer), (their_reader, their_writer)):
            writer.write(b"STARTTLS\n")
            assert await their_reader.readline() == b"STARTTLS\n"
            their_writer.write(b"go on\n")
            assert await reader.readline() == b"go on\n"
            await asyncio.gather(
                writer.start_tls(tls.client, server_hostname="localhost"),
                their_writer.start_tls(tls.server),
            )
            assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
            writer.write(b"secret")
            assert await their_reader.readexactly(6) == b"secret"
            their_writer.write(b"as well")
            assert await reader.readexactly(7) == b"as well"
            writer.close()
            assert await their_reader.read() == b""
            await writer.wait_closed()

    loop.run_until_complete(main())


def test_a_handshake_that_has_begun_already(fluvial_loop: Any, tls: Contexts) -> None:
    # The client does not wait for an answer: the begin of its handshake is in the reader.
    async def main() -> None:
        async with connected() as ((reader, writer), (their_reader, their_writer)):
            peer = Peer(reader, writer, tls.client)
            peer.send(b"STARTTLS\n")
            handshake = asyncio.ensure_future(peer.handshake())
            assert await their_reader.readline() == b"STARTTLS\n"
            await asyncio.sleep(0.02)
            assert their_reader._buffer.startswith(b"\x16")
            await asyncio.gather(their_writer.start_tls(tls.server), handshake)
            peer.send(peer.records(b"secret"))
            assert await their_reader.readexactly(6) == b"secret"

    fluvial_loop.run_until_complete(main())


def test_start_tls_that_is_cancelled(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with connected() as ((_, ours), (their_reader, _)):
            starting = asyncio.ensure_future(
                ours.start_tls(tls.client, server_hostname="localhost")
            )
            assert (await their_reader.readexactly(1)) == b"\x16"
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert ours.transport.is_closing()
            await their_reader.read()  # ends

    loop.run_until_complete(main())


def test_start_tls_of_something_else(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with connected() as ((_, ours), _):
            protocol = ours.transport.get_protocol()
            with pytest.raises(TypeError, match="sslcontext is expected to be an instance"):
                await loop.start_tls(ours.transport, protocol, None)
            with pytest.raises(TypeError, match="is not supported by start_tls"):
                await loop.start_tls(asyncio.Transport(), protocol, tls.client)

    loop.run_until_complete(main())


def test_reading_that_was_paused(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with connected() as ((_, ours), (_, theirs)):
            ours.transport.pause_reading()
            theirs.transport.pause_reading()
            await asyncio.gather(
                ours.start_tls(tls.client, server_hostname="localhost"),
                theirs.start_tls(tls.server),
            )
            assert ours.transport.is_reading()

    loop.run_until_complete(main())


# ---- TLS in TLS, and on transports of other kinds -------------------------------------------


@pytest.mark.parametrize("factory", [Echo, BufferedRecorder])
def test_tls_in_tls(
    loop: asyncio.AbstractEventLoop, tls: Contexts, factory: type[Recorder]
) -> None:
    data = bytes(range(256)) * 1000

    async def main() -> None:
        async with tls.pair(server=factory) as (ours, theirs):
            inner, their_inner = await asyncio.gather(
                loop.start_tls(ours.transport, ours, tls.client, server_hostname="localhost"),
                loop.start_tls(theirs.transport, theirs, tls.server, server_side=True),
            )
            theirs.transport = their_inner
            inner.write(data)
            await theirs.until(lambda: len(theirs.data) == len(data))
            assert theirs.data == data
            if factory is Echo:
                await ours.until(lambda: len(ours.data) == len(data))
            assert inner.get_extra_info("peername")
            inner.close()
            await asyncio.gather(ours.until_lost(), theirs.until_lost())
            assert (ours.exception, theirs.exception) == (None, None)

    loop.run_until_complete(main())


def test_the_side_is_whatever_has_a_truth(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with connected() as ((_, ours), (_, theirs)):
            server: Any = 1  # asyncio takes it for True
            upgraded, _ = await asyncio.gather(
                loop.start_tls(
                    ours.transport, asyncio.Protocol(), tls.client, server_hostname="localhost"
                ),
                loop.start_tls(
                    theirs.transport, asyncio.Protocol(), tls.server, server_side=server
                ),
            )
            assert upgraded.get_extra_info("cipher") is not None

    loop.run_until_complete(main())


def test_broken_tls_in_tls(fluvial_loop: Any, tls: Contexts) -> None:
    # asyncio of Python 3.11 raises TypeError within.
    async def main() -> None:
        async with tls.pair() as (ours, theirs):
            inner, _ = await asyncio.gather(
                fluvial_loop.start_tls(
                    ours.transport, ours, tls.client, server_hostname="localhost"
                ),
                fluvial_loop.start_tls(theirs.transport, theirs, tls.server, server_side=True),
            )
            theirs.transport.write(b"no record")
            await ours.until_lost()
            assert isinstance(ours.exception, ssl.SSLError)
            assert inner.is_closing()

    fluvial_loop.run_until_complete(main())


class Relay(asyncio.Transport):
    """A transport that is not the loop's own; it hands what it reads to a BufferedProtocol."""

    _start_tls_compatible = True

    def __init__(self, below: Any) -> None:
        super().__init__()
        self._below = below
        below.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        while data:
            buffer = self._protocol.get_buffer(len(data))
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            self._protocol.buffer_updated(size)
            data = data[size:]

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(
            self._protocol if name.endswith(("_received", "_lost")) else self._below, name
        )

    def write(self, data: Any) -> None:
        self._below.write(data)

    def close(self) -> None:
        self._below.close()

    def abort(self) -> None:
        self._below.abort()

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._below.get_extra_info(name, default)


def test_another_kind_of_transport(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with connected() as ((_, ours), (_, theirs)):
            protocol = Recorder()
            transport, _ = await asyncio.gather(
                loop.start_tls(
                    Relay(ours.transport), protocol, tls.client, server_hostname="localhost"
                ),
                theirs.start_tls(tls.server),
            )
            theirs.write(b"x" * 300_000)
            await protocol.until(lambda: len(protocol.data) == 300_000)
            transport.abort()

    loop.run_until_complete(main())


# ---- Nothing is left ------------------------------------------------------------------------


def living() -> list[bool]:
    """The connections that there are, by whether they are a server's."""
    protocols = [thing for thing in gc.get_objects() if isinstance(thing, SSLProtocol)]
    return [protocol._server_side for protocol in protocols]


def test_freed_after_a_failure(fluvial_loop: Any, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.listening(Recorder) as (port, _):
            gc.disable()
            try:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await asyncio.open_connection("127.0.0.1", port, ssl=True)
                await asyncio.sleep(0.02)
                assert True not in living()
            finally:
                gc.enable()
        gc.collect()  # asyncio's create_connection() keeps itself alive by its exception
        assert living() == []

    gc.collect()
    fluvial_loop.run_until_complete(main())


def test_a_server_frees_what_was_no_handshake(fluvial_loop: Any, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.listening(Recorder) as (port, _):
            gc.disable()
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"no record")
                assert await reader.read() == b""
                writer.close()
                await asyncio.sleep(0.02)
                assert living() == []
            finally:
                gc.enable()

    gc.collect()
    fluvial_loop.run_until_complete(main())


def test_contexts_are_freed(fluvial_loop: Any, certificate: Certificate) -> None:
    async def main() -> list[weakref.ref[ssl.SSLContext]]:
        tls = Contexts(make_server_context(certificate), make_client_context(certificate))
        async with tls.pair() as (ours, _):
            ours.transport.close()
            await ours.until_lost()
        return [weakref.ref(tls.server), weakref.ref(tls.client)]

    refs = fluvial_loop.run_until_complete(main())
    fluvial_loop.run_until_complete(asyncio.sleep(0))
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_made_by_new_alone(fluvial_loop: Any) -> None:
    bare = SSLProtocol.__new__(SSLProtocol)
    for call in (bare._do_read, bare._process_outgoing):
        with pytest.raises(RuntimeError, match="not initialised"):
            call()
    for call in (bare._write, bare.data_received):
        with pytest.raises(RuntimeError, match="not initialised"):
            call(b"data")
