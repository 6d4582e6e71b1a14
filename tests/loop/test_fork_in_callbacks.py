"""Forks within what a poll calls: the child gets an error from the loop when the callback returns,
and runs, reads and writes nothing of the parent's."""

from __future__ import annotations

import asyncio
import os
import socket
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, Config
from fluvial._serving.load import adapt
from fluvial._serving.server import Service
from fluvial._serving.sockets import bind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from fluvial._loop import Loop

pytestmark = pytest.mark.own_process

LARGE = b"x" * 5_000_000  # more than a socket holds


@pytest.fixture(autouse=True)
def _no_warning_about_threads() -> Iterator[None]:
    with warnings.catch_warnings():  # from 3.12, when a process with threads forks
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


class Forker:
    """Forks where it is first called, and knows what was called in this process.

    With `child_first` the parent stands still until the child has ended: whatever the child would
    take, read or write, it could.
    """

    def __init__(self, child_first: bool) -> None:
        self.child_first = child_first
        self.pid: int | None = None
        self.status: int | None = None
        self.ran: list[Any] = []

    def __call__(self, what: Any) -> bool:
        """Whether this is the child."""
        self.ran.append(what)
        if self.pid is None:
            self.pid = os.fork()
            if self.pid == 0:
                self.ran = []
            elif self.child_first:
                self.status = os.waitpid(self.pid, 0)[1]
        return self.pid == 0

    async def child_has_ended(self) -> None:
        """Returns once the child has left the loop by the error, having run nothing."""
        assert self.pid is not None
        loop = asyncio.get_running_loop()
        if self.status is None:
            _, self.status = await loop.run_in_executor(None, os.waitpid, self.pid, 0)
        assert os.waitstatus_to_exitcode(self.status) == 0

    def run(self, loop: Loop, main: Callable[[], Awaitable[None]]) -> None:
        """Runs the loop; the child ends here."""
        parent = os.getpid()
        status = 1
        try:
            loop.run_until_complete(main())
            status = 2
        except RuntimeError as error:
            if os.getpid() == parent:
                raise
            if "belongs to the process that forked" in str(error) and not self.ran:
                status = 0
            else:
                traceback.print_exc()
                print("ran in the child:", self.ran)
        except BaseException:
            if os.getpid() == parent:
                raise
            traceback.print_exc()
        finally:
            if os.getpid() != parent:
                os._exit(status)


@pytest.fixture(params=[False, True], ids=["parent first", "child first"])
def forker(request: pytest.FixtureRequest) -> Forker:
    return Forker(request.param)


async def received(loop: Loop, sock: socket.socket, size: int) -> bytes:
    """So many bytes."""
    data = b""
    while len(data) < size:
        piece = await loop.sock_recv(sock, size - len(data))
        assert piece, "the connection was closed"
        data += piece
    return data


def expect_nothing(sock: socket.socket) -> None:
    """Nothing more has come; who could have sent it has ended."""
    with pytest.raises(BlockingIOError):
        sock.recv(1)


class Pair:
    """A transport and, as a socket, its peer."""

    transport: Any
    peer: socket.socket


async def pair_of(loop: Loop, protocol: asyncio.BaseProtocol) -> Pair:
    pair = Pair()
    ours, pair.peer = socket.socketpair()
    pair.peer.setblocking(False)
    pair.transport, _ = await loop.create_connection(lambda: protocol, sock=ours)  # type: ignore[type-var]
    return pair


class Plain(asyncio.Protocol):
    """Answers what it receives."""

    def __init__(self, forker: Forker) -> None:
        self.forker = forker

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.forker(("data", data))
        self.transport.write(b"got " + data)  # the child's goes nowhere


class Buffered(asyncio.BufferedProtocol):
    """The same."""

    def __init__(self, forker: Forker) -> None:
        self.forker = forker
        self.buffer = bytearray(100)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        self.forker.ran.append("get_buffer")
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.forker(("data", bytes(self.buffer[:nbytes])))
        self.transport.write(b"got " + self.buffer[:nbytes])


@pytest.mark.parametrize("kind", [Plain, Buffered])
def test_data_received(fluvial_loop: Loop, forker: Forker, kind: Callable[[Forker], Any]) -> None:
    """Three connections can be read, and written to, when the first of them forks."""

    async def main() -> None:
        pairs = [await pair_of(fluvial_loop, kind(forker)) for _ in range(3)]
        for pair in pairs:
            pair.transport.write(LARGE)
        await asyncio.sleep(0)
        begun = [pair.peer.recv(1_000_000) for pair in pairs]
        for pair in pairs:
            pair.peer.send(b"ping")
        wanted = LARGE + b"got ping"
        for pair, begin in zip(pairs, begun, strict=True):
            rest = await received(fluvial_loop, pair.peer, len(wanted) - len(begin))
            assert begin + rest == wanted
        await forker.child_has_ended()
        for pair in pairs:
            expect_nothing(pair.peer)
            pair.transport.write(b"still open")
            assert await received(fluvial_loop, pair.peer, 10) == b"still open"
            pair.transport.close()
            pair.peer.close()
        await asyncio.sleep(0)

    forker.run(fluvial_loop, main)
    assert [what for what in forker.ran if what != "get_buffer"] == [("data", b"ping")] * 3


