"""Forks with a live loop: the child gets clear errors, the parent notices nothing."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, Config
from fluvial._loop import Loop
from fluvial._serving.load import adapt
from fluvial._serving.server import Service
from fluvial._serving.sockets import bind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.own_process


@pytest.fixture(autouse=True)
def _no_warning_about_threads() -> Iterator[None]:
    with warnings.catch_warnings():  # from 3.12, when a process with threads forks
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def in_child(work: Callable[[], None]) -> int:
    """Forks, does the work in the child and returns the child's exit status: 0 when it was done."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def uses(loop: Loop) -> list[Callable[[], Any]]:
    """Ways to use a loop."""

    async def nothing() -> None:
        pass

    coro = nothing()
    left, right = socket.socketpair()
    return [
        lambda: loop.call_soon(print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.call_later(0, print),
        lambda: loop.call_at(0, print),
        lambda: loop.create_task(coro),
        lambda: loop.run_until_complete(coro),
        lambda: loop.run_forever(),
        lambda: loop.run_in_executor(None, print),
        lambda: loop.add_reader(left, print),
        lambda: loop.add_writer(right, print),
        lambda: loop.add_signal_handler(signal.SIGUSR1, print),
    ]


def refuse_all(loop: Loop) -> None:
    for use in uses(loop):
        with pytest.raises(RuntimeError, match=r"belongs to the process that forked"):
            use()
    assert loop.is_closed()
    assert not loop.is_running()


def check_works(loop: Loop) -> None:
    """Timers, threads and descriptors."""

    async def main() -> None:
        left, right = socket.socketpair()
        left.setblocking(False)
        right.setblocking(False)
        with left, right:
            reading = loop.create_task(loop.sock_recv(left, 10))
            await asyncio.sleep(0.001)
            await loop.run_in_executor(None, right.send, b"x")
            assert await reading == b"x"

    loop.run_until_complete(main())


def test_every_use_in_the_child_is_refused(fluvial_loop: Loop) -> None:
    check_works(fluvial_loop)
    fluvial_loop.call_soon(print)
    timer = fluvial_loop.call_later(9, print)

    def work() -> None:
        refuse_all(fluvial_loop)
        timer.cancel()
        fluvial_loop.close()
        fluvial_loop.close()

    assert in_child(work) == 0
    timer.cancel()
    check_works(fluvial_loop)


def test_a_new_loop_works_in_the_child(fluvial_loop: Loop) -> None:
    check_works(fluvial_loop)

    def work() -> None:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(asyncio.sleep(0.001))
            check_works(runner.get_loop())  # type: ignore[arg-type]

    assert in_child(work) == 0
    check_works(fluvial_loop)


@pytest.mark.parametrize("leaves", [False, True], ids=["exits", "returns to the loop"])
def test_a_fork_in_a_coroutine(fluvial_loop: Loop, leaves: bool) -> None:
    """A child that goes on gets out of the loop by an error, and runs nothing of the parent's."""
    ran: list[int] = []
    parent = os.getpid()

    async def main() -> int:
        fluvial_loop.call_soon(lambda: ran.append(os.getpid()))
        pid = os.fork()
        if pid == 0:
            if leaves:
                await asyncio.sleep(0)
            refuse_all(fluvial_loop)
            os._exit(0)
        await asyncio.sleep(0.001)
        return pid

    try:
        pid = fluvial_loop.run_until_complete(main())
    except RuntimeError as error:
        if os.getpid() == parent:
            raise
        os._exit(0 if "belongs to the process" in str(error) and ran == [] else 1)
    except BaseException:
        if os.getpid() == parent:
            raise
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ran == [parent]
    check_works(fluvial_loop)


def test_what_the_child_closes_is_still_watched_in_the_parent(fluvial_loop: Loop) -> None:
    class Receiver(asyncio.Protocol):
        transport: Any

        def __init__(self) -> None:
            self.got: asyncio.Future[bytes] = fluvial_loop.create_future()

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.got.set_result(data)

    async def main() -> None:
        left, right = socket.socketpair()
        watched, other = socket.socketpair()
        transport, protocol = await fluvial_loop.create_connection(Receiver, sock=left)
        readable: asyncio.Future[None] = fluvial_loop.create_future()
        fluvial_loop.add_reader(watched, lambda: readable.done() or readable.set_result(None))
        await asyncio.sleep(0.001)
        with right, watched, other:

            def work() -> None:
                fluvial_loop.remove_reader(watched)
                watched.close()
                transport.abort()
                gc.collect()

            assert in_child(work) == 0
            right.send(b"to the parent")
            other.send(b"x")
            assert await protocol.got == b"to the parent"
            await readable
            fluvial_loop.remove_reader(watched)
            transport.close()
            await asyncio.sleep(0)

    fluvial_loop.run_until_complete(main())
    check_works(fluvial_loop)


def test_the_child_collects_the_loop_with_all_that_is_open() -> None:
    loop = Loop()

    async def main() -> Any:
        server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1")
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        return server, writer

    kept = loop.run_until_complete(main())

    def work() -> None:
        nonlocal kept, loop
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            del kept, loop
            gc.collect()
            gc.collect()

    assert in_child(work) == 0
    server, writer = kept
    writer.close()
    server.close()
    loop.run_until_complete(server.wait_closed())
    check_works(loop)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


class Witness:
    """Tells in which process it was destroyed."""

    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    def __del__(self) -> None:
        self.seen.append(os.getpid())


def test_what_waits_is_forgotten_in_the_child() -> None:
    """Neither called nor destroyed there, even when the loop is closed and collected."""
    seen: list[int] = []
    loop = Loop()
    check_works(loop)
    loop.call_soon(print, Witness(seen))
    loop.call_later(0.01, print, Witness(seen))
    loop.call_later(600, print, Witness(seen))

    def work() -> None:
        nonlocal loop
        loop.close()
        del loop
        gc.collect()
        assert seen == []

    assert in_child(work) == 0
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert seen == [os.getpid()] * 3


def test_a_fork_beside_the_loops_thread(fluvial_loop: Loop) -> None:
    """The thread that runs the loop isn't in the child: there it doesn't run."""
    thread = threading.Thread(target=fluvial_loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), fluvial_loop).result(60)

    def work() -> None:
        refuse_all(fluvial_loop)
        fluvial_loop.close()

    assert in_child(work) == 0
    fluvial_loop.call_soon_threadsafe(fluvial_loop.stop)
    thread.join()
    check_works(fluvial_loop)


