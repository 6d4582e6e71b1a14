"""Answers that leave together: whatever the order in which connections write, each gets its own
bytes, all of them, once and in order, and nothing stays behind when the loop blocks or ends."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import random
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import http_core
from support.http_server import PATIENCE, Handler, Server, serving
from support.responses import Response, read_all

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
GO = GET.replace(b"/ ", b"/go ", 1)
LAST = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

# Whether a connection's bytes are gathered while others are written to, or none are.
WHEN = pytest.mark.parametrize("when", ["inside", "soon"])


class Script(Handler):
    """Keeps the requests; that for /go runs `script(requests)`, and then is answered, both in the
    iteration that its bytes came in."""

    def __init__(self, script: Callable[[list[Any]], Any], when: str = "soon") -> None:
        super().__init__()
        self._script = script
        self._when = when
        self.server: Server | None = None
        self.kept: list[Any] = []

    def answer(self, request: Any) -> None:
        if request.describe()["target"] != b"/go":
            self.kept.append(request)
        elif self._when == "inside":
            self._go(request)
        else:
            asyncio.get_running_loop().call_soon(self._go, request)

    def _go(self, request: Any) -> None:
        kept, self.kept = self.kept, []
        self._script(kept)
        request.respond(200, b"gone")


@contextlib.contextmanager
def connected(handler: Script, count: int, raw: bytes = GET, **options: Any) -> Iterator[Any]:
    """(the server, `count` clients whose requests wait in order, the one that sends GO)."""
    with serving(handler, **options) as server:
        handler.server = server
        clients = []
        for i in range(count):
            clients.append(server.connect())
            clients[-1].sendall(raw)
            handler.wait("request", i + 1)
        yield server, clients, server.connect()


# ---- Orders --------------------------------------------------------------------------------


@WHEN
def test_pieces_to_several_connections_interleave(when: str) -> None:
    """More pieces than can be parked at a time, of one connection between others."""
    sizes = [1, 300, 9_000, 16_384, 16_385, 50_000]

    def script(requests: list[Any]) -> None:
        for request in requests:
            assert request.stream_begin(200) == 0
        for turn in range(60):
            for i, request in enumerate(requests):
                size = sizes[turn % 6] if i == 0 else 7
                assert request.stream_write(bytes([i + 65]) * size) == 0
        for request in requests:
            assert request.stream_end() == 0

    with connected(Script(script, when), 4) as (_, clients, trigger):
        trigger.sendall(GO)
        bodies = [Response.receive(client).body for client in clients]
        assert Response.receive(trigger).body == b"gone"
    assert bodies == [b"A" * sum(sizes) * 10, *(c * 420 for c in (b"B", b"C", b"D"))]


@WHEN
def test_a_connection_is_written_to_again_and_again_between_others(when: str) -> None:
    """Twice as many parts as there are places for."""

    def script(requests: list[Any]) -> None:
        first, *others = requests
        first.stream_begin(200)
        for i, other in enumerate(others):
            first.stream_write(b"%d," % i)
            other.respond(200, b"%d" % i)
        first.stream_end()

    with connected(Script(script, when), 130) as (_, clients, trigger):
        trigger.sendall(GO)
        first, *others = (Response.receive(client).body for client in clients)
    assert first == b"".join(b"%d," % i for i in range(129))
    assert others == [b"%d" % i for i in range(129)]


@WHEN
def test_large_bodies_beside_parked_heads(when: str) -> None:
    """What isn't copied leaves behind what is parked of the same connection, and of no other."""
    large = bytes(range(256)) * 400

    def script(requests: list[Any]) -> None:
        one, two, three = requests
        one.stream_begin(200, 3 + len(large) + 2)
        two.stream_begin(200)
        one.stream_write(b"abc")
        two.stream_write(b"x")
        one.stream_write(large)
        three.respond(200, large)
        two.stream_write(large)
        one.stream_write(b"de")
        two.stream_write(b"y")
        two.stream_end()
        one.stream_end()

    with connected(Script(script, when), 3) as (_, clients, trigger):
        trigger.sendall(GO)
        bodies = [Response.receive(client).body for client in clients]
    assert bodies == [b"abc" + large + b"de", b"x" + large + b"y", large]