@pytest.mark.parametrize("end", ["close", "abort", "write_eof"])
def test_what_the_child_ends_stays_open(fluvial_loop: Loop, forker: Forker, end: str) -> None:

    class Ending(Plain):
        def data_received(self, data: bytes) -> None:
            if self.forker(("data", data)):
                getattr(self.transport, end)()
            else:
                self.transport.write(b"got it")

    async def main() -> None:
        pair = await pair_of(fluvial_loop, Ending(forker))
        pair.peer.send(b"ping")
        assert await received(fluvial_loop, pair.peer, 6) == b"got it"
        await forker.child_has_ended()
        pair.peer.send(b"pong")
        assert await received(fluvial_loop, pair.peer, 6) == b"got it"
        pair.transport.close()
        pair.peer.close()
        await asyncio.sleep(0)

    forker.run(fluvial_loop, main)


def test_resume_writing(fluvial_loop: Loop, forker: Forker) -> None:

    class Writing(Plain):
        def resume_writing(self) -> None:
            self.forker("resume")
            self.transport.write(b"end")

    async def main() -> None:
        pairs = [await pair_of(fluvial_loop, Writing(forker)) for _ in range(2)]
        for pair in pairs:
            pair.transport.write(LARGE)
        for pair in pairs:
            assert await received(fluvial_loop, pair.peer, len(LARGE) + 3) == LARGE + b"end"
        await forker.child_has_ended()
        for pair in pairs:
            expect_nothing(pair.peer)
            pair.transport.close()
            pair.peer.close()
        await asyncio.sleep(0)

    forker.run(fluvial_loop, main)
    assert forker.ran == ["resume"] * 2


def test_connection_made(fluvial_loop: Loop, forker: Forker) -> None:
    """The child takes none of the connections that wait to be accepted."""
    lost = asyncio.Semaphore(0)

    class Greeting(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            forker("made")
            transport.write(b"hello")

        def connection_lost(self, exc: Exception | None) -> None:
            lost.release()

    async def main() -> None:
        server = await fluvial_loop.create_server(Greeting, "127.0.0.1", 0, backlog=10)
        clients = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            assert await received(fluvial_loop, client, 5) == b"hello"
        await forker.child_has_ended()
        for client in clients:
            expect_nothing(client)
            client.close()
            await lost.acquire()
        server.close()
        await server.wait_closed()

    forker.run(fluvial_loop, main)
    assert forker.ran == ["made"] * 4


@pytest.mark.parametrize("many", [1, 4])
def test_a_factory_of_protocols(fluvial_loop: Loop, forker: Forker, many: int) -> None:
    """It is called while the connections that wait are accepted one after the other."""
    lost = asyncio.Semaphore(0)

    class Greeting(asyncio.Protocol):
        def __init__(self) -> None:
            forker("made")

        def connection_made(self, transport: Any) -> None:
            transport.write(b"hello")

        def connection_lost(self, exc: Exception | None) -> None:
            lost.release()

    async def main() -> None:
        server = await fluvial_loop.create_server(Greeting, "127.0.0.1", 0, backlog=10)
        clients = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(many)]
        for client in clients:
            client.setblocking(False)
            assert await received(fluvial_loop, client, 5) == b"hello"
        await forker.child_has_ended()
        for client in clients:
            expect_nothing(client)
            client.close()
            await lost.acquire()
        server.close()
        await server.wait_closed()

    forker.run(fluvial_loop, main)
    assert forker.ran == ["made"] * many


