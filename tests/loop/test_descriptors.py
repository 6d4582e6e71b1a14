"""add_reader, add_writer and sock_*: the user's own descriptors, closed at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fluvial._loop import Loop


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    yield left, right
    left.close()
    right.close()


async def turns(n: int = 3) -> None:
    """Lets the loop poll `n` times."""
    for _ in range(n):
        await asyncio.sleep(0.001)


def test_reader_and_writer(
    loop: asyncio.AbstractEventLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, right = pair
    calls: list[str] = []

    async def main() -> None:
        loop.add_reader(left, calls.append, "read")
        await turns()
        assert calls == []
        right.send(b"x")
        await turns()
        assert calls
        left.recv(1)
        await turns(1)  # the callback may have been ready once more
        calls.clear()
        loop.add_writer(left.fileno(), calls.append, "write")
        await turns()
        assert set(calls) == {"write"}
        assert loop.remove_writer(left)
        assert not loop.remove_writer(left)
        calls.clear()
        right.send(b"x")
        await turns()
        assert set(calls) == {"read"}
        assert loop.remove_reader(left)
        assert not loop.remove_reader(left)
        calls.clear()
        await turns()
        assert calls == []

    loop.run_until_complete(main())


def test_a_socket_closed_while_watched_can_still_be_removed(
    loop: asyncio.AbstractEventLoop,
) -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        fd = left.fileno()
        loop.add_reader(left, print)
        left.close()
        right.close()
        assert loop.remove_reader(left)
        assert not loop.remove_reader(fd)
        with pytest.raises(ValueError, match=r"descriptor|Invalid"):
            loop.remove_reader(left)
        with pytest.raises(ValueError, match=r"descriptor|Invalid"):
            loop.add_reader(left, print)

    loop.run_until_complete(main())


def test_both_sides_of_a_closed_socket_can_be_removed(fluvial_loop: Loop) -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        fluvial_loop.add_reader(left, print)
        fluvial_loop.add_writer(left, print)
        left.close()
        right.close()
        assert fluvial_loop.remove_reader(left)
        assert not fluvial_loop.remove_reader(left)
        assert fluvial_loop.remove_writer(left)

    fluvial_loop.run_until_complete(main())


def test_a_watched_socket_is_kept(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        kept = weakref.ref(left)
        readable = loop.create_future()
        loop.add_reader(left, readable.set_result, None)
        fd = left.fileno()
        del left
        with right:
            right.send(b"x")
            await readable
        left = kept()
        assert left is not None
        assert left.fileno() == fd
        loop.remove_reader(left)
        left.close()

    loop.run_until_complete(main())


async def receive(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    assert await loop.sock_recv(sock, 10) == b"x"


async def receive_into(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    assert await loop.sock_recv_into(sock, bytearray(10)) == 1


async def read(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    await ready.wait()
    assert loop.remove_reader(sock)


async def write(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready = asyncio.Event()
    loop.add_writer(sock, ready.set)
    await ready.wait()
    assert loop.remove_writer(sock)


@pytest.mark.parametrize("use", [receive, receive_into, read, write])
def test_what_the_user_closes_is_closed(
    loop: asyncio.AbstractEventLoop, use: Callable[..., Awaitable[None]]
) -> None:
    """At once: the loop keeps no descriptor of its own for a socket that nothing waits for."""

    async def main() -> None:
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        peer.setblocking(False)
        using = asyncio.ensure_future(use(loop, ours))
        await turns()  # it waits now
        peer.send(b"x")
        await using
        ours.close()
        with contextlib.suppress(ConnectionResetError):  # if not all was read
            assert peer.recv(10) == b""
        peer.close()

    loop.run_until_complete(main())


def test_the_newest_reader_counts(
    loop: asyncio.AbstractEventLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, right = pair
    calls: list[str] = []

    async def main() -> None:
        loop.add_reader(left, calls.append, "old")
        loop.add_reader(left, calls.append, "new")
        right.send(b"x")
        await turns()
        loop.remove_reader(left)

    loop.run_until_complete(main())
    assert set(calls) == {"new"}


def test_a_hang_up_wakes_both_sides(
    loop: asyncio.AbstractEventLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, right = pair
    calls: set[str] = set()

    async def main() -> None:
        loop.add_reader(left, calls.add, "read")
        loop.add_writer(left, calls.add, "write")
        right.close()
        await turns()
        loop.remove_reader(left)
        loop.remove_writer(left)

    loop.run_until_complete(main())
    assert calls == {"read", "write"}


def test_a_descriptor_closed_while_watched_and_its_number_reused(fluvial_loop: Loop) -> None:
    """Neither aborts the process, and the new file is watched."""
    calls: list[str] = []

    async def main() -> None:
        left, right = socket.socketpair()
        number = left.fileno()
        fluvial_loop.add_reader(number, calls.append, "old")
        left.close()
        right.close()
        await turns()
        left, right = socket.socketpair()
        assert left.fileno() == number  # the system gives the lowest that is free
        fluvial_loop.add_reader(number, calls.append, "new")
        right.send(b"x")
        await turns()
        assert set(calls) == {"new"}
        left.close()
        right.close()
        assert fluvial_loop.remove_reader(number)

    fluvial_loop.run_until_complete(main())


def test_files_that_cannot_be_watched(loop: asyncio.AbstractEventLoop) -> None:
    for wrong in (-1, object(), "0"):
        with pytest.raises(ValueError):  # noqa: PT011
            loop.add_reader(wrong, print)  # type: ignore[arg-type]
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.add_reader(read, print)
    with open(__file__) as file, pytest.raises(PermissionError):
        loop.add_reader(file, print)


def test_a_transports_descriptor_is_not_for_users(
    loop: asyncio.AbstractEventLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, _ = pair

    async def main() -> None:
        _, writer = await asyncio.open_connection(sock=left)
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(left, print)
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.remove_writer(writer.get_extra_info("socket").fileno())
        writer.close()
        await writer.wait_closed()

    loop.run_until_complete(main())


def test_sockets(loop: asyncio.AbstractEventLoop) -> None:
    data = os.urandom(1_000_000)

    async def serve(listener: socket.socket) -> None:
        connection, _ = await loop.sock_accept(listener)
        with connection:
            while chunk := await loop.sock_recv(connection, 65536):
                await loop.sock_sendall(connection, chunk)

    async def main() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            listener.setblocking(False)
            client.setblocking(False)
            server = loop.create_task(serve(listener))
            await loop.sock_connect(client, listener.getsockname())
            sending = loop.create_task(loop.sock_sendall(client, data))
            got = bytearray()
            buffer = bytearray(65536)
            while len(got) < len(data):
                n = await loop.sock_recv_into(client, buffer)
                got += buffer[:n]
            await sending
            client.shutdown(socket.SHUT_WR)
            await server
            return bytes(got)

    assert loop.run_until_complete(main()) == data


def test_a_cancelled_receive_stops_watching(
    loop: asyncio.AbstractEventLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    left, right = pair

    async def main() -> bytes:
        receiving = loop.create_task(loop.sock_recv(left, 10))
        await turns(1)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        right.send(b"later")
        await turns()
        return await loop.sock_recv(left, 10)

    assert loop.run_until_complete(main()) == b"later"


# ---- What is no open descriptor ------------------------------------------------------------------

# The table of descriptors would need 2.5 GiB for this number.
FAR = 20_000_000

NO_DESCRIPTOR = """
import errno, resource, socket, sys
import fluvial

