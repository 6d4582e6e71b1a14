"""The arguments of create_connection, create_server and their kin, one by one."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

Info = tuple[int, int, int, str, Any]


class Greeting(asyncio.Protocol):
    """Tells what connections there are; closes at the end of the peer's."""

    def __init__(self) -> None:
        self.made: asyncio.Future[asyncio.Transport]
        self.made = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.made.set_result(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Accepted:
    """A protocol factory for servers that remembers what it made."""

    def __init__(self) -> None:
        self.protocols: asyncio.Queue[Greeting] = asyncio.Queue()

    def __call__(self) -> Greeting:
        protocol = Greeting()
        self.protocols.put_nowait(protocol)
        return protocol

    async def peername(self) -> Any:
        transport = await (await self.protocols.get()).made
        return transport.get_extra_info("peername")


async def shut(transport: asyncio.BaseTransport) -> None:
    protocol = transport.get_protocol()
    assert isinstance(protocol, Greeting)
    transport.close()
    await protocol.lost


def address_of(server: asyncio.Server | asyncio.AbstractServer) -> Any:
    assert isinstance(server, asyncio.Server)
    return server.sockets[0].getsockname()


def takes(loop: asyncio.AbstractEventLoop, method: str, argument: str) -> bool:
    return argument in inspect.signature(getattr(loop, method)).parameters


@pytest.fixture
def refusing() -> Iterator[list[int]]:
    """Ports of 127.0.0.1 on which nobody listens, nor will."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        yield [sock.getsockname()[1] for sock in sockets]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port of 127.0.0.1 that answers no attempt to connect: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def resolve_to(
    monkeypatch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop, *addresses: Any
) -> None:
    """Makes every name resolve to these addresses, in this order."""

    async def getaddrinfo(*_args: Any, **_kwargs: Any) -> list[Info]:
        families = {2: socket.AF_INET, 4: socket.AF_INET6}
        return [
            (families[len(address)], socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
            for address in addresses
        ]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


def failures(exc: BaseException) -> str:
    """All that is known of a failed attempt, in order."""
    if isinstance(exc, BaseExceptionGroup):
        return ", ".join(map(failures, exc.exceptions))
    return str(exc)


# ---- create_connection ----------------------------------------------------------------------


def test_addresses_are_tried_in_order(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, refusing: list[int]
) -> None:
    async def main() -> None:
        accepted = Accepted()
        server = await loop.create_server(accepted, "127.0.0.1", 0)
        first, second = [("127.0.0.1", port) for port in refusing]
        resolve_to(monkeypatch, loop, first, second, address_of(server))
        transport, _ = await loop.create_connection(Greeting, "name.test", 1)
        assert transport.get_extra_info("peername") == address_of(server)
        await shut(transport)
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_when_all_addresses_fail(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, refusing: list[int]
) -> None:
    first, second = refusing
    resolve_to(monkeypatch, loop, ("127.0.0.1", first), ("127.0.0.1", second))

    async def main() -> None:
        with pytest.raises(OSError, match="Multiple exceptions") as caught:
            await loop.create_connection(Greeting, "name.test", 1)
        assert str(caught.value).index(str(first)) < str(caught.value).index(str(second))
        if takes(loop, "create_connection", "all_errors"):
            with pytest.raises(ExceptionGroup) as group:
                await loop.create_connection(Greeting, "name.test", 1, all_errors=True)
            assert [type(exc) for exc in group.value.exceptions] == [ConnectionRefusedError] * 2

    loop.run_until_complete(main())


def test_happy_eyeballs(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, silent: int
) -> None:
    """An address that does not answer delays the next one only for so long."""

    async def main() -> None:
        server = await loop.create_server(Accepted(), "127.0.0.1", 0)
        resolve_to(monkeypatch, loop, ("127.0.0.1", silent), address_of(server))
        transport, _ = await loop.create_connection(
            Greeting, "name.test", 1, happy_eyeballs_delay=0.01
        )
        assert transport.get_extra_info("peername") == address_of(server)
        await shut(transport)
        server.close()
        await server.wait_closed()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    ("interleave", "order"), [(0, "abc"), (1, "acb"), (2, "abc"), (None, "acb")]
)
def test_families_are_interleaved(
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
    refusing: list[int],
    interleave: int | None,
    order: str,
) -> None:
    """Given none, happy eyeballs implies one address of the first family before the next."""
    first, second = refusing
    tried: list[str] = []
    addresses: dict[Any, str] = {
        ("127.0.0.1", first): "a",
        ("127.0.0.1", second): "b",
        ("::1", first, 0, 0): "c",
    }
    resolve_to(monkeypatch, loop, *addresses)

    async def sock_connect(_sock: socket.socket, address: Any) -> None:
        tried.append(addresses[address])
        raise ConnectionRefusedError(address)

    monkeypatch.setattr(loop, "sock_connect", sock_connect)

    async def main() -> None:
        delay = 10.0 if interleave is None else None
        with pytest.raises(OSError, match="127"):
            await loop.create_connection(
                Greeting, "name.test", 1, interleave=interleave, happy_eyeballs_delay=delay
            )

    loop.run_until_complete(main())
    assert "".join(tried) == order


def test_a_local_address(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        accepted = Accepted()
        server = await loop.create_server(accepted, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(
            Greeting, *address_of(server), local_addr=("127.0.0.2", 0)
        )
        host, port = transport.get_extra_info("sockname")
        assert host == "127.0.0.2"
        assert await accepted.peername() == ("127.0.0.2", port)
        await shut(transport)
        with pytest.raises(OSError, match="bind"):
            await loop.create_connection(
                Greeting, *address_of(server), local_addr=address_of(server)
            )
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_a_socket_that_is_connected(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        accepted = Accepted()
        server = await loop.create_server(accepted, "127.0.0.1", 0)
        with socket.create_connection(address_of(server)) as sock:
            sock.setblocking(False)
            transport, _ = await loop.create_connection(Greeting, sock=sock)
            assert transport.get_extra_info("sockname") == sock.getsockname()
            assert await accepted.peername() == sock.getsockname()
            await shut(transport)
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"host": "127.0.0.1", "port": 1, "sock": "stream"},
        {"sock": "datagram"},
        {"host": "127.0.0.1", "port": 1, "server_hostname": "name"},
        {"host": "127.0.0.1", "port": 1, "ssl_handshake_timeout": 1},
        {"host": "127.0.0.1", "port": 1, "ssl_shutdown_timeout": 1},
        {"host": "", "port": 1, "ssl": True, "server_hostname": None},
    ],
    ids=str,
)
def test_arguments_that_do_not_go_together(
    loop: asyncio.AbstractEventLoop, arguments: dict[str, Any]
) -> None:
    kinds = {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM}
    with socket.socket(type=kinds[arguments.get("sock", "stream")]) as sock:
        sock.setblocking(False)
        if "sock" in arguments:
            arguments = {**arguments, "sock": sock}
        with pytest.raises(ValueError, match=r".+"):
            loop.run_until_complete(loop.create_connection(Greeting, **arguments))


def test_family_and_flags(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        server = await loop.create_server(Greeting, "localhost", 0, family=socket.AF_INET)
        assert [sock.family for sock in server.sockets] == [socket.AF_INET]
        port = address_of(server)[1]
        transport, _ = await loop.create_connection(
            Greeting, "localhost", port, family=socket.AF_INET, proto=socket.IPPROTO_TCP
        )
        await shut(transport)
        with pytest.raises(socket.gaierror):
            await loop.create_connection(Greeting, "localhost", port, flags=socket.AI_NUMERICHOST)
        with pytest.raises(socket.gaierror):
            await loop.create_connection(Greeting, "127.0.0.1", port, family=socket.AF_INET6)
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_short_visit_is_noticed(loop: asyncio.AbstractEventLoop, host: str) -> None:
    """Who connects, writes and leaves finds the server on its own loop there."""
    visits: list[bytes] = []

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(b"began")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(visited, host, 0, family=socket.AF_INET)
        _, writer = await asyncio.open_connection(host, address_of(server)[1])
        writer.write(b"x")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())
    assert visits == [b"began"]


def test_another_class_of_sockets(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class put in place of socket.socket, as proxies' clients do, is used."""
    connected: list[Any] = []

    class Proxied(socket.socket):
        def connect(self, address: Any) -> None:
            connected.append(address)
            super().connect(address)

    async def main() -> None:
        server = await loop.create_server(Greeting, "127.0.0.1", 0)
        monkeypatch.setattr(socket, "socket", Proxied)
        transport, _ = await loop.create_connection(Greeting, *address_of(server))
        monkeypatch.undo()
        assert connected == [address_of(server)]
        await shut(transport)
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


# ---- create_server --------------------------------------------------------------------------


def test_several_hosts(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        accepted = Accepted()
        server = await loop.create_server(accepted, ["127.0.0.1", "127.0.0.2"], 0)
        addresses = [sock.getsockname() for sock in server.sockets]
        assert {host for host, _ in addresses} == {"127.0.0.1", "127.0.0.2"}
        for address in addresses:
            transport, _ = await loop.create_connection(Greeting, *address)
            assert await accepted.peername() == transport.get_extra_info("sockname")
            await shut(transport)
        server.close()
        await server.wait_closed()
        for address in addresses:
            with pytest.raises(ConnectionRefusedError):
                await loop.create_connection(Greeting, *address)

    loop.run_until_complete(main())


def test_a_port_shared_by_two_servers(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        first = await loop.create_server(Greeting, "127.0.0.1", 0, reuse_port=True)
        address = address_of(first)
        second = await loop.create_server(Greeting, *address, reuse_port=True)
        assert address_of(second) == address
        with pytest.raises(OSError, match="in use"):
            await loop.create_server(Greeting, *address)
        for server in (first, second):
            server.close()
            await server.wait_closed()

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    ("argument", "level", "option"),
    [
        ("reuse_address", socket.SOL_SOCKET, socket.SO_REUSEADDR),
        ("reuse_port", socket.SOL_SOCKET, socket.SO_REUSEPORT),
        ("keep_alive", socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    ],
)
def test_options_of_the_listening_socket(
    loop: asyncio.AbstractEventLoop, argument: str, level: int, option: int
) -> None:
    if not takes(loop, "create_server", argument):
        pytest.skip(f"this Python's create_server() has no {argument}")

    async def main() -> None:
        for value in (True, False):
            server = await loop.create_server(Greeting, "127.0.0.1", 0, **{argument: value})
            assert bool(server.sockets[0].getsockopt(level, option)) is value
            server.close()
            await server.wait_closed()

    loop.run_until_complete(main())


def test_a_server_that_starts_later(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            server = await loop.create_server(Greeting, sock=sock, start_serving=False, backlog=3)
            assert not server.is_serving()
            with pytest.raises(ConnectionRefusedError):
                await loop.create_connection(Greeting, *sock.getsockname())
            serving = asyncio.ensure_future(server.serve_forever())
            await asyncio.sleep(0)  # lets it begin
            assert server.is_serving()
            transport, _ = await loop.create_connection(Greeting, *sock.getsockname())
            await shut(transport)
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert not server.is_serving()

    loop.run_until_complete(main())


# ---- Unix sockets ---------------------------------------------------------------------------


def test_a_path(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def main() -> None:
        server = await loop.create_unix_server(Greeting, path)
        transport, _ = await loop.create_unix_connection(Greeting, path)
        assert transport.get_extra_info("peername") == str(path)
        await shut(transport)
        server.close()
        await server.wait_closed()
        with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
            await loop.create_unix_connection(Greeting, path)

    loop.run_until_complete(main())


@pytest.mark.parametrize("cleanup", [True, False, None])
def test_the_path_after_the_server(
    loop: asyncio.AbstractEventLoop, tmp_path: Path, cleanup: bool | None
) -> None:
    """From Python 3.13 a server removes its path, unless told not to."""
    path = tmp_path / "socket"
    removes = takes(loop, "create_unix_server", "cleanup_socket")
    if cleanup is not None and not removes:
        pytest.skip("this Python's create_unix_server() has no cleanup_socket")
    arguments = {} if cleanup is None else {"cleanup_socket": cleanup}

    async def main() -> None:
        server = await loop.create_unix_server(Greeting, path, **arguments)
        server.close()
        await server.wait_closed()
        assert path.exists() is (not removes if cleanup is None else not cleanup)
        # What was left is no hindrance for the next one.
        server = await loop.create_unix_server(Greeting, path)
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_a_socket_of_the_users(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        accepted = Accepted()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "socket"))
            server = await loop.create_unix_server(accepted, sock=listener)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(tmp_path / "socket"))
                sock.setblocking(False)
                transport, _ = await loop.create_unix_connection(Greeting, sock=sock)
                await (await accepted.protocols.get()).made
                await shut(transport)
            server.close()
            await server.wait_closed()

    loop.run_until_complete(main())


def test_a_connection_that_others_accepted(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            accepted, _ = listener.accept()
            accepted.setblocking(False)
            with client, accepted:
                transport, protocol = await loop.connect_accepted_socket(Greeting, accepted)
                assert transport.get_extra_info("peername") == client.getsockname()
                assert await protocol.made is transport
                client.close()
                assert await protocol.lost is None
            with (
                socket.socket(type=socket.SOCK_DGRAM) as sock,
                pytest.raises(ValueError, match="Stream Socket"),
            ):
                await loop.connect_accepted_socket(Greeting, sock)

    loop.run_until_complete(main())
