"""A finished answer does not wait for a handler of another connection that blocks (ADR 16)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import (
    App,
    StreamingResponse,
    WebSocket,
    WebSocketDisconnect,
)
from support import probe
from support.asgi import Notes, body, start
from support.blocking import (
    OWN,
    PATIENCE,
    Alone,
    own_middleware,
    own_whole,
    own_whole_mounted,
    second_mounted,
    second_native,
)
from support.ws_client import TEXT, Client, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from conftest import Serve
    from support.certificate import Certificate

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
GATE = b"GET /gate HTTP/1.1\r\nhost: x\r\n\r\n"


class Pair:
    """Two requests, or more, that arrive together: the last one to be handled blocks the loop until
    the clients of the others have their whole answers."""

    def __init__(self) -> None:
        self.gate_entered, self.gate_opens = threading.Event(), threading.Event()
        self.received = threading.Event()
        self.notes = Notes()
        self.count, self.last = 0, 2

    def gate(self) -> None:
        """Holds the loop until both requests have been sent."""
        self.gate_entered.set()
        self.gate_opens.wait(PATIENCE)

    def enter(self) -> None:
        """What each handler does: the last one blocks."""
        self.count += 1
        if self.count == self.last:
            self.notes.add(self.received.wait(PATIENCE))

    def check(self, served: Any, socks: list[Any], request: bytes, *ends: bytes) -> None:
        with served.connect() as gate:
            gate.sendall(GATE)
            assert self.gate_entered.wait(PATIENCE)
            self.last, waiting = len(socks), list(socks)
            for sock in socks:
                sock.sendall(request)
            self.gate_opens.set()
            while len(waiting) > 1:
                (ready, *_), _, _ = select.select(waiting, [], [], PATIENCE)
                receive_until(ready, ends)
                waiting.remove(ready)
            self.received.set()
            assert self.notes.next() is True
            receive_until(waiting[0], ends)


def receive_until(sock: Any, ends: tuple[bytes, ...]) -> None:
    data = b""
    while not data.endswith(ends):
        data += sock.recv(65536)


def native(pair: Pair) -> App:
    app = App()

    @app.get("/")
    async def handler() -> str:
        pair.enter()
        return "fine"

    return app


def inline(pair: Pair) -> App:
    app = App()

    @app.get("/", inline=True)
    def handler() -> str:
        pair.enter()
        return "fine"

    return app


def later_step(pair: Pair) -> App:
    """The second one blocks in a callback that was ready, not when its request came."""
    app = App()

    @app.get("/")
    async def handler() -> str:
        if pair.count == pair.last - 1:
            await asyncio.sleep(0)
        pair.enter()
        return "fine"

    return app


def middleware(pair: Pair) -> App:
    app = native(pair)

    @app.middleware("http")
    async def outer(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    return app


def stream(pair: Pair) -> App:
    app = App()

    @app.get("/")
    async def handler() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b'"fi'
            pair.enter()
            yield b'ne"'

        return StreamingResponse(pieces())

    return app


class Blocks(asyncio.Protocol):
    """Of a socket that is no connection of the server's: blocks in data_received()."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pair.enter()
        self.transport.write(b'"fine"')


def mounted(pair: Pair) -> App:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise LookupError
        pair.enter()
        await send(start((b"content-length", b"6")))
        await send(body(b'"fine"'))

    app = App()
    app.mount("/", inner)
    return app


KINDS: list[Callable[[Pair], App]] = [native, inline, later_step, middleware, stream, mounted]


# With two, the first answer has no company and is written at once; with three, two wait together.
@pytest.mark.parametrize("clients", [2, 3])
@pytest.mark.parametrize("make", KINDS)
def test_an_answer_does_not_wait_for_another_handler(
    serve: Serve, make: Callable[[Pair], App], clients: int
) -> None:
    pair = Pair()
    app = make(pair)

    @app.get("/gate", inline=True)
    def gate() -> None:
        pair.gate()

    served = serve(app)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(served.connect()) for _ in range(clients)]
        pair.check(served, socks, GET, b'"fine"', b"\r\n4\r\nfine\r\n0\r\n\r\n", b"0\r\n\r\n")


@pytest.mark.parametrize("clients", [2, 3])
def test_a_message_does_not_wait_for_another_handler(serve: Serve, clients: int) -> None:
    pair = Pair()
    app = App()

    @app.get("/gate", inline=True)
    def gate() -> None:
        pair.gate()

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        pair.enter()
        await websocket.send_text("fine")
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.receive_text()  # so that no close frame follows

    served = serve(app)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(Client(served.connect())) for _ in range(clients)]
        for client in opened:
            client.open("/")
        pair.check(served, [client.sock for client in opened], frame(TEXT, b"go on"), b"fine")