loop = fluvial.Loop()
loop.call_soon(loop.stop)
loop.run_forever()
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (500 << 20), resource.RLIM_INFINITY))

class File:
    def fileno(self):
        return FAR

for file in (FAR, File(), 2**31 - 1):
    for add in (loop.add_reader, loop.add_writer):
        try:
            add(file, print)
        except OSError as exc:
            print(errno.errorcode[exc.errno])
    for remove in (loop.remove_reader, loop.remove_writer):
        print(remove(file))
loop.close()
"""


def test_a_number_that_is_not_open_costs_no_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_DESCRIPTOR.replace("FAR", str(FAR))],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["EBADF", "EBADF", "False", "False"] * 3


class Closed:
    def fileno(self) -> int:
        raise ValueError("I/O operation on closed file")


class Odd:
    def fileno(self) -> str:
        return "seven"


class Failing:
    def fileno(self) -> int:
        raise ConnectionError("gone")


class Unfinished:
    def fileno(self) -> int:
        return self.number  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("file", "error"),
    [
        (-1, ValueError),
        (2**31, OverflowError),
        (2**70, OverflowError),
        ("7", ValueError),
        (None, ValueError),
        (7.0, ValueError),
        (Closed(), ValueError),
        (Odd(), ValueError),
        (Unfinished(), ValueError),
        (Failing(), ConnectionError),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fileno") else repr(value),
)
@pytest.mark.parametrize("name", ["add_reader", "add_writer", "remove_reader", "remove_writer"])
def test_what_is_no_descriptor(
    loop: asyncio.AbstractEventLoop, name: str, file: Any, error: type[Exception]
) -> None:
    method = getattr(loop, name)
    if name.startswith("add"):
        with pytest.raises(error):
            method(file, print)
    elif error is OverflowError:
        assert method(file) is False
    else:
        with pytest.raises(error):
            method(file)


@pytest.mark.parametrize("name", ["add_reader", "add_writer"])
def test_a_closed_number(loop: asyncio.AbstractEventLoop, name: str) -> None:
    number = os.dup(0)
    os.close(number)
    with pytest.raises(OSError, match="Bad file descriptor"):
        getattr(loop, name)(number, print)