class Random:
    """Writes to connections in a random order, and knows what each shall get."""

    SIZES = (1, 10, 1_000, 16_384, 16_385, 40_000, 90_000)

    def __init__(self, seed: int, count: int) -> None:
        self._random = random.Random(seed)
        self.wanted = [b""] * count
        self.cut = [False] * count

    def script(self, requests: list[Any]) -> None:
        open_ = list(range(len(requests)))
        for request in requests:
            assert request.stream_begin(200) == 0
        for turn in range(150):
            i = self._random.choice(open_)
            what = self._random.random()
            if what < 0.95 or len(open_) == 1:
                piece = bytes([turn]) * self._random.choice(self.SIZES)
                assert requests[i].stream_write(piece) == 0
                self.wanted[i] += piece
            else:
                open_.remove(i)
                self.cut[i] = what < 0.97
                requests[i].abort() if self.cut[i] else requests[i].stream_end()
            if what < 0.05:
                time.sleep(0.0003)  # past the time that answers wait for others
        for i in open_:
            assert requests[i].stream_end() == 0


@WHEN
@pytest.mark.parametrize("seed", range(8))
def test_random_orders(when: str, seed: int) -> None:
    writer = Random(seed, 6)
    found: list[bytes] = [b""] * 6
    with connected(Script(writer.script, when), 6, LAST) as (_, clients, trigger):

        def read(i: int) -> None:
            found[i], closed = read_all(clients[i])
            assert closed

        readers = [threading.Thread(target=read, args=(i,)) for i in range(6)]
        for reader in readers:
            reader.start()
        trigger.sendall(GO)
        for reader in readers:
            reader.join()
        assert Response.receive(trigger).body == b"gone"
    answers = [Response.parse(data)[0] for data in found]
    for i, answer in enumerate(answers):
        assert answer.body == writer.wanted[i], i
        assert answer.complete is not writer.cut[i]


@WHEN
def test_pipelined_answers_stay_in_order(when: str) -> None:
    """Each is given while the next request is there already, beside those of others."""
    count = 40

    class Pipelined(Script):
        def answer(self, request: Any) -> None:
            loop = asyncio.get_running_loop()
            args = (200, request.describe()["target"] * 500)
            if self._when == "inside":
                request.respond(*args)
            else:
                loop.call_soon(request.respond, *args)

    handler = Pipelined(lambda _: None, when)
    raw = b"".join(GET.replace(b"/ ", b"/%d " % i, 1) for i in range(count - 1))
    raw += LAST.replace(b"/ ", b"/end ", 1)
    with serving(handler) as server:
        socks = [server.connect() for _ in range(5)]
        held = threading.Event()
        server.loop.call_soon_threadsafe(held.wait)
        for sock in socks:
            sock.sendall(raw)
        held.set()
        for sock in socks:
            data, closed = read_all(sock)
            assert closed
            bodies = [answer.body for answer in Response.parse_all(data)]
            assert bodies == [b"/%d" % i * 500 for i in range(count - 1)] + [b"/end" * 500]


def test_an_interim_answer_comes_before_the_answer() -> None:
    """100 Continue is written when the body is asked for: in the iteration of the answer."""

    class Waiting(Script):
        mode = 2

        def request(self, request: Any) -> None:
            if request.describe()["target"] == b"/go":
                request.respond(200)
                asyncio.get_running_loop().call_soon(self._resume)
                return
            request.pause()
            self.kept.append(request)
            self.note("request", b"")

        def _resume(self) -> None:
            (request,) = self.kept
            request.resume()

        def body_end(self, request: Any) -> None:
            request.respond(200, b"has it")
            self.kept.clear()

    raw = GET.replace(b"GET", b"POST").replace(
        b"\r\n\r\n", b"\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
    )
    with connected(Waiting(lambda _: None), 1, raw) as (_, (client,), trigger):
        trigger.sendall(GO)
        assert Response.receive(client).status == 100
        client.sendall(b"x")
        assert Response.receive(client).body == b"has it"