def test_the_child_closes_a_loop_whose_threads_are_at_work() -> None:
    """libuv's threads have stayed with the parent: the child doesn't wait for them."""
    loop = Loop()

    async def begin() -> list[asyncio.Task[Any]]:
        names = [loop.create_task(loop.getaddrinfo("127.0.0.1", n)) for n in range(50)]
        await asyncio.sleep(0)
        return names

    names = loop.run_until_complete(begin())

    def work() -> None:
        signal.alarm(20)
        loop.close()
        gc.collect()

    assert in_child(work) == 0
    assert len(loop.run_until_complete(asyncio.gather(*names))) == 50
    check_works(loop)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_the_parent_hears_of_everything_after_the_child_has_closed_the_loop() -> None:
    """Its timers, descriptors, listeners and connections, those of a server included."""
    loop = Loop()
    app = App()

    @app.get("/")
    async def answer() -> str:
        return "answer"

    def ask(client: socket.socket) -> None:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")

    async def answered(client: socket.socket) -> None:
        data = b""
        while not data.endswith(b'"answer"'):
            data += await loop.sock_recv(client, 1000)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(5))
        writer.close()

    async def begin() -> tuple[Any, ...]:
        config = Config(port=0, access_log=False)
        (sock,) = bind(config)
        address = sock.getsockname()
        service = Service(adapt(app), [sock], config)
        ready = asyncio.Event()
        running = loop.create_task(service.run(ready.set))
        await ready.wait()
        server = await asyncio.start_server(echo, "127.0.0.1")
        stream = await asyncio.open_connection(*server.sockets[0].getsockname())
        client = socket.create_connection(address)
        client.setblocking(False)
        ask(client)
        await answered(client)
        pair = socket.socketpair()
        readable = loop.create_future()
        loop.add_reader(pair[0], readable.set_result, None)
        timer = loop.create_future()
        loop.call_later(0.2, timer.set_result, None)
        await asyncio.sleep(0.001)
        return service, running, server, stream, client, pair, readable, timer

    service, running, server, stream, client, pair, readable, timer = loop.run_until_complete(
        begin()
    )
    assert in_child(loop.close) == 0

    async def go_on() -> None:
        pair[1].send(b"x")
        await readable
        loop.remove_reader(pair[0])
        ask(client)
        await answered(client)
        new = socket.create_connection(client.getpeername())
        new.setblocking(False)
        ask(new)
        await answered(new)
        stream[1].write(b"hello")
        assert await stream[0].readexactly(5) == b"hello"
        other = await asyncio.open_connection(*server.sockets[0].getsockname())
        other[1].write(b"again")
        assert await other[0].readexactly(5) == b"again"
        await timer
        for each in (client, new, *pair, stream[1], other[1], server):
            each.close()
        service.stop()
        await running

    loop.run_until_complete(go_on())
    check_works(loop)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_signals_to_the_child_do_not_reach_the_parents_loop(fluvial_loop: Loop) -> None:
    async def main() -> int:
        got: list[int] = []
        fluvial_loop.add_signal_handler(signal.SIGUSR1, got.append, 1)
        try:

            def work() -> None:
                os.kill(os.getpid(), signal.SIGUSR1)

            assert in_child(work) == -signal.SIGUSR1
            await asyncio.sleep(0.01)
        finally:
            fluvial_loop.remove_signal_handler(signal.SIGUSR1)
        return len(got)

    assert fluvial_loop.run_until_complete(main()) == 0


