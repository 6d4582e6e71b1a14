"""Datagram endpoints over UDP and Unix sockets: what asyncio's do, on both loops."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fluvial._core import DatagramTransport
from fluvial._loop import Loop
from support.recorder import DatagramRecorder as Recorder

SENDS_EMPTY = sys.version_info >= (3, 13)


class Echo(Recorder):
    def datagram_received(self, data: bytes, addr: Any) -> None:
        super().datagram_received(data, addr)
        self.transport.sendto(data, addr)


async def endpoint(protocol: Callable[[], Any] = Recorder, **kwargs: Any) -> Any:
    _, made = await asyncio.get_running_loop().create_datagram_endpoint(protocol, **kwargs)
    return made


async def closed(*protocols: Recorder) -> None:
    for protocol in protocols:
        protocol.transport.close()
        await protocol.lost


def filled_pair() -> tuple[socket.socket, socket.socket]:
    """A pair of Unix datagram sockets, of which the left one can't send before the right one
    receives; how many datagrams that took doesn't matter."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.setblocking(False)
    right.setblocking(False)
    try:
        while True:
            left.send(b"filler")
    except BlockingIOError:
        return left, right


def drain(sock: socket.socket) -> list[bytes]:
    got = []
    try:
        while True:
            got.append(sock.recv(100_000))
    except BlockingIOError:
        return got


# ---- Sending and receiving ------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_echo(loop: asyncio.AbstractEventLoop, host: str) -> None:
    async def main() -> None:
        server = await endpoint(Echo, local_addr=(host, 0))
        address = server.transport.get_extra_info("sockname")
        client = await endpoint(remote_addr=address[:2])
        sizes = [1, 1000, 9000, 65_000 if host == "127.0.0.1" else 60_000]
        for size in sizes:
            client.transport.sendto(b"x" * size)
            await client.until(lambda n=size: client.got and len(client.got[-1][0]) == n)
        assert [len(data) for data, _ in server.got] == sizes
        assert {addr for _, addr in client.got} == {address}
        assert {addr for _, addr in server.got} == {client.transport.get_extra_info("sockname")}
        await closed(client, server)
        assert client.events == server.events == ["made", "lost"]

    loop.run_until_complete(main())


