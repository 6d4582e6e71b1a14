"""How soon the loop hears of something while callbacks are always ready: asyncio and uvloop look at
descriptors after each round of them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App
from support.epoll import waits_for_users
from support.serving import serving
from support.socket_pairs import sockets, turns

if TYPE_CHECKING:
    from fluvial._loop import Loop

MANY = 60  # fewer than the callbacks that once ran between two looks


async def rounds(heard: list[Any]) -> int:
    """How many times the running task is resumed until `heard` has something."""
    for n in range(MANY):
        if heard:
            return n
        await asyncio.sleep(0)
    return MANY


class Recorder(asyncio.DatagramProtocol, asyncio.Protocol):
    def __init__(self, heard: list[Any]) -> None:
        self.heard = heard

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)

    def datagram_received(self, data: bytes, _addr: Any) -> None:
        self.heard.append(data)

    def eof_received(self) -> None:
        self.heard.append(b"")


Happen = Callable[[], object]
Listening = Callable[[Any, list[Any]], Any]


@asynccontextmanager
async def reader(loop: Any, heard: list[Any]) -> AsyncIterator[Happen]:
    with sockets() as (left, right):
        loop.add_reader(left, lambda: heard.append(left.recv(10)))
        yield lambda: right.send(b"x")
        loop.remove_reader(left)


@asynccontextmanager
async def writer(loop: Any, heard: list[Any]) -> AsyncIterator[Happen]:
    with sockets() as (left, right):
        left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        fill(left)
        loop.add_writer(left, lambda: (heard.append(1), loop.remove_writer(left)))
        yield lambda: empty(right)
        loop.remove_writer(left)


def fill(sock: socket.socket) -> None:
    try:
        while True:
            sock.send(b"x" * 65536)
    except BlockingIOError:
        pass


def empty(sock: socket.socket) -> None:
    try:
        while sock.recv(1 << 20):
            pass
    except BlockingIOError:
        pass


@asynccontextmanager
async def stream(loop: Any, heard: list[Any]) -> AsyncIterator[Happen]:
    left, right = socket.socketpair()
    with right:
        left.setblocking(False)
        transport, _ = await loop.create_connection(lambda: Recorder(heard), sock=left)
        yield lambda: right.send(b"x")
        transport.abort()


@asynccontextmanager
async def end_of_stream(loop: Any, heard: list[Any]) -> AsyncIterator[Happen]:
    left, right = socket.socketpair()
    left.setblocking(False)
    transport, _ = await loop.create_connection(lambda: Recorder(heard), sock=left)
    yield right.close
    transport.abort()


@asynccontextmanager
async def stream_reader(_loop: Any, heard: list[Any]) -> AsyncIterator[Happen]:
    left, right = socket.socketpair()
    with right:
        left.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=left)
        reading = asyncio.ensure_future(reader.read(10))
        reading.add_done_callback(heard.append)
        yield lambda: right.send(b"x")
        writer.transport.abort()


@asynccontextmanager
async def datagram(loop: Any, heard: list[Any]) -> AsyncIterator[Happen]:
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Recorder(heard), local_addr=("127.0.0.1", 0)
    )
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        yield lambda: sender.sendto(b"x", transport.get_extra_info("sockname"))
    transport.abort()


@asynccontextmanager
async def pipe(loop: Any, heard: list[Any]) -> AsyncIterator[Happen]:
    read, write = os.pipe()
    transport, _ = await loop.connect_read_pipe(lambda: Recorder(heard), os.fdopen(read, "rb", 0))
    yield lambda: os.write(write, b"x")
    transport.close()
    os.close(write)


@asynccontextmanager
async def receiving(loop: Any, heard: list[Any]) -> AsyncIterator[Happen]:
    with sockets() as (left, right):
        waiting = loop.create_task(loop.sock_recv(left, 10))
        waiting.add_done_callback(heard.append)
        yield lambda: right.send(b"x")


@asynccontextmanager
async def connection(loop: Any, heard: list[Any]) -> AsyncIterator[Happen]:
    class Accepted(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            heard.append(transport)
            transport.abort()

    server = await loop.create_server(Accepted, "127.0.0.1", 0)
    with socket.socket() as client:
        yield lambda: client.connect(server.sockets[0].getsockname())
    server.close()


@asynccontextmanager
async def a_timer(loop: Any, heard: list[Any]) -> AsyncIterator[Happen]:
    yield lambda: loop.call_later(0, heard.append, 1)


@asynccontextmanager
async def another_thread(loop: Any, heard: list[Any]) -> AsyncIterator[Happen]:
    def run() -> None:
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(heard.append, 1))
        thread.start()
        thread.join()

    yield run


@asynccontextmanager
async def a_child(loop: Any, heard: list[Any]) -> AsyncIterator[Happen]:
    process = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE)
    waiting = loop.create_task(process.wait())
    waiting.add_done_callback(heard.append)

    def end() -> None:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    yield end


# What asyncio's own loop needs, measured there; the loop's transports are called within the poll.
LISTENING: dict[str, tuple[Listening, int]] = {
    "reader": (reader, 2),
    "writer": (writer, 2),
    "stream": (stream, 2),
    "end_of_stream": (end_of_stream, 2),
    "stream_reader": (stream_reader, 4),
    "datagram": (datagram, 2),
    "pipe": (pipe, 2),
    "receiving": (receiving, 4),
    "connection": (connection, 4),
    "a_timer": (a_timer, 2),
    "another_thread": (another_thread, 2),
}


async def listen_while_busy(loop: Any, listening: Listening) -> int:
    heard: list[Any] = []
    async with listening(loop, heard) as happen:
        await turns()
        for _ in range(10):
            await asyncio.sleep(0)
        happen()
        return await rounds(heard)


@pytest.mark.parametrize("name", LISTENING)
def test_a_busy_loop_hears_of(loop: asyncio.AbstractEventLoop, name: str) -> None:
    listening, most = LISTENING[name]
    assert loop.run_until_complete(listen_while_busy(loop, listening)) <= most


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the sets of epoll")
@pytest.mark.parametrize("name", LISTENING)
def test_a_busy_loop_that_waits_in_the_other_set_hears_of(fluvial_loop: Loop, name: str) -> None:
    listening, most = LISTENING[name]

    async def main() -> int:
        with sockets() as (left, right):
            for _ in range(40):
                waiting = fluvial_loop.create_task(fluvial_loop.sock_recv(left, 1))
                await asyncio.sleep(0)
                right.send(b"x")
                await waiting
            assert waits_for_users()
            return await listen_while_busy(fluvial_loop, listening)

    assert fluvial_loop.run_until_complete(main()) <= most


def test_a_busy_loop_hears_of_a_child(fluvial_loop: Loop) -> None:
    """asyncio's own has a thread wait for it, so that rounds can't be counted there."""
    assert fluvial_loop.run_until_complete(listen_while_busy(fluvial_loop, a_child)) <= 8


def test_callbacks_that_schedule_callbacks(loop: asyncio.AbstractEventLoop) -> None:
    """The same without a task."""
    heard: list[Any] = []
    calls = 0

    def again() -> None:
        nonlocal calls
        calls += 1
        if heard or calls >= MANY:
            loop.stop()
        else:
            loop.call_soon(again)

    with sockets() as (left, right):
        loop.add_reader(left, lambda: heard.append(left.recv(1)))
        right.send(b"x")
        loop.call_soon(again)
        loop.run_forever()
        loop.remove_reader(left)
    assert heard == [b"x"]
    assert calls <= 3


SIGNALS = """
import asyncio, os, signal, sys
import fluvial