# ---- Ends ----------------------------------------------------------------------------------


def test_the_connection_ends_right_behind_its_answer() -> None:
    def script(requests: list[Any]) -> None:
        closing, cut, whole = requests
        closing.respond(200, b"last", b"", [(b"connection", b"close")])
        cut.stream_begin(200)
        cut.stream_write(b"begun")
        cut.abort()
        whole.respond(200, b"kept")

    with connected(Script(script), 3) as (_, (closing, cut, whole), trigger):
        trigger.sendall(GO)
        data, closed = read_all(closing)
        assert closed
        assert Response.parse(data)[0].body == b"last"
        data, closed = read_all(cut)
        assert closed
        answer, _ = Response.parse(data)
        assert (answer.body, answer.complete) == (b"begun", False)
        assert Response.receive(whole).body == b"kept"


def test_a_client_that_has_sent_its_end_gets_the_answer() -> None:
    with connected(Script(lambda requests: requests[0].respond(200, b"x")), 1) as parts:
        _, (client,), trigger = parts
        client.shutdown(socket.SHUT_WR)
        trigger.sendall(GO)
        data, closed = read_all(client)
    assert closed
    assert Response.parse(data)[0].body == b"x"


def test_a_client_that_is_gone_takes_nothing_from_others() -> None:
    """Its bytes can't be written when those of all are."""
    handler: Script

    def script(requests: list[Any]) -> None:
        for i, request in enumerate(requests):
            request.stream_begin(200)
            request.stream_write(b"%d" % i)
        for request in requests:
            request.stream_end()

    handler = Script(script)
    with connected(handler, 5) as (server, clients, trigger):
        held = threading.Event()
        server.loop.call_soon_threadsafe(held.wait)
        clients[0].close()
        clients[2].close()
        trigger.sendall(GO)
        held.set()
        assert [Response.receive(clients[i]).body for i in (1, 3, 4)] == [b"1", b"3", b"4"]


@pytest.mark.parametrize("how", ["drain", "abort"])
def test_an_answer_that_is_complete_leaves_when_the_server_stops(how: str) -> None:
    """In the same iteration."""
    handler: Script

    def script(requests: list[Any]) -> None:
        requests[0].respond(200, b"complete")
        getattr(handler.server.core, how)()  # type: ignore[union-attr]

    handler = Script(script)
    with connected(handler, 1) as (_, (client,), trigger):
        trigger.sendall(GO)
        data, closed = read_all(client)
        assert closed
        assert Response.parse(data)[0].body == b"complete"
        handler.wait("drained")


# ---- Time ----------------------------------------------------------------------------------


def test_the_first_answer_does_not_wait_for_those_behind_it() -> None:
    """A handler that never lets go of the loop sends piece after piece."""
    seen = threading.Event()
    pieces = 0

    def script(requests: list[Any]) -> None:
        nonlocal pieces
        (request,) = requests
        request.stream_begin(200)
        while pieces < 3_000 and not seen.wait(0.0001):
            request.stream_write(b"x")
            pieces += 1
        request.stream_end()

    with connected(Script(script), 1) as (_, (client,), trigger):
        trigger.sendall(GO)
        data = client.recv(1 << 18)
        seen.set()
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += client.recv(1 << 18)
        assert Response.parse(data)[0].body == b"x" * pieces
    assert pieces < 3_000


def test_a_handler_that_takes_its_time_holds_up_whole_answers() -> None:
    def script(requests: list[Any]) -> None:
        for request in requests:
            request.respond(200, b"x" * 5_000)
            time.sleep(0.001)

    with connected(Script(script), 4) as (_, clients, trigger):
        trigger.sendall(GO)
        assert [Response.receive(client).body for client in clients] == [b"x" * 5_000] * 4


