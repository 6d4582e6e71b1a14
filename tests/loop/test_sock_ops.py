"""sock_recv, sock_recv_into and sock_sendall: what they return, raise, and leave watched."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import socket
import ssl
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support.epoll import times_watched
from support.portable import PORTABLE
from support.socket_pairs import Pair, sockets, turns

if TYPE_CHECKING:
    from fluvial._loop import Loop


@pytest.fixture
def pair() -> Iterator[Pair]:
    with sockets() as pair:
        yield pair


# ---- Receiving ----------------------------------------------------------------------------------


def test_data_that_is_there_and_data_that_comes(
    loop: asyncio.AbstractEventLoop, pair: Pair
) -> None:
    left, right = pair

    async def main() -> None:
        right.send(b"there")
        assert await loop.sock_recv(left, 3) == b"the"
        assert await loop.sock_recv(left, 10) == b"re"
        waiting = loop.create_task(loop.sock_recv(left, 10))
        await turns()
        assert not waiting.done()
        assert "sock_recv() running at" in repr(waiting)
        right.send(b"later")
        assert await waiting == b"later"
        right.close()
        assert await loop.sock_recv(left, 10) == b""

    loop.run_until_complete(main())


def test_messages_to_and_fro(loop: asyncio.AbstractEventLoop, pair: Pair) -> None:
    """So many that reading begins with the wait; what is there all at once is read, too."""
    left, right = pair

    async def answer() -> None:
        while data := await loop.sock_recv(right, 100):
            await loop.sock_sendall(right, data)

    async def main() -> None:
        answering = loop.create_task(answer())
        for n in range(100):
            await loop.sock_sendall(left, b"%d" % n)
            assert await loop.sock_recv(left, 100) == b"%d" % n
        await loop.sock_sendall(left, b"x" * 50)
        await turns()
        assert [await loop.sock_recv(left, 1) for _ in range(50)] == [b"x"] * 50
        left.shutdown(socket.SHUT_WR)
        await answering

    loop.run_until_complete(main())


def test_datagrams(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with left, right:
            left.setblocking(False)
            for n in range(40):
                right.send(b"%d" % n)
                if n % 2:
                    assert await loop.sock_recv(left, 100) == b"%d" % (n - 1)
                    assert await loop.sock_recv(left, 100) == b"%d" % n

    loop.run_until_complete(main())


@pytest.mark.parametrize("make", [bytearray, lambda n: memoryview(bytearray(n))])
def test_into_a_buffer(loop: asyncio.AbstractEventLoop, pair: Pair, make: Any) -> None:
    left, right = pair
    buffer = make(4)

    async def main() -> None:
        waiting = loop.create_task(loop.sock_recv_into(left, buffer))
        await turns()
        right.send(b"12345")
        assert await waiting == 4
        assert bytes(buffer) == b"1234"
        assert await loop.sock_recv_into(left, buffer) == 1
        assert bytes(buffer) == b"5234"
        with pytest.raises(TypeError):
            await loop.sock_recv_into(left, b"1234")  # type: ignore[arg-type]

    loop.run_until_complete(main())


def test_a_buffer_may_change_its_size_while_nothing_comes(
    loop: asyncio.AbstractEventLoop, pair: Pair
) -> None:
    left, right = pair
    buffer = bytearray(1)

    async def main() -> None:
        waiting = loop.create_task(loop.sock_recv_into(left, buffer))
        await turns()
        buffer.extend(b"..")
        right.send(b"123")
        assert await waiting == 3

    loop.run_until_complete(main())
    assert buffer == b"123"


def test_large_amounts_arrive_whole(loop: asyncio.AbstractEventLoop, pair: Pair) -> None:
    left, right = pair
    data = os.urandom(3_000_000)

    async def main() -> bytes:
        sending = loop.create_task(loop.sock_sendall(right, memoryview(data)))
        parts = []
        while sum(map(len, parts)) < len(data):
            parts.append(await loop.sock_recv(left, 1_000_000))
        await sending
        return b"".join(parts)

    assert loop.run_until_complete(main()) == data


def test_a_cancelled_receive_loses_nothing(fluvial_loop: Loop, pair: Pair) -> None:
    """asyncio's own does: it receives before the task runs again."""
    left, right = pair

    async def main() -> bytes:
        waiting = fluvial_loop.create_task(fluvial_loop.sock_recv(left, 10))
        await turns()
        right.send(b"data")
        await asyncio.sleep(0)
        waiting.cancel()  # the task is about to run
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await fluvial_loop.sock_recv(left, 10)

    assert fluvial_loop.run_until_complete(main()) == b"data"


