"""A connection is read no faster than its application takes what has come: whoever sends more has
to wait, and nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, Request, WebSocket
from support.stuffing import stuff, turn
from support.ws_client import BINARY, Client, frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Serve

SIZE = 8 * 1024 * 1024  # bytes; far more than two kernel buffers of a connection that isn't read
LIMITS = {"body": 2 * SIZE, "ws_queue": 32}


class Slow:
    """Apps that take nothing until they are released, and then all of it."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.ended = threading.Event()
        self.taken = 0

    async def released(self) -> None:
        while not self.release.is_set():  # noqa: ASYNC110 - it is another thread's
            await asyncio.sleep(0.005)

    def stream(self) -> App:
        app = App()

        @app.post("/")
        async def take(request: Request) -> int:
            await self.released()
            async for piece in request.stream():
                self.taken += len(piece)
            return self.taken

        return app

    def iterator(self) -> App:
        """It takes one piece, and is slow with the second."""
        app = App()

        @app.post("/")
        async def take(request: Request) -> int:
            async for piece in request.stream():
                self.taken += len(piece)
                await self.released()
            return self.taken

        return app

    def asgi(self) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return
            message = await receive()
            await self.released()
            self.taken += len(message["body"])
            while message.get("more_body"):
                message = await receive()
                self.taken += len(message["body"])
            body = b"%d" % self.taken
            fields = [(b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            await send({"type": "http.response.body", "body": body})

        return app

    def mounted(self) -> App:
        app = App()
        app.mount("/", self.asgi())
        return app

    def wsgi(self) -> Any:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            environ["wsgi.input"].read(1)
            self.release.wait(60)
            self.taken = 1
            while piece := environ["wsgi.input"].read(65536):
                self.taken += len(piece)
            start_response("200 OK", [("Content-Length", str(len(str(self.taken))))])
            return [b"%d" % self.taken]

        return app

    def websocket(self) -> App:
        app = App()

        @app.websocket("/")
        async def take(websocket: WebSocket) -> None:
            await websocket.accept()
            await self.released()
            async for message in websocket.iter_bytes():
                self.taken += len(message) or 1
            self.ended.set()

        return app

    def asgi_websocket(self) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "websocket":
                return
            await receive()
            await send({"type": "websocket.accept"})
            await self.released()
            while (message := await receive())["type"] == "websocket.receive":
                self.taken += len(message["bytes"]) or 1
            self.ended.set()

        return app


BODIES = {
    "a stream": Slow.stream,
    "a second piece": Slow.iterator,
    "ASGI": Slow.asgi,
    "mounted ASGI": Slow.mounted,
    "WSGI": Slow.wsgi,
}
WEBSOCKETS = {"native": Slow.websocket, "ASGI": Slow.asgi_websocket}


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
@pytest.mark.parametrize("make", BODIES.values(), ids=BODIES)
def test_a_body_waits_for_its_application(
    serve: Serve, make: Callable[[Slow], Any], framing: str
) -> None:
    slow = Slow()
    served = serve(make(slow), limits=LIMITS, graceful_timeout=1)
    head, end = f"content-length: {SIZE}\r\n\r\n", b""
    if framing == "chunked":
        head, end = f"transfer-encoding: chunked\r\n\r\n{SIZE:x}\r\n", b"\r\n0\r\n\r\n"
    with served.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + head.encode())
        sent = stuff(served, sock, bytes(SIZE))
        slow.release.set()
        assert sent < SIZE, "all was read, and kept in memory"
        sock.sendall(bytes(SIZE - sent) + end)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.endswith(b"\r\n\r\n%d" % SIZE)


@pytest.mark.parametrize("bound", ["count", "bytes"])
@pytest.mark.parametrize("make", WEBSOCKETS.values(), ids=WEBSOCKETS)
def test_messages_wait_for_their_application(
    serve: Serve, make: Callable[[Slow], Any], bound: str
) -> None:
    """Either bound alone holds: of messages without a byte, and of large ones however few."""
    slow = Slow()
    limits = {"ws_queue": 32 if bound == "count" else 0}
    served = serve(make(slow), limits=limits, graceful_timeout=1)
    one = frame(BINARY, b"" if bound == "count" else bytes(30_000))
    count = SIZE // 4 // len(one)
    with served.connect() as sock:
        client = Client(sock)
        client.open()
        whole = one * count
        sent = stuff(served, sock, whole)
        slow.release.set()
        assert sent < len(whole), "all was read, and kept in memory"
        sock.settimeout(90)  # these are a quarter of a million messages
        sock.sendall(whole[sent : sent + -sent % len(one)])
        assert client.close().code == 1000
        assert slow.ended.wait(90)
    assert slow.taken == -(-sent // len(one)) * (30_000 if bound == "bytes" else 1)


def test_the_count_of_messages_is_exact(serve: Serve) -> None:
    """The fourth of `ws_queue=4` stops the reading: the answer to a ping that comes after it has to
    wait, until half of the queue is taken."""
    taken: list[str] = []
    allowed = threading.Semaphore(0)

    ended = threading.Event()
    app = App()

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        while len(taken) < 4:
            while not allowed.acquire(blocking=False):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.001)
            taken.append(await websocket.receive_text())
        ended.set()

    served = serve(app, limits={"ws_queue": 4, "ws_ping_interval": 0})
    ping = frame(9, b"are you there")
    with served.connect() as sock:
        client = Client(sock)
        client.open()
        client.send(b"".join(frame(1, b"%d" % n) for n in range(3)) + ping)
        assert client.read().payload == b"are you there"  # three of four: it reads on
        client.send(frame(1, b"3") + ping)
        turn(served)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        sock.settimeout(30)
        allowed.release(2)
        assert client.read().payload == b"are you there"
        allowed.release(2)
        assert ended.wait(30)
    assert taken == ["0", "1", "2", "3"]