def test_datagram_received(fluvial_loop: Loop, forker: Forker) -> None:
    """Several datagrams come by one system call."""

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            forker(data)
            self.transport.sendto(b"got " + data, addr)

    async def main() -> None:
        transport, _ = await fluvial_loop.create_datagram_endpoint(
            Echo, local_addr=("127.0.0.1", 0)
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.setblocking(False)
            peer.connect(transport.get_extra_info("sockname"))
            for n in range(10):
                peer.send(b"%d" % n)
            got = [await fluvial_loop.sock_recv(peer, 100) for _ in range(10)]
            assert got == [b"got %d" % n for n in range(10)]
            await forker.child_has_ended()
            expect_nothing(peer)
        transport.close()

    forker.run(fluvial_loop, main)
    assert forker.ran == [b"%d" % n for n in range(10)]


def test_pipes(fluvial_loop: Loop, forker: Forker) -> None:

    class Reader(asyncio.Protocol):
        def __init__(self, to: Any) -> None:
            self.to = to

        def data_received(self, data: bytes) -> None:
            forker(data)
            self.to.write(data)

    async def main() -> None:
        ends = []
        for n in range(3):
            (read, write), (read_back, write_back) = os.pipe(), os.pipe()
            to, _ = await fluvial_loop.connect_write_pipe(
                asyncio.BaseProtocol, os.fdopen(write_back, "wb", 0)
            )
            transport, _ = await fluvial_loop.connect_read_pipe(
                lambda to=to: Reader(to), os.fdopen(read, "rb", 0)
            )
            os.write(write, b"%d" % n)
            ends.append((transport, to, write, read_back))
        for n, (_, _, _, read_back) in enumerate(ends):
            assert await fluvial_loop.run_in_executor(None, os.read, read_back, 9) == b"%d" % n
        await forker.child_has_ended()
        for transport, to, write, read_back in ends:
            os.set_blocking(read_back, False)
            with pytest.raises(BlockingIOError):
                os.read(read_back, 9)
            transport.close()
            to.close()
            os.close(write)
            os.close(read_back)
        await asyncio.sleep(0)

    forker.run(fluvial_loop, main)
    assert sorted(forker.ran) == [b"0", b"1", b"2"]


def test_readers(fluvial_loop: Loop, forker: Forker) -> None:

    async def main() -> None:
        socks = [socket.socketpair() for _ in range(3)]
        done = asyncio.Event()

        def ready(sock: socket.socket) -> None:
            fluvial_loop.remove_reader(sock)
            forker(sock.recv(10))
            if len(forker.ran) == 3:
                done.set()

        for ours, peer in socks:
            fluvial_loop.add_reader(ours, ready, ours)
            peer.send(b"x")
        await done.wait()
        await forker.child_has_ended()
        for ours, peer in socks:
            ours.close()
            peer.close()

    forker.run(fluvial_loop, main)
    assert forker.ran == [b"x"] * 3


def test_datagrams_that_wait_to_be_sent(fluvial_loop: Loop, forker: Forker) -> None:
    """The child sends none of what stands in the queue."""
    count, size = 100, 30_000

    class Sender(asyncio.DatagramProtocol):
        def resume_writing(self) -> None:
            forker("resume")

    async def main() -> None:
        ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        peer.setblocking(False)
        transport, _ = await fluvial_loop.create_datagram_endpoint(Sender, sock=ours)
        transport.set_write_buffer_limits(high=size)
        for n in range(count):
            transport.sendto(b"%03d" % n + bytes(size))
        got = [(await fluvial_loop.sock_recv(peer, size + 3))[:3] for _ in range(count)]
        assert got == [b"%03d" % n for n in range(count)]
        await forker.child_has_ended()
        expect_nothing(peer)
        transport.close()
        peer.close()
        await asyncio.sleep(0)

    forker.run(fluvial_loop, main)
    assert forker.ran == ["resume"]


def test_calls_of_an_asgi_app(fluvial_loop: Loop, forker: Forker) -> None:
    """The child calls none of those that wait for the loop to block."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        forker(scope["path"])
        size = 0
        while size < 10:
            size += len((await receive())["body"])
        fields = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"ok"})

    async def main() -> None:
        config = Config(port=0, access_log=False)
        (sock,) = bind(config)
        address = sock.getsockname()
        service = Service(adapt(app), [sock], config)
        ready = asyncio.Event()
        running = fluvial_loop.create_task(service.run(ready.set))
        await ready.wait()
        clients = [socket.create_connection(address) for _ in range(3)]
        for client in clients:
            client.sendall(b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n01234")
            client.setblocking(False)
        while len(forker.ran) < 3:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.001)
        await forker.child_has_ended()
        for client in clients:
            client.sendall(b"56789")
            data = b""
            while not data.endswith(b"\r\n\r\nok"):
                data += await fluvial_loop.sock_recv(client, 1000)
            expect_nothing(client)
            client.close()
        service.stop()
        await running

    forker.run(fluvial_loop, main)
    assert forker.ran == ["/x"] * 3


def test_requests_of_the_server(fluvial_loop: Loop, forker: Forker) -> None:
    """The child answers none of the requests that have come, nor takes connections."""
    app = App()

    @app.get("/{n}")
    async def answer(n: int) -> int:
        forker(n)
        return n

    async def main() -> None:
        config = Config(port=0, access_log=False)
        (sock,) = bind(config)
        address = sock.getsockname()
        service = Service(adapt(app), [sock], config)
        ready = asyncio.Event()
        running = fluvial_loop.create_task(service.run(ready.set))
        await ready.wait()
        clients = [socket.create_connection(address) for _ in range(3)]
        for client in clients:
            client.sendall(b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\n\r\n")
            client.setblocking(False)
        for client in clients:
            data = b""
            while data.count(b"HTTP/1.1 200 OK") < 2 or not data.endswith(b"\r\n\r\n2"):
                data += await fluvial_loop.sock_recv(client, 1000)
        await forker.child_has_ended()
        for client in clients:
            expect_nothing(client)
            client.close()
        service.stop()
        await running

    forker.run(fluvial_loop, main)
    assert sorted(forker.ran) == [1, 1, 1, 2, 2, 2]