# ---- Sending ------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_what_fits_is_sent_at_once(
    loop: asyncio.AbstractEventLoop, pair: Pair, data: bytes
) -> None:
    left, right = pair

    async def main() -> None:
        assert await loop.sock_sendall(left, data) is None
        left.shutdown(socket.SHUT_WR)
        assert await loop.sock_recv(right, 10) == bytes(data)

    loop.run_until_complete(main())


def test_what_cannot_be_sent(loop: asyncio.AbstractEventLoop, pair: Pair) -> None:
    left, right = pair

    async def main() -> None:
        with pytest.raises(TypeError, match="bytes-like"):
            await loop.sock_sendall(left, "text")  # type: ignore[arg-type]
        right.close()
        with pytest.raises(BrokenPipeError):
            await loop.sock_sendall(left, b"x")

    loop.run_until_complete(main())


def test_the_peer_leaves_while_it_is_sent_to(loop: asyncio.AbstractEventLoop, pair: Pair) -> None:
    left, right = pair

    async def main() -> None:
        sending = loop.create_task(loop.sock_sendall(left, b"x" * 3_000_000))
        await turns()
        assert not sending.done()
        right.close()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await sending

    loop.run_until_complete(main())
    assert times_watched(left.fileno()) == 0


def test_sending_can_be_cancelled(loop: asyncio.AbstractEventLoop, pair: Pair) -> None:
    left, right = pair

    async def main() -> None:
        sending = loop.create_task(loop.sock_sendall(left, b"x" * 3_000_000))
        await turns()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        got = 0
        while len(await loop.sock_recv(right, 1_000_000)) == 1_000_000:
            got += 1
        await turns()
        with pytest.raises(BlockingIOError):
            right.recv(1)

    loop.run_until_complete(main())
    assert times_watched(left.fileno()) == 0


# ---- Sockets that won't do ----------------------------------------------------------------------


def test_closed_sockets(loop: asyncio.AbstractEventLoop, pair: Pair) -> None:
    left, _ = pair
    left.close()

    async def main() -> None:
        for operation in (
            loop.sock_recv(left, 1),
            loop.sock_recv_into(left, bytearray(1)),
            loop.sock_sendall(left, b"x"),
        ):
            with pytest.raises(OSError, match="Bad file descriptor"):
                await operation

    loop.run_until_complete(main())


def test_a_socket_closed_between_its_readiness_and_the_task(fluvial_loop: Loop, pair: Pair) -> None:
    left, right = pair

    async def main() -> None:
        waiting = fluvial_loop.create_task(fluvial_loop.sock_recv(left, 10))
        await turns()
        right.send(b"data")
        await asyncio.sleep(0)
        left.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            await waiting

    fluvial_loop.run_until_complete(main())


def test_sockets_of_other_kinds_are_asyncios_business(
    loop: asyncio.AbstractEventLoop, pair: Pair
) -> None:
    class Loud(socket.socket):
        def recv(self, *args: Any) -> bytes:
            return super().recv(*args).upper()

    left, right = pair
    loud = Loud(fileno=left.detach())

    async def main() -> None:
        waiting = loop.create_task(loop.sock_recv(loud, 10))
        await turns()
        right.send(b"hello")
        assert await waiting == b"HELLO"

    with loud:
        loop.run_until_complete(main())


def test_tls_sockets_are_refused(loop: asyncio.AbstractEventLoop, pair: Pair) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    left, _ = pair
    wrapped = context.wrap_socket(left, do_handshake_on_connect=False)
    with wrapped, pytest.raises(TypeError, match="SSLSocket"):
        loop.run_until_complete(loop.sock_recv(wrapped, 1))


def test_blocking_sockets_are_refused_in_debug_mode(
    loop: asyncio.AbstractEventLoop, pair: Pair
) -> None:
    left, _ = pair
    left.setblocking(True)
    loop.set_debug(True)
    for operation in (loop.sock_recv(left, 1), loop.sock_sendall(left, b"x")):
        with pytest.raises(ValueError, match="non-blocking"):
            loop.run_until_complete(operation)


