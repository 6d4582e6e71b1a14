"""The two sets that the loop waits for, libuv's and that of users' descriptors: in whichever it
waits, it hears of everything; and what was closed behind its back is not reported for ever."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
from support.epoll import epoll_sets, times_watched, waits_for_users
from support.socket_pairs import sockets, turns

if TYPE_CHECKING:
    from fluvial._loop import Loop

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ROUNDS = 40  # more than the loop needs to change its mind


async def hear_of_users(loop: Loop) -> None:
    """Makes the loop wait in the set of users' descriptors."""
    with sockets() as (left, right):
        for _ in range(ROUNDS):
            waiting = loop.create_task(loop.sock_recv(left, 10))
            await asyncio.sleep(0)
            right.send(b"x")
            await waiting
    assert waits_for_users()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def stream() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to an echo server of the same loop: descriptors of libuv's."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        yield reader, writer
        writer.close()
        await writer.wait_closed()


async def hear_of_libuv(loop: Loop) -> None:
    async with stream() as (reader, writer):
        for _ in range(ROUNDS):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
    assert not waits_for_users()


def test_the_loop_waits_in_the_set_that_it_hears_of(fluvial_loop: Loop) -> None:
    async def main() -> None:
        assert not waits_for_users()
        for _ in range(2):
            await hear_of_users(fluvial_loop)
            await hear_of_libuv(fluvial_loop)

    fluvial_loop.run_until_complete(main())


def test_pipes_and_datagrams_are_users_descriptors(fluvial_loop: Loop) -> None:
    class Protocol(asyncio.DatagramProtocol, asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            got.set_result(data)

        def datagram_received(self, data: bytes, _addr: object) -> None:
            got.set_result(data)

    got: asyncio.Future[bytes]

    async def main() -> None:
        nonlocal got
        read, write = os.pipe()
        pipe, _ = await fluvial_loop.connect_read_pipe(Protocol, os.fdopen(read, "rb", 0))
        for n in range(ROUNDS):
            got = fluvial_loop.create_future()
            os.write(write, b"%d" % n)
            assert await got == b"%d" % n
        os.close(write)
        assert waits_for_users()
        await hear_of_libuv(fluvial_loop)
        udp, _ = await fluvial_loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            for n in range(ROUNDS):
                got = fluvial_loop.create_future()
                sender.sendto(b"%d" % n, udp.get_extra_info("sockname"))
                assert await got == b"%d" % n
        assert waits_for_users()
        udp.close()
        pipe.close()
        await turns()

    fluvial_loop.run_until_complete(main())


# ---- All that the loop hears of, while it waits in the set of users' descriptors -----------------


async def timers(loop: Loop) -> None:
    order: list[int] = []
    loop.call_later(0.02, order.append, 2)
    loop.call_later(0.01, order.append, 1)
    await asyncio.sleep(0.03)
    assert order == [1, 2]


async def other_threads(loop: Loop) -> None:
    called = asyncio.Event()
    thread = threading.Timer(0.01, loop.call_soon_threadsafe, [called.set])
    thread.start()
    await called.wait()
    thread.join()
    assert await loop.run_in_executor(None, threading.get_ident) != threading.get_ident()


async def streams(_loop: Loop) -> None:
    async with stream() as (reader, writer):
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.write_eof()
        assert await reader.read() == b""


async def signals(loop: Loop) -> None:
    came = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, came.set)
    threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGUSR1]).start()
    await came.wait()
    loop.remove_signal_handler(signal.SIGUSR1)


async def processes(_loop: Loop) -> None:
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    assert await process.communicate(b"hello") == (b"hello", None)
    assert process.returncode == 0


async def names(loop: Loop) -> None:
    assert await loop.getaddrinfo("127.0.0.1", 80)
    assert await loop.getnameinfo(("127.0.0.1", 80))


async def busy(loop: Loop) -> None:
    """A loop that never blocks polls, all the same, and lets other threads run."""
    over = False

    async def spin() -> None:
        while not over:  # noqa: ASYNC110  # the loop shall not block
            await asyncio.sleep(0)

    spinning = loop.create_task(spin())
    await streams(loop)
    await other_threads(loop)
    await timers(loop)
    with sockets() as (left, right):
        right.send(b"x")
        assert await loop.sock_recv(left, 1) == b"x"
        threading.Timer(0.01, right.send, [b"y"]).start()
        assert await loop.sock_recv(left, 1) == b"y"
    over = True
    await spinning


@pytest.mark.parametrize(
    "use",
    [
        *(timers, other_threads, streams, processes, names, busy),
        pytest.param(signals, marks=pytest.mark.own_process),
    ],
)
def test_everything_is_heard_of(fluvial_loop: Loop, use: Callable[[Loop], Awaitable[None]]) -> None:
    async def main() -> None:
        await hear_of_users(fluvial_loop)
        await use(fluvial_loop)

    fluvial_loop.run_until_complete(main())