def taken(sock: socket.socket) -> int:
    """How many bytes the kernel keeps for a client that doesn't read."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0]  # type: ignore[no-any-return]


def test_what_the_kernel_does_not_take_has_a_deadline(tmp_path: Path) -> None:
    """The client asks, without reading, until an answer is the first that the kernel doesn't take:
    when it is written nobody is concerned with the connection, and nothing happens to it later."""

    class Soon(Handler):
        def answer(self, request: Any) -> None:
            asyncio.get_running_loop().call_soon(request.respond, 200, b"x" * 16_000)

    limits = {"write_timeout": 50, "keep_alive": 0}
    with serving(Soon(), path=tmp_path / "socket", **limits) as server:
        sock, other = server.connect(), server.connect()
        before, now = -16_000, 0
        while now - before >= 16_000:
            before = now
            sock.sendall(GET)
            other.sendall(GET)
            Response.receive(other)
            other.sendall(GET)
            Response.receive(other)  # the first request's iteration is over
            now = taken(sock)
        gone = select.poll()
        gone.register(sock, 0)
        assert gone.poll(PATIENCE * 1000)


# ---- The loop ------------------------------------------------------------------------------


class Interrupting(Handler):
    """Answers, and raises in the same iteration."""

    def __init__(self, error: type[BaseException], where: str) -> None:
        super().__init__()
        self._error: type[BaseException] | None = error
        self._where = where

    def answer(self, request: Any) -> None:
        request.respond(200, b"answered")
        error, self._error = self._error, None
        if error is None:
            return
        if self._where == "handler":
            raise error
        asyncio.get_running_loop().call_soon(self._raise, error)

    def _raise(self, error: type[BaseException]) -> None:
        raise error


@pytest.mark.parametrize("where", ["handler", "callback"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_answers_leave_when_an_exception_ends_the_loop(
    error: type[BaseException], where: str
) -> None:
    """They leave before run_forever() does, and the loop can be run again."""
    core, loop_type = http_core.load()
    loop = loop_type()
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    client.settimeout(PATIENCE)
    handler = Interrupting(error, where)
    handler.drained = loop.stop  # type: ignore[method-assign]
    with client, contextlib.closing(loop):
        server = core.HttpServer(loop, handler, listener.detach(), limits={})
        asyncio.set_event_loop(loop)
        client.sendall(GET)
        with pytest.raises(error):
            loop.run_forever()
        assert Response.receive(client).body == b"answered"
        client.sendall(GET)
        client.shutdown(socket.SHUT_WR)
        loop.call_soon(server.drain)
        loop.run_forever()
        assert server.stats()["open"] == 0
    asyncio.set_event_loop(None)


def test_two_servers_on_one_loop_write_for_each_other() -> None:
    """A request to either has the other's waiting ones answered."""
    core, loop_type = http_core.load()

    class Both(Handler):
        kept: list[Any] = []  # noqa: RUF012 - both servers' on purpose

        def answer(self, request: Any) -> None:
            kept = Both.kept
            kept.append(request)
            arrived.put_nowait(len(kept))
            if len(kept) == 4:
                asyncio.get_running_loop().call_soon(self._answer_all)

        def _answer_all(self) -> None:
            for i, request in enumerate(Both.kept):
                request.respond(200, b"%d" % i)
            Both.kept.clear()

    arrived: asyncio.Queue[int] = asyncio.Queue()
    handlers = Both(), Both()
    loop = loop_type()
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in handlers]
    addresses = [listener.getsockname() for listener in listeners]

    async def main() -> None:
        servers = [
            core.HttpServer(loop, handler, listener.detach(), limits={})
            for handler, listener in zip(handlers, listeners, strict=True)
        ]
        drained = [loop.create_future() for _ in handlers]
        for handler, future in zip(handlers, drained, strict=True):
            handler.drained = partial(future.set_result, None)  # type: ignore[method-assign]
        for _ in range(2):
            streams = [await asyncio.open_connection(*addresses[i % 2]) for i in range(4)]
            for i, (_, writer) in enumerate(streams):
                writer.write(LAST)
                assert await asyncio.wait_for(arrived.get(), PATIENCE) == i + 1
            for i, (reader, writer) in enumerate(streams):
                data = await asyncio.wait_for(reader.read(), PATIENCE)
                assert Response.parse(data)[0].body == b"%d" % i
                writer.close()
        for server in servers:
            server.drain()
        await asyncio.gather(*drained)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