def test_wrong_arguments(loop: asyncio.AbstractEventLoop, pair: Pair) -> None:
    left, right = pair
    right.send(b"x")
    with pytest.raises(TypeError):
        loop.sock_recv(left)  # type: ignore[call-arg]
    for wrong in (-1, sys.maxsize + 1):
        with pytest.raises((ValueError, OverflowError)):
            loop.run_until_complete(loop.sock_recv(left, wrong))
    assert loop.run_until_complete(loop.sock_recv(left, 0)) == b""
    assert loop.run_until_complete(loop.sock_recv(sock=left, n=1)) == b"x"  # type: ignore[call-arg]


def test_a_transports_socket_is_refused(loop: asyncio.AbstractEventLoop, pair: Pair) -> None:
    """Also when the socket had been waited for before the transport took it."""
    left, right = pair

    async def main() -> None:
        for _ in range(20):
            waiting = loop.create_task(loop.sock_recv(left, 1))
            await asyncio.sleep(0)
            right.send(b"x")
            await waiting
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await asyncio.wait_for(loop.sock_recv(left, 1), 20)
        transport.close()
        await turns()

    loop.run_until_complete(main())


# ---- What stays watched -------------------------------------------------------------------------


@pytest.mark.skipif(PORTABLE, reason="a duplicate would keep closed sockets open")
def test_a_socket_stays_watched_for_who_waits_next(fluvial_loop: Loop, pair: Pair) -> None:
    left, right = pair

    async def receive() -> None:
        waiting = fluvial_loop.create_task(fluvial_loop.sock_recv(left, 10))
        await asyncio.sleep(0)
        right.send(b"x")
        assert await waiting == b"x"

    async def main() -> None:
        for _ in range(3):
            await receive()
            assert times_watched(left.fileno()) == 1
        await turns()
        assert times_watched(left.fileno()) == 1
        right.send(b"nobody waits")
        await turns()
        assert times_watched(left.fileno()) == 0
        assert await fluvial_loop.sock_recv(left, 100) == b"nobody waits"
        await receive()

    fluvial_loop.run_until_complete(main())


def test_a_socket_that_stays_watched_is_not_kept(fluvial_loop: Loop) -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        left.setblocking(False)
        with right:
            waiting = fluvial_loop.create_task(fluvial_loop.sock_recv(left, 10))
            await asyncio.sleep(0)
            right.send(b"x")
            await waiting
            del waiting
            with pytest.warns(ResourceWarning):  # noqa: PT031
                del left
                gc.collect()
            assert right.recv(1) == b""

    fluvial_loop.run_until_complete(main())


def test_the_next_socket_with_the_number_is_watched(fluvial_loop: Loop) -> None:
    async def use() -> int:
        left, right = socket.socketpair()
        left.setblocking(False)
        with left, right:
            for _ in range(12):  # until reading begins with the wait
                waiting = fluvial_loop.create_task(fluvial_loop.sock_recv(left, 10))
                await asyncio.sleep(0)
                right.send(b"x")
                assert await asyncio.wait_for(waiting, 20) == b"x"
            return left.fileno()

    async def main() -> None:
        assert len({await use() for _ in range(5)}) == 1

    fluvial_loop.run_until_complete(main())


def test_readers_and_writers_beside(loop: asyncio.AbstractEventLoop, pair: Pair) -> None:
    left, right = pair
    calls: list[str] = []

    async def main() -> None:
        loop.add_writer(left, calls.append, "write")
        waiting = loop.create_task(loop.sock_recv(left, 10))
        await turns()
        right.send(b"x")
        assert await waiting == b"x"
        assert calls
        calls.clear()
        await turns()
        assert calls  # the writer is still there
        assert loop.remove_writer(left)
        calls.clear()
        right.send(b"x")
        loop.add_reader(left, calls.append, "read")
        await turns()
        assert set(calls) == {"read"}
        assert await loop.sock_recv(left, 10) == b"x"
        assert loop.remove_reader(left)
        waiting = loop.create_task(loop.sock_recv(left, 10))
        await turns()
        right.send(b"y")
        assert await waiting == b"y"

    loop.run_until_complete(main())


# ---- The objects --------------------------------------------------------------------------------