async def main():
    heard = []
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, heard.append, 1)
    await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGUSR1)
    for n in range(60):
        if heard:
            break
        await asyncio.sleep(0)
    print(n)

loop = {"asyncio": asyncio.SelectorEventLoop, "fluvial": fluvial.Loop}[sys.argv[1]]
with asyncio.Runner(loop_factory=loop) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("name", ["asyncio", "fluvial"])
def test_a_busy_loop_hears_of_signals(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALS, name], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert int(done.stdout) <= 3


def test_a_server_whose_handler_keeps_the_loop_busy() -> None:
    """New connections and what they send are seen while a handler is always ready to go on."""
    app = App()
    heard: list[Any] = []

    @app.get("/heard")
    async def hear() -> None:
        heard.append(1)

    @app.get("/spin")
    async def spin(port: int) -> list[int]:
        counts = []
        with socket.create_connection(("127.0.0.1", port)) as sock:
            for _ in range(2):
                heard.clear()
                sock.sendall(b"GET /heard HTTP/1.1\r\nHost: a\r\n\r\n")
                counts.append(await rounds(heard))
        return counts

    with serving(app) as served:
        first, second = served.client.get("/spin", params={"port": served.address[1]}).json()
    assert first <= 4, "to be accepted, and to be read from"
    assert second <= 2