def test_many_at_once_from_several_senders(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        server = await endpoint(local_addr=("127.0.0.1", 0))
        senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
        sent = []
        for n in range(60):
            sock = senders[n % 3]
            sock.sendto(b"%d" % n, server.transport.get_extra_info("sockname"))
            sent.append((b"%d" % n, sock.getsockname()))
        await server.until(lambda: len(server.got) == 60)
        addresses = [("127.0.0.1", sock.getsockname()[1]) for sock in senders]
        assert server.got == [(b"%d" % n, addresses[n % 3]) for n in range(60)]
        for sock in senders:
            sock.close()
        await closed(server)

    loop.run_until_complete(main())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_kinds_of_data(loop: asyncio.AbstractEventLoop, kind: Callable[[bytes], Any]) -> None:
    async def main() -> None:
        server = await endpoint(local_addr=("127.0.0.1", 0))
        client = await endpoint(remote_addr=server.transport.get_extra_info("sockname"))
        client.transport.sendto(kind(b"some data"))
        client.transport.sendto(data=kind(b"more"), addr=None)
        await server.until(lambda: len(server.got) == 2)
        assert [data for data, _ in server.got] == [b"some data", b"more"]
        for wrong in ("text", 7, None):
            with pytest.raises(TypeError, match="bytes-like"):
                client.transport.sendto(wrong)
        await closed(client, server)

    loop.run_until_complete(main())


def test_an_empty_datagram(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        server = await endpoint(local_addr=("127.0.0.1", 0))
        client = await endpoint(remote_addr=server.transport.get_extra_info("sockname"))
        client.transport.sendto(b"")
        client.transport.sendto(memoryview(b""))
        client.transport.sendto(b"last")
        await server.until(lambda: server.got and server.got[-1][0] == b"last")
        got = [data for data, _ in server.got]
        if not SENDS_EMPTY:
            assert got == [b"last"]
        else:
            assert got == [b"", b"", b"last"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.sendto(b"", server.transport.get_extra_info("sockname"))
            await server.until(lambda: len(server.got) == len(got) + 1)
        assert server.got[-1][0] == b""
        await closed(client, server)

    loop.run_until_complete(main())


def test_a_broadcast_endpoint_takes_one_address(loop: asyncio.AbstractEventLoop) -> None:
    """With allow_broadcast the socket isn't connected: the transport keeps the address."""

    async def main() -> None:
        server = await endpoint(Echo, local_addr=("127.0.0.1", 0))
        address = server.transport.get_extra_info("sockname")
        client = await endpoint(remote_addr=address, allow_broadcast=True)
        assert client.transport.get_extra_info("peername") is None
        sock = client.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
        client.transport.sendto(b"one")
        client.transport.sendto(b"two", address)
        with pytest.raises(ValueError, match=r"must be None or \('127.0.0.1', "):
            client.transport.sendto(b"three", ("127.0.0.1", 9))
        await client.until(lambda: len(client.got) == 2)
        await closed(client, server)

    loop.run_until_complete(main())


def test_a_connected_endpoint_takes_no_other_address(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        server = await endpoint(local_addr=("127.0.0.1", 0))
        address = server.transport.get_extra_info("sockname")
        client = await endpoint(remote_addr=address)
        client.transport.sendto(b"right", address)
        with pytest.raises(ValueError, match="Invalid address"):
            client.transport.sendto(b"wrong", ("127.0.0.1", 9))
        await server.until(lambda: server.got)
        await closed(client, server)

    loop.run_until_complete(main())


def test_a_connected_socket_that_is_passed_in(loop: asyncio.AbstractEventLoop) -> None:
    """The kernel knows where to; an address that sendto() is given is ignored, as by asyncio."""

    async def main() -> None:
        server = await endpoint(Echo, local_addr=("127.0.0.1", 0))
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(server.transport.get_extra_info("sockname"))
        client = await endpoint(sock=sock)
        assert client.transport.get_extra_info("peername") == sock.getpeername()
        client.transport.sendto(b"one")
        client.transport.sendto(b"two", ("127.0.0.1", 9))
        await client.until(lambda: len(client.got) == 2)
        await closed(client, server)

    loop.run_until_complete(main())


def test_names_and_other_addresses(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        server = await endpoint(local_addr=("127.0.0.1", 0))
        port = server.transport.get_extra_info("sockname")[1]
        client = await endpoint(family=socket.AF_INET, local_addr=("127.0.0.1", 0))
        for address in (("localhost", port), ("127.0.0.1", port), ("", port)):
            client.transport.sendto(b"x", address)
        await server.until(lambda: len(server.got) == 3)
        await closed(client, server)

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    "address",
    [
        ("127.0.0.1", 70_000),
        ("127.0.0.1", -1),
        ("127.0.0.1", "9"),
        ("127.0.0.1\0", 9),
        ("127.0.0.1",),
        ("127.0.0.1", 9, 0),
        (127, 9),
        "127.0.0.1",
        None,
    ],
)
def test_addresses_that_are_none(loop: asyncio.AbstractEventLoop, address: Any) -> None:
    """They are a fatal error of the transport."""
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))

    async def main() -> None:
        protocol = await endpoint(local_addr=("127.0.0.1", 0))
        protocol.transport.sendto(b"x", address)
        exc = await protocol.lost
        assert isinstance(exc, TypeError | ValueError | OverflowError)
        [context] = reported
        assert context["message"] == "Fatal write error on datagram transport"
        assert context["exception"] is exc
        assert context["transport"] is protocol.transport
        assert protocol.errors == []

    loop.run_until_complete(main())


def test_a_scope(loop: asyncio.AbstractEventLoop) -> None:
    """The loopback interface has no link-local address; its scope id goes through unchanged."""

    async def main() -> None:
        server = await endpoint(Echo, local_addr=("::1", 0))
        address = server.transport.get_extra_info("sockname")
        client = await endpoint(local_addr=("::1", 0))
        scope = socket.if_nametoindex("lo")
        client.transport.sendto(b"four", (*address[:2], 0, scope))
        client.transport.sendto(b"three", (*address[:2], 0))
        client.transport.sendto(b"two", address[:2])
        await client.until(lambda: len(client.got) == 3)
        assert {addr for _, addr in client.got} == {address}
        await closed(client, server)

    loop.run_until_complete(main())


# ---- Unix sockets ---------------------------------------------------------------------------


def test_unix_sockets(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        paths = [str(tmp_path / name) for name in ("server", "client")]
        (tmp_path / "server").touch()
        (tmp_path / "server").unlink()
        server = await endpoint(Echo, family=socket.AF_UNIX, local_addr=paths[0])
        client = await endpoint(family=socket.AF_UNIX, local_addr=paths[1], remote_addr=paths[0])
        client.transport.sendto(b"y" * 100_000)  # larger than UDP's largest
        await client.until(lambda: client.got)
        assert client.got == [(b"y" * 100_000, paths[0])]
        assert server.got[0][1] == paths[1]
        assert client.transport.get_extra_info("peername") == paths[0]
        await closed(client, server)
        # The path of a dead socket is taken over.
        again = await endpoint(family=socket.AF_UNIX, local_addr=paths[0])
        await closed(again)

    loop.run_until_complete(main())


@pytest.mark.skipif(sys.platform != "linux", reason="abstract addresses are Linux's")
def test_abstract_and_unnamed_unix_addresses(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        name = f"\0fluvial-{os.getpid()}-{id(loop)}"
        server = await endpoint(family=socket.AF_UNIX, local_addr=name)
        assert server.transport.get_extra_info("sockname") == name.encode()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unnamed:
            unnamed.sendto(b"x", name)
            await server.until(lambda: server.got)
        assert server.got == [(b"x", None)]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as named:
            named.bind(name + "-client")
            named.sendto(b"y", name)
            await server.until(lambda: len(server.got) == 2)
            named.settimeout(20)
            server.transport.sendto(b"z", server.got[1][1])
            assert named.recv(10) == b"z"
        assert server.got[1] == (b"y", (name + "-client").encode())
        await closed(server)

    loop.run_until_complete(main())


def test_a_pair_whose_ends_have_no_name(fluvial_loop: Loop) -> None:
    """asyncio's sendto() refuses to send to a peer without a name."""

    async def main() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        protocol = await endpoint(sock=left)
        protocol.transport.sendto(b"over")
        right.settimeout(20)
        assert right.recv(10) == b"over"
        right.send(b"back")
        await protocol.until(lambda: protocol.got)
        assert protocol.got[0][0] == b"back"
        right.close()
        await closed(protocol)

    fluvial_loop.run_until_complete(main())


# ---- Flow control ---------------------------------------------------------------------------


def test_what_cant_be_sent_is_queued(fluvial_loop: Loop) -> None:
    async def main() -> None:
        left, right = filled_pair()
        protocol = await endpoint(sock=left)
        transport = protocol.transport
        header = 8 if SENDS_EMPTY else 0
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(high=100)
        assert transport.get_write_buffer_limits() == (25, 100)
        transport.sendto(b"a" * 50)
        assert transport.get_write_buffer_size() == 50 + header
        assert protocol.events == ["made"]
        transport.sendto(bytearray(b"b" * 50))
        transport.sendto(memoryview(b"c" * 50))
        assert transport.get_write_buffer_size() == 150 + 3 * header
        assert protocol.events == ["made", "pause"]
        assert "write=<polling" in repr(transport)
        filler = drain(right)
        await protocol.until(lambda: "resume" in protocol.events)
        await protocol.until(lambda: transport.get_write_buffer_size() == 0)
        assert set(filler) == {b"filler"}
        assert drain(right) == [b"a" * 50, b"b" * 50, b"c" * 50]
        assert "write=<idle" in repr(transport)
        right.close()
        await closed(protocol)

    fluvial_loop.run_until_complete(main())


def test_limits_of_the_write_buffer(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        protocol = await endpoint(local_addr=("127.0.0.1", 0))
        transport = protocol.transport
        transport.set_write_buffer_limits(low=100)
        assert transport.get_write_buffer_limits() == (100, 400)
        transport.set_write_buffer_limits(high=0)
        assert transport.get_write_buffer_limits() == (0, 0)
        for high, low in ((1, 2), (-1, None), (None, -1)):
            with pytest.raises(ValueError, match="must be >= "):
                transport.set_write_buffer_limits(high=high, low=low)
        assert transport.get_write_buffer_limits() == (0, 0)
        assert protocol.events == ["made"]
        await closed(protocol)

    loop.run_until_complete(main())


def test_pausing(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        server = await endpoint(local_addr=("127.0.0.1", 0))
        client = await endpoint(Echo, remote_addr=server.transport.get_extra_info("sockname"))
        assert server.transport.is_reading()
        server.transport.pause_reading()
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        client.transport.sendto(b"waits")
        other = await endpoint(local_addr=("127.0.0.1", 0))
        client2 = await endpoint(remote_addr=other.transport.get_extra_info("sockname"))
        client2.transport.sendto(b"does not")
        await other.until(lambda: other.got)  # the loop has looked at descriptors meanwhile
        assert server.got == []
        server.transport.resume_reading()
        server.transport.resume_reading()
        await server.until(lambda: server.got)
        await closed(client, server, client2, other)

    loop.run_until_complete(main())


# ---- Errors ---------------------------------------------------------------------------------


def test_a_port_that_nobody_listens_on(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        server = await endpoint(local_addr=("127.0.0.1", 0))
        address = server.transport.get_extra_info("sockname")
        client = await endpoint(remote_addr=address)
        await closed(server)
        client.transport.sendto(b"x")
        await client.until(lambda: client.errors)
        assert isinstance(client.errors[0], ConnectionRefusedError)
        assert not client.transport.is_closing()
        await closed(client)
        assert await client.lost is None

    loop.run_until_complete(main())


def test_a_datagram_that_is_too_large(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        client = await endpoint(remote_addr=("127.0.0.1", 9))
        client.transport.sendto(b"x" * 70_000)
        [error] = client.errors
        assert isinstance(error, OSError)
        assert "too long" in str(error)
        await closed(client)

    loop.run_until_complete(main())


def test_what_error_received_raises_is_the_senders(loop: asyncio.AbstractEventLoop) -> None:
    class Failing(Recorder):
        def error_received(self, exc: Exception) -> None:
            raise LookupError("mine")

    async def main() -> None:
        client = await endpoint(Failing, remote_addr=("127.0.0.1", 9))
        with pytest.raises(LookupError, match="mine"):
            client.transport.sendto(b"x" * 70_000)
        assert not client.transport.is_closing()
        await closed(client)

    loop.run_until_complete(main())


def test_a_protocol_that_raises(loop: asyncio.AbstractEventLoop) -> None:
    reported: list[BaseException] = []
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))

    class Failing(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            raise LookupError(data.decode())

        def error_received(self, exc: Exception) -> None:
            super().error_received(exc)
            raise ArithmeticError

    async def main() -> None:
        server = await endpoint(Failing, local_addr=("127.0.0.1", 0))
        client = await endpoint(Failing, remote_addr=server.transport.get_extra_info("sockname"))
        client.transport.sendto(b"first")
        client.transport.sendto(b"second")
        await server.until(lambda: len(server.got) == 2)
        assert not server.transport.is_closing()
        await closed(server)
        client.transport.sendto(b"refused")
        await client.until(lambda: client.errors)
        await closed(client)
        assert [str(exc) for exc in reported] == ["first", "second", ""]
        assert isinstance(reported[2], ArithmeticError)

    loop.run_until_complete(main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_exceptions_that_leave_the_loop(
    loop: asyncio.AbstractEventLoop, kind: type[BaseException]
) -> None:
    class Leaving(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            raise kind

    async def main() -> Recorder:
        return await endpoint(Leaving, local_addr=("127.0.0.1", 0))

    server = loop.run_until_complete(main())
    server.transport.sendto(b"x", server.transport.get_extra_info("sockname"))
    with pytest.raises(kind):
        loop.run_forever()
    loop.run_until_complete(closed(server))


# ---- Closing --------------------------------------------------------------------------------


def test_close_sends_what_is_queued(fluvial_loop: Loop) -> None:
    async def main() -> None:
        left, right = filled_pair()
        protocol = await endpoint(sock=left)
        protocol.transport.sendto(b"one")
        protocol.transport.sendto(b"two")
        protocol.transport.close()
        protocol.transport.close()
        assert protocol.transport.is_closing()
        assert "closing" in repr(protocol.transport)
        await asyncio.sleep(0)
        assert protocol.events == ["made"]
        drain(right)
        assert await protocol.lost is None
        assert drain(right) == [b"one", b"two"]
        assert left.fileno() == -1
        right.close()

    fluvial_loop.run_until_complete(main())


def test_abort_drops_what_is_queued(fluvial_loop: Loop) -> None:
    async def main() -> None:
        left, right = filled_pair()
        protocol = await endpoint(sock=left)
        protocol.transport.sendto(b"one")
        protocol.transport.close()
        protocol.transport.abort()
        assert await protocol.lost is None
        assert set(drain(right)) == {b"filler"}
        assert protocol.transport.get_write_buffer_size() == 0
        right.close()

    fluvial_loop.run_until_complete(main())


def test_sending_after_the_end_is_dropped(fluvial_loop: Loop) -> None:
    async def main() -> None:
        protocol = await endpoint(local_addr=("127.0.0.1", 0))
        transport = protocol.transport
        address = transport.get_extra_info("sockname")
        await closed(protocol)
        for _ in range(10):
            transport.sendto(b"x", address)
        transport.pause_reading()
        transport.resume_reading()
        transport.set_write_buffer_limits(high=0)
        transport.close()
        transport.abort()
        assert transport.get_protocol() is None
        assert protocol.events == ["made", "lost"]
        assert "closed" in repr(transport)

    fluvial_loop.run_until_complete(main())


def test_closed_by_its_protocol_between_datagrams(loop: asyncio.AbstractEventLoop) -> None:
    class Once(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            self.transport.abort()

    async def main() -> None:
        server = await endpoint(Once, local_addr=("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(10):
                sock.sendto(b"x", server.transport.get_extra_info("sockname"))
        await server.lost
        assert len(server.got) == 1

    loop.run_until_complete(main())


def test_a_socket_closed_behind_the_transport(loop: asyncio.AbstractEventLoop) -> None:
    """Its number means another file by then: nothing is sent to that."""

    async def main() -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        address = sock.getsockname()
        protocol = await endpoint(sock=sock)
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        number = sock.fileno()
        sock.close()
        os.dup2(left.fileno(), number)
        protocol.transport.sendto(b"x", address)
        assert isinstance(protocol.errors[0], OSError)
        await closed(protocol)
        right.setblocking(False)
        assert drain(right) == []
        os.close(number)  # still open: the transport closes no number that isn't its own
        left.close()
        right.close()

    loop.run_until_complete(main())


def test_numbers_closed_behind_the_transport(fluvial_loop: Loop) -> None:
    async def main() -> None:
        other = await endpoint(Echo, local_addr=("127.0.0.1", 0))
        protocol = await endpoint(remote_addr=other.transport.get_extra_info("sockname"))
        os.close(protocol.transport.get_extra_info("socket").fileno())
        protocol.transport.sendto(b"x")
        assert isinstance(protocol.errors[0], OSError)
        fluvial_loop.set_exception_handler(lambda *_: None)  # closing fails, too
        await closed(protocol, other)

    fluvial_loop.run_until_complete(main())


def test_an_unclosed_endpoint() -> None:
    async def main() -> tuple[weakref.ref[Any], int]:
        protocol = await endpoint(local_addr=("127.0.0.1", 0))
        fd = protocol.transport.get_extra_info("socket").fileno()
        return weakref.ref(protocol.transport), fd

    def close() -> None:
        loop.close()
        gc.collect()

    loop = Loop()
    ref, fd = loop.run_until_complete(main())
    gc.collect()
    assert ref() is not None  # the loop watches it
    with pytest.warns(ResourceWarning, match="unclosed transport <DatagramTransport"):
        close()
    assert ref() is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_closed_after_its_loop() -> None:
    async def main() -> Recorder:
        return await endpoint(local_addr=("127.0.0.1", 0))

    loop = Loop()
    protocol = loop.run_until_complete(main())
    loop.close()
    protocol.transport.close()
    assert "closed" in repr(protocol.transport)
    assert protocol.events == ["made"]


# ---- What a transport is --------------------------------------------------------------------


def test_what_it_is_and_tells(fluvial_loop: Loop) -> None:
    async def main() -> None:
        server = await endpoint(local_addr=("127.0.0.1", 0), reuse_port=True)
        transport = server.transport
        assert isinstance(transport, asyncio.DatagramTransport)
        assert isinstance(transport, asyncio.Transport)  # as asyncio's own
        assert isinstance(transport, DatagramTransport)
        sock = transport.get_extra_info("socket")
        assert sock.family == socket.AF_INET
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 1
        assert transport.get_extra_info("sockname") == sock.getsockname()
        assert transport.get_extra_info("peername") is None
        assert transport.get_extra_info("nothing", 7) == 7
        twin = await endpoint(local_addr=sock.getsockname(), reuse_port=True)
        transport.note = "users may set attributes"
        assert transport.note.startswith("users")
        assert repr(transport).startswith("<DatagramTransport fd=")
        assert transport.get_protocol() is server
        other = Recorder()
        transport.set_protocol(other)
        await closed(twin)
        transport.close()
        await other.lost
        assert other.events == ["lost"]

    fluvial_loop.run_until_complete(main())


def test_its_descriptor_is_not_for_others(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        protocol = await endpoint(local_addr=("127.0.0.1", 0))
        sock = protocol.transport.get_extra_info("socket")
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(sock.fileno(), print)
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_writer(sock.fileno(), print)
        await closed(protocol)

    loop.run_until_complete(main())


def test_arguments(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="unexpected address family"):
            await endpoint()
        with pytest.raises(TypeError, match="string is expected"):
            await endpoint(family=socket.AF_UNIX, local_addr=("127.0.0.1", 0))
        with pytest.raises(TypeError, match="2-tuple is expected"):
            await endpoint(local_addr="127.0.0.1")
        with pytest.raises(ValueError, match="can not get address information"):
            await endpoint(local_addr=("127.0.0.1", 0), remote_addr=("::1", 9))
        protocol = await endpoint(family=socket.AF_INET, proto=socket.IPPROTO_UDP)
        protocol.transport.sendto(b"x", ("127.0.0.1", 9))  # binds it
        sock = protocol.transport.get_extra_info("socket")
        with pytest.raises(OSError, match="in use"):
            await endpoint(local_addr=("127.0.0.1", sock.getsockname()[1]))
        await closed(protocol)
        with (
            socket.socket() as stream,
            pytest.raises(ValueError, match=r"(?i)socket was expected"),
        ):
            await endpoint(sock=stream)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
            pytest.raises(ValueError, match="modifier keyword arguments"),
        ):
            await endpoint(sock=sock, family=socket.AF_INET)

    loop.run_until_complete(main())


def test_a_socket_of_a_class_of_its_own(loop: asyncio.AbstractEventLoop) -> None:
    """It may send in a way of its own: its method is called."""

    class Shouting(socket.socket):
        def sendto(self, data: bytes, address: Any) -> int:  # type: ignore[override]
            return super().sendto(data.upper(), address)

    async def main() -> None:
        server = await endpoint(local_addr=("127.0.0.1", 0))
        sock = Shouting(socket.AF_INET, socket.SOCK_DGRAM)
        protocol = await endpoint(sock=sock)
        protocol.transport.sendto(b"hello", server.transport.get_extra_info("sockname"))
        await server.until(lambda: server.got)
        assert server.got[0][0] == b"HELLO"
        await closed(protocol, server)

    loop.run_until_complete(main())


def test_transports_made_by_hand() -> None:
    loop = Loop()
    bare = DatagramTransport.__new__(DatagramTransport)
    repr(bare)
    bare.close()
    bare.abort()
    bare.sendto(b"x")
    bare.pause_reading()
    assert bare.get_protocol() is None
    with pytest.raises(RuntimeError, match="not initialised"):
        bare._begin(None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        protocol = asyncio.DatagramProtocol()
        arguments = (sock, socket.AF_INET, protocol, None, None, {})
        with pytest.raises(TypeError, match=r"expected a fluvial\.Loop"):
            DatagramTransport(asyncio.AbstractEventLoop(), *arguments)
        with pytest.raises(ValueError, match="socket family 16"):
            DatagramTransport(loop, sock, 16, protocol, None, None, {})
        transport = DatagramTransport(loop, *arguments)
        with pytest.raises(RuntimeError, match="initialised once"):
            transport.__init__(loop, *arguments)  # type: ignore[misc]
        transport.close()
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_one_on_a_closed_loop() -> None:
    loop = Loop()
    loop.close()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        pytest.raises(RuntimeError, match="closed"),
    ):
        DatagramTransport(loop, sock, socket.AF_INET, asyncio.DatagramProtocol(), None, None, {})


def test_what_is_ready_comes_first(loop: asyncio.AbstractEventLoop) -> None:
    """A datagram that is there already waits for the callbacks that are ready already."""

    async def main() -> Recorder:
        return await endpoint(local_addr=("127.0.0.1", 0))

    server = loop.run_until_complete(main())
    server.transport.sendto(b"x", server.transport.get_extra_info("sockname"))
    seen: list[int] = []
    loop.call_soon(lambda: seen.append(len(server.got)))
    loop.run_until_complete(server.until(lambda: server.got))
    assert seen == [0]
    loop.run_until_complete(closed(server))