def test_both_at_once(fluvial_loop: Loop) -> None:
    """Users' descriptors and libuv's take turns, so that the loop changes sets in between."""

    async def main() -> None:
        await asyncio.gather(
            *(hear_of_users_quietly(fluvial_loop) for _ in range(4)),
            *(streams(fluvial_loop) for _ in range(20)),
            timers(fluvial_loop),
            processes(fluvial_loop),
        )

    async def hear_of_users_quietly(loop: Loop) -> None:
        with contextlib.suppress(AssertionError):
            await hear_of_users(loop)

    fluvial_loop.run_until_complete(main())


def test_the_loop_can_be_closed_there_and_run_again(fluvial_loop: Loop) -> None:
    fluvial_loop.run_until_complete(hear_of_users(fluvial_loop))
    fluvial_loop.run_until_complete(timers(fluvial_loop))
    fluvial_loop.run_until_complete(streams(fluvial_loop))
    fluvial_loop.run_until_complete(hear_of_users(fluvial_loop))
    before = len(epoll_sets())
    fluvial_loop.close()
    assert len(epoll_sets()) == before - 2


@pytest.mark.own_process
@pytest.mark.parametrize("leaves", [False, True], ids=["exits", "returns to the loop"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_there(fluvial_loop: Loop, leaves: bool) -> None:
    """The child's loop is closed, the parent's hears of everything as before."""
    parent = os.getpid()

    async def main() -> int:
        await hear_of_users(fluvial_loop)
        with sockets() as (left, right):
            read = fluvial_loop.create_future()
            fluvial_loop.add_reader(left, read.set_result, None)
            child = os.fork()
            if child == 0 and not leaves:
                os._exit(0 if fluvial_loop.is_closed() else 1)
            await turns()  # the child leaves the loop here
            assert await fluvial_loop.run_in_executor(None, os.waitpid, child, 0) == (child, 0)
            right.send(b"x")
            await read
            assert fluvial_loop.remove_reader(left)
        await hear_of_users(fluvial_loop)
        await streams(fluvial_loop)
        await timers(fluvial_loop)
        return child

    try:
        child = fluvial_loop.run_until_complete(main())
    except BaseException as error:  # the child must not go on with the tests
        if os.getpid() != parent:
            os._exit(0 if isinstance(error, RuntimeError) and "fork" in str(error) else 1)
        raise
    assert child > 0


# ---- What was closed behind the loop's back -----------------------------------------------------


@pytest.fixture(params=[False, True], ids=["libuv's set", "the users' set"])
def settled_loop(request: pytest.FixtureRequest, fluvial_loop: Loop) -> Loop:
    if request.param:
        fluvial_loop.run_until_complete(hear_of_users(fluvial_loop))
    return fluvial_loop


async def check_works(loop: Loop) -> None:
    await streams(loop)
    await timers(loop)
    with sockets() as (left, right):
        waiting = loop.create_task(loop.sock_recv(left, 10))
        await turns()
        right.send(b"x")
        assert await waiting == b"x"


def test_a_watched_number_whose_file_lives_on(settled_loop: Loop) -> None:
    """The kernel goes on to report it, and takes nothing back for a number that is closed."""
    loop = settled_loop

    async def main() -> None:
        with sockets() as (left, right), sockets() as (other, peer):
            heard: list[str] = []
            loop.add_reader(other, heard.append, "other")
            number = left.fileno()
            loop.add_reader(left, heard.append, "left")
            with left.dup() as copy:
                left.close()
                assert loop.remove_reader(number)
                assert times_watched(number) == 1
                right.send(b"x")
                await turns()
                assert times_watched(number) == 0
                assert heard == []
                peer.send(b"y")
                await turns()
                assert set(heard) == {"other"}
                assert copy.recv(1) == b"x"
            assert loop.remove_reader(other)
        await check_works(loop)

    loop.run_until_complete(main())


def test_a_number_kept_for_receiving_whose_file_lives_on(settled_loop: Loop) -> None:
    loop = settled_loop

    async def main() -> None:
        with sockets() as (left, right):
            number = left.fileno()
            waiting = loop.create_task(loop.sock_recv(left, 10))
            await turns()
            right.send(b"x")
            await waiting
            with left.dup():
                left.close()
                assert times_watched(number) == 1
                right.send(b"y")
                await turns()
                assert times_watched(number) == 0
        await check_works(loop)

    loop.run_until_complete(main())


def test_a_number_used_again_while_the_old_file_lives_on(settled_loop: Loop) -> None:
    loop = settled_loop

    async def main() -> None:
        heard: list[str] = []
        with sockets() as (left, right):
            number = left.fileno()
            loop.add_reader(number, heard.append, "old")
            with left.dup():
                left.close()
                fresh, peer = socket.socketpair()
                with fresh, peer:
                    assert fresh.fileno() == number
                    loop.add_reader(number, heard.append, "new")
                    assert times_watched(number) == 2
                    right.send(b"x")
                    await turns()
                    assert times_watched(number) == 1
                    assert heard == []
                    peer.send(b"y")
                    await turns()
                    assert set(heard) == {"new"}
                    assert loop.remove_reader(number)
        await check_works(loop)

    loop.run_until_complete(main())