def _run_in_process(results: Any) -> None:
    async def main() -> str:
        await asyncio.sleep(0.001)
        return "done"

    with asyncio.Runner(loop_factory=Loop) as runner:
        results.put(runner.run(main()))


def test_multiprocessing_from_a_running_loop(fluvial_loop: Loop) -> None:
    context = multiprocessing.get_context("fork")

    async def main() -> str:
        results = context.SimpleQueue()
        process = context.Process(target=_run_in_process, args=(results,))
        process.start()
        result: str = await fluvial_loop.run_in_executor(None, results.get)
        await fluvial_loop.run_in_executor(None, process.join)
        assert process.exitcode == 0
        process.close()
        return result

    assert fluvial_loop.run_until_complete(main()) == "done"


# ---- Signals of a child -------------------------------------------------------------------------

CHILD = """
import asyncio, multiprocessing, os, signal, sys, time
import fluvial

def sleep(write):
    os.write(write, b"x")
    while True:
        time.sleep(60)

async def main(number, way):
    loop = asyncio.get_running_loop()
    if number != signal.SIGINT or way.endswith("handled"):
        loop.add_signal_handler(number, print, "the parent's")
    loop.add_signal_handler(signal.SIGUSR1, print, "USR1")
    read, write = os.pipe()
    if way.startswith("fork"):
        pid = os.fork()
        if pid == 0:
            try:
                sleep(write)
            except KeyboardInterrupt:
                os._exit(7)
        os.read(read, 1)
        os.kill(pid, number)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    else:
        process = multiprocessing.get_context("fork").Process(target=sleep, args=(write,))
        process.start()
        os.read(read, 1)
        os.kill(process.pid, number)
        process.join()
        status = process.exitcode
    print(status)
    # The parent's own handlers are as before.
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.sleep(0.01)

with asyncio.Runner(loop_factory=fluvial.Loop) as runner:
    runner.run(main(signal.Signals[sys.argv[1]], sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("name", "way", "status"),
    [
        ("SIGTERM", "fork", -signal.SIGTERM),
        ("SIGTERM", "multiprocessing", -signal.SIGTERM),
        ("SIGHUP", "fork", -signal.SIGHUP),
        ("SIGINT", "fork", 7),
        ("SIGINT", "fork handled", 7),
        ("SIGINT", "multiprocessing", 1),  # a traceback of KeyboardInterrupt
    ],
)
def test_signals_do_in_the_child_what_they_do_by_default(name: str, way: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, name, way],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout == f"{status}\nUSR1\n", done.stderr