def test_an_answer_does_not_wait_for_a_protocol(serve: Serve) -> None:
    """Its method is called while the loop polls, not as a callback."""
    pair = Pair()
    ours, theirs = socket.socketpair()

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: Blocks(pair), sock=theirs)
        yield
        transport.close()

    app = App(lifespan=lifespan)

    @app.get("/", inline=True)
    def handler() -> str:
        pair.enter()
        return "fine"

    @app.get("/gate", inline=True)
    def gate() -> None:
        pair.gate()

    served = serve(app)
    with served.connect() as one, ours:
        pair.check(served, [one, ours], GET, b'"fine"', b"\r\n4\r\nfine\r\n0\r\n\r\n", b"0\r\n\r\n")


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("make", OWN)
def test_what_is_written_does_not_wait_for_its_own_handler(
    serve: Serve, certificate: Certificate, make: Callable[[Alone], Any], secure: bool
) -> None:
    """The request is handled while the connection's input is still being parsed."""
    alone = Alone()
    tls = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    with serve(make(alone), **(tls if secure else {})).connect() as sock:
        sock.sendall(GET)
        data = b""
        while b"first" not in data:
            data += sock.recv(65536)
        alone.received.set()
        assert alone.notes.next() is True


def read_until(sock: Any, *ends: bytes) -> bytes:
    data = b""
    while not data.endswith(ends):
        data += sock.recv(65536)
    return data


@pytest.mark.parametrize("make", [own_whole, own_whole_mounted, own_middleware])
def test_whole_responses_under_load(serve: Serve, make: Callable[[Alone], Any]) -> None:
    """Where several responses left together before, more are expected, and a timer is set."""
    alone = Alone()
    other = GET.replace(b"/ ", b"/other ", 1)
    with serve(make(alone)).connect() as sock:
        sock.sendall(other * 3)
        data = b""
        while data.count(b"other") < 3:
            data += sock.recv(65536)
        sock.sendall(other + GET)
        read_until(sock, b"first", b'"first"')
        alone.received.set()
        assert alone.notes.next() is True


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("before", [1, 2, 5])
@pytest.mark.parametrize("make", [second_native, second_mounted])
def test_a_response_does_not_wait_for_the_next_request_of_its_connection(
    serve: Serve,
    certificate: Certificate,
    make: Callable[[Alone], App],
    before: int,
    secure: bool,
) -> None:
    """Pipelined requests are handled one after the other, in one turn of the loop."""
    alone = Alone()
    tls = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    with serve(make(alone), **(tls if secure else {})).connect() as sock:
        for _ in range(2):  # the second time more responses are expected than the first time
            alone.received.clear()
            sock.sendall(GET * before + GET.replace(b"/ ", b"/blocks ", 1))
            data = b""
            while data.count(b"first") < before:
                data += sock.recv(65536)
            alone.received.set()
            assert alone.notes.next() is True
            while b"second" not in data:
                data += sock.recv(65536)


def test_a_first_message_does_not_wait_for_its_own_handler(serve: Serve) -> None:
    alone = Alone()
    app = App()

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("first")
        alone.block()

    with Client(serve(app).connect()) as client:
        client.open("/")
        assert client.read().payload == b"first"
        alone.received.set()
        assert alone.notes.next() is True


def test_the_timer_may_expire_before_the_parts_are_lent(tmp_path: Path) -> None:
    """The loop's thread loses its core right after it has set the timer."""
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    shim = tmp_path / "slow_timer.so"
    source = Path(__file__).parents[1] / "support" / "slow_timer.c"
    subprocess.run(
        [*probe.native.Toolchain().cc, "-shared", "-fPIC", "-O1", "-o", shim, source],
        env=env,
        check=True,
    )
    tests = [
        f"{__file__}::{test.__name__}"
        for test in (
            test_an_answer_does_not_wait_for_another_handler,
            test_a_message_does_not_wait_for_another_handler,
        )
    ]
    preload = " ".join((*os.environ.get("LD_PRELOAD", "").split(), str(shim)))
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        env={**os.environ, "LD_PRELOAD": preload, "SLOW_TIMER": str(tmp_path / "used")},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    assert (tmp_path / "used").exists()


@pytest.mark.parametrize("size", [1, 4_000, 16_000])
def test_the_bytes_are_whole_and_in_order(serve: Serve, size: int) -> None:
    """Sixty answers, while the thread that writes them and the loop take turns."""
    pair = Pair()
    app = App()

    @app.get("/gate", inline=True)
    def gate() -> None:
        pair.gate()

    @app.get("/{number}")
    async def handler(number: int) -> list[Any]:
        if number % 7 == 0:
            threading.Event().wait(0.001)
        return [number, "x" * size]

    served = serve(app)
    socks = [served.connect() for _ in range(60)]
    with served.connect() as held:
        held.sendall(GATE)
        assert pair.gate_entered.wait(PATIENCE)
        for number, sock in enumerate(socks):
            for more in range(3):
                sock.sendall(f"GET /{number + 100 * more} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        pair.gate_opens.set()
        for number, sock in enumerate(socks):
            with sock, sock.makefile("rb") as file:
                for more in range(3):
                    length = 0
                    assert file.readline() == b"HTTP/1.1 200 OK\r\n"
                    while (line := file.readline()) != b"\r\n":
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.partition(b":")[2])
                    text = file.read(length).decode()
                    assert text == f'[{number + 100 * more},"{"x" * size}"]'
