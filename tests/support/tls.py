"""TLS for the tests: contexts, protocols that keep what they are told, and a peer that sends
whatever a test wants, record by record.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.certificate import Certificate


def make_server_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert, certificate.key)
    return context


def make_client_context(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate.cert))


class Recorder(asyncio.Protocol):
    """Keeps what it is told; `events` are the calls' names."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.data = bytearray()
        self.exception: BaseException | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()

    def _note(self, event: str) -> None:
        self.events.append(event)
        self._changed.set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._changed.set()

    def eof_received(self) -> bool | None:
        self._note("eof")
        return None

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self._note("lost")
        self.exception = exc
        self.lost.set_result(None)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_lost(self) -> None:
        async with asyncio.timeout(20):
            await self.lost


class Echo(Recorder):
    """Sends it back, too."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


class BufferedRecorder(asyncio.BufferedProtocol, Recorder):
    """The same for a protocol with a buffer of its own, of `size` bytes."""

    size = 1000

    def __init__(self) -> None:
        super().__init__()
        self.buffer = bytearray(self.size)

    def get_buffer(self, sizehint: int) -> Any:
        return memoryview(self.buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.buffer[:nbytes]))


class Peer:
    """The other end of a TLS connection, over a plain one. What it sends is what a test says."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
    ) -> None:
        self.reader = reader
        self.writer = writer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        server = context.protocol is ssl.PROTOCOL_TLS_SERVER
        self.tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server,
            server_hostname=None if server else "localhost",
        )

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext) -> Peer:
        """A client that has done its part of the handshake."""
        peer = cls(*await asyncio.open_connection("127.0.0.1", port), context)
        await peer.handshake()
        return peer

    async def handshake(self, then: bytes = b"") -> None:
        """Its part of it; the last message goes out together with `then`."""
        await self._until_done(self.tls.do_handshake, then)

    async def _until_done(self, step: Callable[[], Any], then: bytes = b"") -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self.flush()
                data = await self.reader.read(65536)
                if not data:
                    raise EOFError from None
                self._incoming.write(data)
            else:
                if then:
                    self.tls.write(then)
                self.flush()
                return result

    def records(self, data: bytes) -> bytes:
        """`data` encrypted."""
        self.tls.write(data)
        return self._outgoing.read()

    def close_notify(self) -> bytes:
        """The record, which can be made once."""
        with contextlib.suppress(ssl.SSLError):  # which is to wait for the other one's
            self.tls.unwrap()
        return self._outgoing.read()

    def flush(self) -> None:
        self.writer.write(self._outgoing.read())

    def send(self, data: bytes) -> None:
        """`data` as it is."""
        self.writer.write(data)

    async def receive(self) -> bytes:
        """Some data; b"" after close_notify. Raises EOFError when the connection ends without."""
        try:
            return await self._until_done(lambda: self.tls.read(65536))
        except ssl.SSLZeroReturnError:  # when it has sent its own
            return b""

    async def receive_all(self) -> bytes:
        """All data up to close_notify."""
        data = bytearray()
        while more := await self.receive():
            data += more
        return bytes(data)

    async def receive_exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = await self.receive()
            assert more
            data += more
        return bytes(data)

    def end(self) -> None:
        """Says on the plain connection that no more will come."""
        self.writer.write_eof()

    async def closed(self) -> None:
        """Closes the plain connection: a reset when something has come that was not read."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError as exc:
            exc.__traceback__ = None  # the stream keeps it, and so all frames from here outwards


class Contexts:
    """What both ends of a connection need."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self.server = server
        self.client = client

    @asynccontextmanager
    async def pair(
        self, client: Callable[[], Any] = Recorder, server: Callable[[], Any] = Recorder
    ) -> AsyncIterator[tuple[Any, Any]]:
        """Two protocols with a connection between them, closed in the end."""
        async with self.listening(server) as (port, accepted):
            transport, ours = await asyncio.get_running_loop().create_connection(
                client, "127.0.0.1", port, ssl=self.client, server_hostname="localhost"
            )
            theirs = await accepted
            await theirs.until(lambda: "made" in theirs.events)
            yield ours, theirs
            transport.abort()
            await theirs.until_lost()

    @asynccontextmanager
    async def peer(
        self, server: Callable[[], Any] = Recorder, **timeouts: float
    ) -> AsyncIterator[tuple[Peer, Any]]:
        """A peer, and the protocol of the server that it is connected with."""
        async with self.listening(server, **timeouts) as (port, accepted):
            peer = await Peer.connect(port, self.client)
            theirs = await accepted
            await theirs.until(lambda: "made" in theirs.events)
            yield peer, theirs
            await peer.closed()
            await theirs.until_lost()

    @asynccontextmanager
    async def listening(
        self, factory: Callable[[], Any], **timeouts: float
    ) -> AsyncIterator[tuple[int, asyncio.Future[Any]]]:
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()

        def make() -> Any:
            accepted.set_result(factory())
            return accepted.result()

        server = await loop.create_server(make, "127.0.0.1", 0, ssl=self.server, **timeouts)
        yield server.sockets[0].getsockname()[1], accepted
        server.close()
        await server.wait_closed()
