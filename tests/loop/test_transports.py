"""Stream transports over TCP and Unix sockets: what asyncio's do, on both loops."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fluvial._loop import Loop


class Recorder(asyncio.Protocol):
    """Keeps what it is told; `events` are the calls' names."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.data = bytearray()
        self.exception: BaseException | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.changed.set()

    def eof_received(self) -> bool | None:
        self.events.append("eof")
        self.changed.set()
        return None

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")
        self.changed.set()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.events.append("lost")
        self.exception = exc
        self.lost.set_result(None)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Keeping(Recorder):
    """Stays open after the peer's end of file."""

    def eof_received(self) -> bool | None:
        super().eof_received()
        return True


class Buffered(asyncio.BufferedProtocol):
    """Takes its data in pieces of at most three bytes."""

    def __init__(self) -> None:
        self.buffer = bytearray(3)
        self.data = bytearray()
        self.eof: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]

    def eof_received(self) -> None:
        self.eof.set_result(None)


@asynccontextmanager
async def connected(
    client: Callable[[], Any] = Recorder, server: Callable[[], Any] = Recorder, unix: bool = False
) -> AsyncIterator[tuple[Any, Any]]:
    """Two protocols with a connection between them, closed in the end."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[Any] = loop.create_future()

    def factory() -> Any:
        protocol = server()
        accepted.set_result(protocol)
        return protocol

    if unix:
        left, right = socket.socketpair()
        ours, _ = await loop.create_connection(client, sock=left)
        _theirs, _ = await loop.connect_accepted_socket(factory, right)
        listener = None
    else:
        listener = await loop.create_server(factory, "127.0.0.1", 0)
        ours, _ = await loop.create_connection(client, *listener.sockets[0].getsockname())
    other = await accepted
    await asyncio.sleep(0)
    try:
        yield ours.get_protocol(), other
    finally:
        if not ours.is_closing():
            ours.abort()
        if hasattr(other, "transport") and not other.transport.is_closing():
            other.transport.abort()
        if listener is not None:
            listener.close()
            await listener.wait_closed()
        await asyncio.sleep(0.001)


Main = Callable[[], Any]


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_data_goes_both_ways(loop: asyncio.AbstractEventLoop, unix: bool) -> None:
    data = os.urandom(3_000_000)

    async def main() -> None:
        async with connected(unix=unix) as (client, server):
            client.transport.write(data)
            server.transport.write(bytearray(data[:1000]))
            server.transport.write(memoryview(data)[1000:2000])
            server.transport.write(b"")
            await server.until(lambda: len(server.data) == len(data))
            await client.until(lambda: len(client.data) == 2000)
            assert server.data == data
            assert client.data == data[:2000]

    loop.run_until_complete(main())


def test_it_is_asyncios_transport(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            transport = client.transport
            assert isinstance(transport, asyncio.Transport)
            assert transport.get_extra_info("peername") == server.transport.get_extra_info(
                "sockname"
            )
            sock = transport.get_extra_info("socket")
            assert isinstance(sock, asyncio.trsock.TransportSocket)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert transport.get_extra_info("missing", "default") == "default"
            assert transport.can_write_eof()
            assert transport.is_reading()
            assert not transport.is_closing()
            assert transport.get_write_buffer_size() == 0
            repr(transport)
            with pytest.raises(TypeError):
                transport.write("text")

    loop.run_until_complete(main())


@pytest.mark.parametrize("size", [10, 40_000])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_writelines_keeps_the_order(
    loop: asyncio.AbstractEventLoop, size: int, kind: type[bytes] | type[bytearray]
) -> None:
    parts = [kind(os.urandom(size)) for _ in range(30)]

    async def main() -> None:
        async with connected() as (client, server):
            client.transport.writelines(parts)
            client.transport.writelines(iter([b"the", b"end"]))
            client.transport.writelines([])
            await server.until(lambda: server.data.endswith(b"theend"))
            assert server.data == b"".join(parts) + b"theend"

    loop.run_until_complete(main())


def test_flow_control(loop: asyncio.AbstractEventLoop) -> None:
    size = 20_000_000

    async def main() -> None:
        async with connected() as (client, server):
            server.transport.pause_reading()
            assert not server.transport.is_reading()
            client.transport.write(bytes(size))
            assert client.events == ["made", "pause"]
            assert 0 < client.transport.get_write_buffer_size() <= size
            await asyncio.sleep(0.01)
            assert not server.data
            server.transport.resume_reading()
            await client.until(lambda: "resume" in client.events)
            assert client.transport.get_write_buffer_size() <= 16 * 1024
            await server.until(lambda: len(server.data) == size)
            client.transport.write(bytes(size))
            assert client.events == ["made", "pause", "resume", "pause"]
            await server.until(lambda: len(server.data) == 2 * size)

    loop.run_until_complete(main())


def test_write_buffer_limits(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            transport = client.transport
            transport.set_write_buffer_limits(high=1000)
            assert transport.get_write_buffer_limits() == (250, 1000)
            transport.set_write_buffer_limits(low=10)
            assert transport.get_write_buffer_limits() == (10, 40)
            transport.set_write_buffer_limits()
            assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
            for wrong in ({"high": 1, "low": 2}, {"low": -1}, {"high": -1}):
                with pytest.raises(ValueError):  # noqa: PT011
                    transport.set_write_buffer_limits(**wrong)
            server.transport.pause_reading()
            transport.set_write_buffer_limits(high=100_000_000)
            transport.write(bytes(20_000_000))
            assert "pause" not in client.events
            transport.set_write_buffer_limits(high=0)
            assert client.events[-1] == "pause"
            server.transport.resume_reading()
            await client.until(lambda: client.events[-1] == "resume")
            assert transport.get_write_buffer_size() == 0

    loop.run_until_complete(main())


def test_close_writes_what_is_queued(loop: asyncio.AbstractEventLoop) -> None:
    size = 10_000_000

    async def main() -> None:
        async with connected() as (client, server):
            client.transport.write(bytes(size))
            client.transport.close()
            client.transport.close()
            assert client.transport.is_closing()
            assert "lost" not in client.events
            await client.lost
            await server.lost
            assert len(server.data) == size
            assert server.events == ["made", "eof", "lost"]
            assert client.events[-1] == "lost"
            assert client.events.count("lost") == 1
            assert client.exception is None

    loop.run_until_complete(main())


def test_abort_drops_what_is_queued(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            server.transport.pause_reading()
            client.transport.write(bytes(20_000_000))
            client.transport.abort()
            client.transport.abort()
            assert "lost" not in client.events  # not from within abort()
            await client.lost
            assert client.exception is None
            server.transport.resume_reading()
            await server.lost
            assert len(server.data) < 20_000_000

    loop.run_until_complete(main())


def test_writing_after_close_is_dropped(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            client.transport.close()
            client.transport.write(b"dropped")
            if isinstance(loop, Loop):  # asyncio's fails from 3.12 on
                client.transport.writelines([b"dropped"])
            await client.lost
            client.transport.write(b"dropped")
            client.transport.write_eof()
            client.transport.close()
            client.transport.abort()
            client.transport.pause_reading()
            client.transport.resume_reading()
            assert not client.transport.is_reading()
            await server.lost
            assert server.data == b""

    loop.run_until_complete(main())


def test_write_eof_and_half_closed_connections(loop: asyncio.AbstractEventLoop) -> None:
    size = 5_000_000

    async def main() -> None:
        async with connected(server=Keeping) as (client, server):
            client.transport.write(bytes(size))
            client.transport.write_eof()
            client.transport.write_eof()
            with pytest.raises(RuntimeError, match="write_eof"):
                client.transport.write(b"more")
            await server.until(lambda: "eof" in server.events)
            assert len(server.data) == size
            server.transport.write(b"answer")
            await client.until(lambda: client.data == b"answer")
            server.transport.close()
            await client.lost
            assert client.events[-2:] == ["eof", "lost"]

    loop.run_until_complete(main())


def test_a_reset_is_told(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            linger = struct.pack("ii", 1, 0)
            sock = server.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            server.transport.abort()
            await client.lost
            assert isinstance(client.exception, ConnectionResetError)

    loop.run_until_complete(main())


def test_reading_stops_inside_data_received(loop: asyncio.AbstractEventLoop) -> None:
    class Pausing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    async def main() -> None:
        async with connected(server=Pausing) as (client, server):
            for count in range(1, 4):
                client.transport.write(b"x")
                await server.until(lambda n=count: len(server.data) == n)
                client.transport.write(b"y")
                await asyncio.sleep(0.002)
                assert len(server.data) == count
                server.data.clear()
                server.transport.resume_reading()
                await server.until(lambda: server.data == b"y")
                server.data = bytearray(b"x" * count)
                server.transport.resume_reading()

    loop.run_until_complete(main())


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_buffered_protocols(loop: asyncio.AbstractEventLoop, unix: bool) -> None:
    async def main() -> None:
        async with connected(server=Buffered, unix=unix) as (client, server):
            client.transport.write(b"0123456789" * 100)
            client.transport.write_eof()
            await server.eof
            assert server.data == b"0123456789" * 100

    loop.run_until_complete(main())


@pytest.mark.parametrize("name", ["pause_reading", "close", "abort"])
def test_get_buffer_may_stop_the_reading(loop: asyncio.AbstractEventLoop, name: str) -> None:
    class Stops(Buffered):
        transport: Any

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            self.asked = asyncio.Event()

        def get_buffer(self, sizehint: int) -> bytearray:
            if not self.asked.is_set():
                self.asked.set()
                getattr(self.transport, name)()
            return super().get_buffer(sizehint)

        def connection_lost(self, exc: Exception | None) -> None:
            if not self.eof.done():
                self.eof.set_result(None)

    async def main() -> None:
        async with connected(server=Stops) as (ours, other):
            ours.transport.write(b"0123456789")
            await other.asked.wait()
            if name == "pause_reading":
                other.transport.resume_reading()
                ours.transport.write_eof()
            await other.eof
            assert other.data == b"0123456789" or name != "pause_reading"

    loop.run_until_complete(main())


def test_the_protocol_may_change(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        async with connected() as (client, server):
            client.transport.write(b"one")
            await server.until(lambda: server.data == b"one")
            buffered = Buffered()
            server.transport.set_protocol(buffered)
            assert server.transport.get_protocol() is buffered
            client.transport.write(b"twotwo")
            client.transport.write_eof()
            await buffered.eof
            assert (server.data, buffered.data) == (b"one", b"twotwo")

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("data_received", "protocol.data_received() call failed"),
        ("eof_received", "protocol.eof_received() call failed"),
        ("connection_made", "Exception in callback"),
        ("connection_lost", "Exception in callback"),
    ],
)
def test_protocols_that_raise(loop: asyncio.AbstractEventLoop, method: str, message: str) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))

    def fail(self: Any, *args: Any) -> Any:
        getattr(Recorder, method)(self, *args)
        raise ZeroDivisionError

    failing = type("Failing", (Recorder,), {method: fail})

    async def main() -> None:
        async with connected(server=failing) as (client, server):
            client.transport.write(b"x")
            client.transport.write_eof()
            await server.lost
            await asyncio.sleep(0)
            assert server.transport.get_extra_info("socket").fileno() == -1
            if method != "connection_made":
                await client.lost

    loop.run_until_complete(main())
    assert message in contexts[0]["message"]
    assert isinstance(contexts[0]["exception"], ZeroDivisionError)


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_flow_control_that_raises(loop: asyncio.AbstractEventLoop, method: str) -> None:
    messages: list[str] = []
    loop.set_exception_handler(lambda _, context: messages.append(context["message"]))

    def fail(self: Any) -> None:
        getattr(Recorder, method)(self)
        raise ZeroDivisionError

    failing = type("Failing", (Recorder,), {method: fail})

    async def main() -> None:
        async with connected(client=failing) as (client, server):
            client.transport.write(bytes(20_000_000))
            await server.until(lambda: len(server.data) == 20_000_000)
            await client.until(lambda: "resume" in client.events)

    loop.run_until_complete(main())
    assert messages == [f"protocol.{method}() failed"]


def test_an_interrupt_out_of_a_protocol_leaves_the_loop(
    loop: asyncio.AbstractEventLoop,
) -> None:
    class Interrupting(Recorder):
        def data_received(self, data: bytes) -> None:
            raise KeyboardInterrupt

    async def main() -> None:
        async with connected(server=Interrupting) as (client, server):
            client.transport.write(b"x")
            await server.lost

    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(main())
    for task in asyncio.all_tasks(loop):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)


def test_protocols_run_in_the_connections_context(fluvial_loop: Loop) -> None:
    import contextvars

    var: contextvars.ContextVar[str] = contextvars.ContextVar("var")
    seen: set[str] = set()

    class Looking(Recorder):
        def data_received(self, data: bytes) -> None:
            seen.add(var.get("unset"))
            super().data_received(data)

        def connection_lost(self, exc: BaseException | None) -> None:
            seen.add(var.get("unset"))
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            seen.add(var.get("unset"))
            super().pause_writing()

    async def main() -> None:
        var.set("client")
        async with connected(client=Looking, server=Recorder) as (client, server):
            server.transport.write(b"x")
            await client.until(lambda: client.data)
            client.transport.write(bytes(20_000_000))
            server.transport.close()
            await client.lost

    fluvial_loop.run_until_complete(main())
    assert seen == {"client"}


def test_a_socket_that_the_user_closes_harms_no_one(fluvial_loop: Loop) -> None:
    """libuv has a duplicate: the connection goes on, another may get the number."""

    async def main() -> None:
        left, right = socket.socketpair()
        number = left.fileno()
        transport, client = await fluvial_loop.create_connection(Recorder, sock=left)
        _, server = await fluvial_loop.connect_accepted_socket(Recorder, right)
        os.close(left.detach())
        other, peer = socket.socketpair()
        assert number in (other.fileno(), peer.fileno())
        for n in range(3):  # each changes what libuv watches
            transport.pause_reading()
            await asyncio.sleep(0)
            transport.resume_reading()
            server.transport.write(b"x")
            await client.until(lambda n=n: len(client.data) == n + 1)
        transport.write(bytes(5_000_000))
        await server.until(lambda: len(server.data) == 5_000_000)
        server.transport.close()
        await client.lost
        other.send(b"still open")
        assert peer.recv(100) == b"still open"
        other.close()
        peer.close()

    fluvial_loop.run_until_complete(main())


def test_a_transport_that_nobody_closed(fluvial_loop: Loop) -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        await fluvial_loop.create_connection(Recorder, sock=left)
        right.close()

    class Holding(Recorder):
        def eof_received(self) -> bool:
            return True

    async def open_one() -> Any:
        left, right = socket.socketpair()
        transport, _ = await fluvial_loop.create_connection(Holding, sock=left)
        right.close()
        return transport

    transport = fluvial_loop.run_until_complete(open_one())
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        fluvial_loop.close()
    assert transport.is_closing()
    assert transport.get_extra_info("socket").fileno() == -1
    transport.write(b"dropped")
    transport.close()


def test_what_was_never_opened_is_harmless() -> None:
    from fluvial import _core

    transport = _core.StreamTransport.__new__(_core.StreamTransport)
    transport.write(b"dropped")
    transport.close()
    transport.abort()
    assert transport.get_write_buffer_size() == 0
    with pytest.raises(RuntimeError):
        transport._make_empty_waiter()
    repr(transport)
    with pytest.raises(TypeError):
        _core.StreamTransport(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)  # type: ignore[arg-type]


def test_a_bad_descriptor_is_refused(fluvial_loop: Loop) -> None:
    async def main() -> None:
        sock = socket.socket()
        sock.close()
        with pytest.raises((OSError, ValueError)):
            await fluvial_loop.connect_accepted_socket(Recorder, sock)

    fluvial_loop.run_until_complete(main())
    assert fluvial_loop._held() == []


def test_many_connections_at_once(loop: asyncio.AbstractEventLoop) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def talk(address: Any, n: int) -> None:
        reader, writer = await asyncio.open_connection(*address)
        for i in range(10):
            message = b"%d %d\n" % (n, i)
            writer.write(message)
            assert await reader.readline() == message
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        await asyncio.gather(*(talk(address, n) for n in range(100)))
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())
    if isinstance(loop, Loop):
        assert loop._held() == []
