"""asyncio.Server on our acceptors: what asyncio's own does, on both loops, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import os
import resource
import socket
import sys
from asyncio import constants
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fluvial._loop import Loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.tls import Contexts


class Greeting(asyncio.Protocol):
    """Says hello; keeps its transport."""

    transport: Any

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"hello")


async def greeted(address: Any) -> bytes:
    reader, writer = await asyncio.open_connection(*address[:2])
    try:
        return await reader.readexactly(5)
    finally:
        writer.close()
        await writer.wait_closed()


def address_of(server: asyncio.Server) -> Any:
    return server.sockets[0].getsockname()


def test_several_hosts(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.1"]
        server = await loop.create_server(Greeting, hosts, 0)
        names = [sock.getsockname() for sock in server.sockets]
        assert sorted(name[0] for name in names) == ["127.0.0.1", "127.0.0.2"]
        for name in names:
            assert await greeted(name) == b"hello"
        server.close()
        await server.wait_closed()
        assert server.sockets == ()

    loop.run_until_complete(main())


def test_serving_begins_when_it_is_told(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        server = await loop.create_server(Greeting, "127.0.0.1", 0, start_serving=False)
        assert not server.is_serving()
        assert server.get_loop() is loop
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address_of(server))
        await server.start_serving()
        await server.start_serving()
        assert server.is_serving()
        assert await greeted(address_of(server)) == b"hello"
        server.close()
        server.close()
        assert not server.is_serving()

    loop.run_until_complete(main())


def test_serve_forever_ends_with_its_task(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        server = await loop.create_server(Greeting, "127.0.0.1", 0, start_serving=False)
        serving = loop.create_task(server.serve_forever())
        await asyncio.sleep(0)
        assert await greeted(address_of(server)) == b"hello"
        with pytest.raises(RuntimeError, match="already being awaited"):
            await server.serve_forever()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert server.sockets == ()
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()

    loop.run_until_complete(main())


@pytest.mark.parametrize("options", [{"reuse_port": True}, {"reuse_address": False}])
def test_options_of_the_listening_socket(
    loop: asyncio.AbstractEventLoop, options: dict[str, Any]
) -> None:
    if sys.version_info >= (3, 14):
        options = options | {"keep_alive": True}

    async def main() -> None:
        server = await loop.create_server(Greeting, "127.0.0.1", 0, backlog=5, **options)
        sock = server.sockets[0]
        for name, number in (("port", socket.SO_REUSEPORT), ("address", socket.SO_REUSEADDR)):
            expected = options.get(f"reuse_{name}", name == "address")
            assert bool(sock.getsockopt(socket.SOL_SOCKET, number)) == expected
        assert await greeted(address_of(server)) == b"hello"
        server.close()

    loop.run_until_complete(main())


def test_a_socket_of_the_users_own(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        server = await loop.create_server(Greeting, sock=sock)
        assert sock.gettimeout() == 0
        assert await greeted(sock.getsockname()) == b"hello"
        assert server.sockets[0].fileno() == sock.fileno()
        server.close()
        assert sock.fileno() == -1

    loop.run_until_complete(main())


def test_a_listening_socket_that_its_user_closes_first(fluvial_loop: Loop) -> None:
    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        number = sock.fileno()
        server = await fluvial_loop.create_server(Greeting, sock=sock)
        sock.close()
        read, write = os.pipe()  # may have the number now
        assert number in (read, write)
        seen = fluvial_loop.create_future()
        fluvial_loop.add_reader(read, lambda: seen.done() or seen.set_result(None))
        server.close()
        os.write(write, b"x")
        await seen
        fluvial_loop.remove_reader(read)
        os.close(read)
        os.close(write)

    fluvial_loop.run_until_complete(main())


def test_names_of_accepted_connections(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    made: asyncio.Queue[Any] = asyncio.Queue()
    names = ("sockname", "peername")

    class Told(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            made.put_nowait(transport)

    async def look(server: asyncio.Server, client: socket.socket, address: Any) -> list[Any]:
        client.setblocking(False)
        await loop.sock_connect(client, address)
        transport = await made.get()
        told = [transport.get_extra_info(name) for name in names]
        server.close()
        transport.abort()
        await asyncio.sleep(0)
        assert told == [transport.get_extra_info(name) for name in names]
        return told

    async def main() -> None:
        for host in ("127.0.0.1", "::1"):
            server = await loop.create_server(Told, host, 0)
            with socket.socket(server.sockets[0].family) as client:
                address = address_of(server)
                assert await look(server, client, address) == [address, client.getsockname()]
        path = str(tmp_path / "socket")
        for own in (None, str(tmp_path / "client"), b"\0fluvial %d" % os.getpid()):
            server = await loop.create_unix_server(Told, path)
            with socket.socket(socket.AF_UNIX) as client:
                if own is not None:
                    client.bind(own)
                assert await look(server, client, path) == [path, own or ""]
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    loop.run_until_complete(main())


def test_contexts_are_the_servers_and_each_connections_own(
    loop: asyncio.AbstractEventLoop,
) -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var")
    seen = []

    class Looking(asyncio.Protocol):
        def __init__(self) -> None:
            seen.append(var.get())
            var.set("connection")

        def connection_made(self, transport: Any) -> None:
            seen.append(var.get())
            transport.write(b"hello")

    async def main() -> None:
        var.set("server")
        server = await loop.create_server(Looking, "127.0.0.1", 0)
        var.set("later")
        for _ in range(2):
            await greeted(address_of(server))
        server.close()

    loop.run_until_complete(main())
    assert seen == ["server", "connection"] * 2


@pytest.mark.skipif(sys.version_info < (3, 15), reason="new in 3.15")
def test_a_server_has_the_context_that_it_was_made_in(loop: asyncio.AbstractEventLoop) -> None:
    """Not the one in which it begins to serve."""
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var")
    seen = []

    class Looking(Greeting):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen.append(var.get())
            super().connection_made(transport)

    async def main() -> None:
        var.set("made")
        server = await loop.create_server(Looking, "127.0.0.1", 0, start_serving=False)
        var.set("serving")
        await server.start_serving()
        await greeted(address_of(server))
        server.close()

    loop.run_until_complete(main())
    assert seen == ["made"]


@pytest.mark.parametrize("over", ["tcp", "tls"])
def test_a_task_that_resumes_reading_lends_its_context_to_nothing(
    fluvial_loop: Loop, tls: Contexts, over: str
) -> None:
    """As asyncio has it since 3.15."""
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var")
    seen = []

    class Pausing(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            seen.append(("made", var.get()))

        def data_received(self, data: bytes) -> None:
            seen.append(("data", var.get()))
            self.transport.pause_reading()
            self.resuming = asyncio.create_task(self.resume())

        async def resume(self) -> None:
            seen.append(("task", var.get()))
            var.set("task")
            self.transport.resume_reading()

        def connection_lost(self, exc: Exception | None) -> None:
            seen.append(("lost", var.get()))
            lost.set()

    async def main() -> None:
        var.set("server")
        server_side, client_side = (tls.server, tls.client) if over == "tls" else (None, None)
        server = await fluvial_loop.create_server(Pausing, "127.0.0.1", 0, ssl=server_side)
        var.set("later")
        name = "localhost" if over == "tls" else None
        _, writer = await asyncio.open_connection(
            *address_of(server), ssl=client_side, server_hostname=name
        )
        writer.write(b"anything")
        writer.close()
        await lost.wait()
        await writer.wait_closed()
        server.close()

    lost = asyncio.Event()
    fluvial_loop.run_until_complete(main())
    assert seen == [("made", "server"), ("data", "server"), ("task", "server"), ("lost", "server")]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="new in 3.13")
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_clients_are_let_go(loop: asyncio.AbstractEventLoop, method: str) -> None:
    async def main() -> None:
        server = await loop.create_server(Greeting, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*address_of(server))
        await reader.readexactly(5)
        server.close()
        getattr(server, method)()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        await server.wait_closed()
        writer.close()

    loop.run_until_complete(main())


def test_a_server_that_closes_while_it_accepts(loop: asyncio.AbstractEventLoop) -> None:
    made = []

    class Closing(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            made.append(transport)
            server.close()

    async def main() -> None:
        nonlocal server
        server = await loop.create_server(Closing, "127.0.0.1", 0)
        clients = [socket.create_connection(address_of(server)) for _ in range(5)]
        while not made:  # noqa: ASYNC110  # each round is what is tested
            await asyncio.sleep(0)
        for transport in made:
            transport.close()
        await server.wait_closed()
        for client in clients:
            client.close()

    server: Any = None
    loop.run_until_complete(main())
    if isinstance(loop, Loop):
        assert len(made) == 1
        loop.run_until_complete(asyncio.sleep(0))
        assert loop._held() == []


@pytest.mark.parametrize("debug", [False, True])
def test_a_factory_that_raises_costs_one_connection(fluvial_loop: Loop, debug: bool) -> None:
    contexts: list[dict[str, Any]] = []
    broken = True

    def factory() -> asyncio.Protocol:
        if broken:
            raise ZeroDivisionError
        return Greeting()

    async def main() -> None:
        nonlocal broken
        fluvial_loop.set_exception_handler(lambda _, context: contexts.append(context))
        server = await fluvial_loop.create_server(factory, "127.0.0.1", 0)
        fluvial_loop.set_debug(debug)
        reader, writer = await asyncio.open_connection(*address_of(server))
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        fluvial_loop.set_debug(False)
        broken = False
        assert await greeted(address_of(server)) == b"hello"
        server.close()

    fluvial_loop.run_until_complete(main())
    errors = [type(context["exception"]) for context in contexts]
    assert errors == ([ZeroDivisionError] if debug else [])


def test_an_interrupt_out_of_a_factory_leaves_the_loop(fluvial_loop: Loop) -> None:
    def factory() -> asyncio.Protocol:
        raise KeyboardInterrupt

    async def main() -> None:
        server = await fluvial_loop.create_server(factory, "127.0.0.1", 0)
        with contextlib.closing(server), socket.create_connection(address_of(server)):
            await asyncio.sleep(10)

    task = fluvial_loop.create_task(main())
    with pytest.raises(KeyboardInterrupt):
        fluvial_loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        fluvial_loop.run_until_complete(task)


@contextlib.contextmanager
def no_descriptors() -> Iterator[list[int]]:
    """Takes all descriptors that the process may have; close some to free them."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first + 50, before[1]))
    taken = [first]
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for number in taken:
            os.close(number)