def test_they_are_coroutines(loop: asyncio.AbstractEventLoop, pair: Pair) -> None:
    left, right = pair
    right.send(b"abc")
    operation = loop.sock_recv(left, 1)
    assert asyncio.iscoroutine(operation)
    assert inspect.isawaitable(operation)
    assert loop.run_until_complete(operation) == b"a"
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        loop.run_until_complete(operation)
    assert loop.run_until_complete(asyncio.wait_for(loop.sock_recv(left, 1), 10)) == b"b"
    operation = loop.sock_recv(left, 1)
    with pytest.raises(StopIteration) as stopped:
        operation.send(None)
    assert stopped.value.value == b"c"


def test_nothing_happens_before_they_are_awaited(
    loop: asyncio.AbstractEventLoop, pair: Pair
) -> None:
    left, right = pair
    operation = loop.sock_sendall(left, b"x")
    loop.run_until_complete(turns())
    with pytest.raises(BlockingIOError):
        right.recv(1)
    with pytest.warns(RuntimeWarning, match="sock_sendall' was never awaited"):  # noqa: PT031
        del operation
        gc.collect()


def test_closed_ones_wait_no_more(fluvial_loop: Loop, pair: Pair) -> None:
    loop = fluvial_loop
    left, _ = pair
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        operation = loop.sock_recv(left, 1)
        operation.close()
        del operation

    async def main() -> None:
        operation = loop.sock_recv(left, 1)
        future = operation.send(None)
        assert isinstance(future, asyncio.Future)
        operation.close()
        with pytest.raises(RuntimeError, match="cannot reuse"):
            operation.send(None)
        assert not loop.remove_reader(left)

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    "thrown", [(KeyError,), (KeyError("x"),), (KeyError, "x"), (KeyError, KeyError("x"), None)]
)
@pytest.mark.filterwarnings("ignore:the .type, exc, tb. signature:DeprecationWarning")
def test_what_is_thrown_in_comes_out(
    fluvial_loop: Loop, pair: Pair, thrown: tuple[Any, ...]
) -> None:
    loop = fluvial_loop
    left, _ = pair

    async def main() -> None:
        operation = loop.sock_recv(left, 1)
        operation.send(None)
        with pytest.raises(KeyError):
            operation.throw(*thrown)
        assert not loop.remove_reader(left)

    loop.run_until_complete(main())


def test_one_that_outlives_its_loop(fluvial_loop: Loop, pair: Pair) -> None:
    left, _ = pair
    operations = [fluvial_loop.sock_recv(left, 1) for _ in range(2)]
    waiting = operations[0].send(None)
    fluvial_loop.close()
    operations[0].close()
    with pytest.raises(RuntimeError, match="closed"):
        operations[1].send(None)
    del waiting


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ came with 3.12")
def test_a_buffer_whose_release_closes_the_operation(fluvial_loop: Loop, pair: Pair) -> None:
    left, _ = pair
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    released: list[bool] = []

    class Data:
        memory = bytearray(1_000_000)

        def __buffer__(self, flags: int) -> memoryview:
            return memoryview(self.memory)

        def __release_buffer__(self, view: memoryview) -> None:
            released.append(True)
            operation.close()

    operation: Any = fluvial_loop._send_all(left, Data())  # type: ignore[arg-type]
    waiting = operation.send(None)
    operation.close()
    assert released == [True]
    del waiting


def test_a_cycle_through_one_is_collected(fluvial_loop: Loop, pair: Pair) -> None:
    class Data(bytearray):
        operation: Any

    def alive() -> int:
        return len([obj for obj in gc.get_objects() if type(obj) is Data])

    left, _ = pair
    data = Data(10)
    data.operation = fluvial_loop._receive_into(left, data)
    assert alive() == 1
    del data
    gc.collect()
    assert alive() == 0


def test_what_is_awaited_is_awaited_once(fluvial_loop: Loop, pair: Pair) -> None:
    left, right = pair
    right.send(b"x")

    async def main() -> None:
        operation = fluvial_loop._receive(left, 10)
        assert await operation == b"x"
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await operation
        for method in (fluvial_loop._receive, fluvial_loop._receive_into, fluvial_loop._send_all):
            with pytest.raises(TypeError, match="one more argument"):
                method(left)  # type: ignore[call-arg]

    fluvial_loop.run_until_complete(main())