def test_out_of_descriptors(fluvial_loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections wait until there are some again; the loop doesn't spin meanwhile."""
    monkeypatch.setattr(constants, "ACCEPT_RETRY_DELAY", 0.3)
    contexts: list[dict[str, Any]] = []

    async def main() -> None:
        told = asyncio.Event()

        def note(_: Any, context: dict[str, Any]) -> None:
            contexts.append(context)
            told.set()

        fluvial_loop.set_exception_handler(note)
        server = await fluvial_loop.create_server(Greeting, "127.0.0.1", 0)
        clients = [socket.socket() for _ in range(3)]
        with no_descriptors() as taken:
            for client in clients:
                client.connect(address_of(server))
                client.setblocking(False)
            await told.wait()
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(contexts) == 1
            for _ in range(10):
                os.close(taken.pop())
            for client in clients:
                assert await fluvial_loop.sock_recv(client, 10) == b"hello"
                client.close()
        server.close()

    fluvial_loop.run_until_complete(main())
    assert contexts[0]["exception"].errno == errno.EMFILE
    assert contexts[0]["socket"].fileno() == -1  # the server's, closed by now


def test_a_server_closed_while_it_waits_for_descriptors(
    fluvial_loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ACCEPT_RETRY_DELAY", 0.001)

    async def main() -> None:
        told = asyncio.Event()
        fluvial_loop.set_exception_handler(lambda *_: told.set())
        server = await fluvial_loop.create_server(Greeting, "127.0.0.1", 0)
        client = socket.socket()
        with no_descriptors():
            client.connect(address_of(server))
            await told.wait()
            server.close()
        await asyncio.sleep(0.01)
        client.close()
        assert fluvial_loop._acceptors == {}

    fluvial_loop.run_until_complete(main())


# ---- Listening sockets that listen no more -------------------------------------------------------


def listening(path: Path, kind: str) -> socket.socket:
    if kind == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path / "socket"))
        sock.listen()
        return sock
    return socket.create_server(("127.0.0.1", 0))


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_socket_that_somebody_shuts_down(
    fluvial_loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It stays readable, and nothing can be accepted: that is told once, and the loop doesn't spin.
    Once it listens again connections are accepted."""
    monkeypatch.setattr(constants, "ACCEPT_RETRY_DELAY", 0.01)
    contexts: list[dict[str, Any]] = []

    async def main() -> None:
        told = asyncio.Event()
        pauses = asyncio.Queue[bool]()
        fluvial_loop.set_exception_handler(
            lambda _, context: (contexts.append(context), told.set())
        )
        pause = fluvial_loop._accept_paused

        def paused(acceptor: Any, *args: Any) -> None:
            pause(acceptor, *args)
            pauses.put_nowait(acceptor.watching)

        monkeypatch.setattr(fluvial_loop, "_accept_paused", paused, raising=False)
        with listening(tmp_path, kind) as other:
            if kind == "unix":  # whose shutdown wakes nobody who polls already
                other.shutdown(socket.SHUT_RD)
                server = await fluvial_loop.create_unix_server(Greeting, sock=other.dup())
            else:
                server = await fluvial_loop.create_server(Greeting, sock=other.dup())
                other.shutdown(socket.SHUT_RD)
            await told.wait()
            watching = [await pauses.get() for _ in range(5)]
            assert watching == [False] * 5
            if kind == "tcp":
                other.listen()
                assert await greeted(other.getsockname()) == b"hello"  # another port now
            server.close()

    fluvial_loop.run_until_complete(main())
    assert [context["exception"].errno for context in contexts] == [errno.EINVAL]
    assert "no longer listens" in contexts[0]["message"]
