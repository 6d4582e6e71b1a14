"""WebSockets of every kind of life and death, thousands of times: nothing of them stays."""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Callable, Iterator

import pytest
from fluvial import App, WebSocket, WebSocketException
from support.growth import assert_flat
from support.mounting import mounted
from support.serving import Served, serving
from support.ws_client import BINARY, CLOSE, PING, TEXT, close_payload, connect, frame, upgraded

CONNECTIONS = 25  # in a round
MESSAGES = 2000  # likewise
ROUNDS = 4
# Objects or blocks that all rounds may leave behind; a leak leaves one for each connection.
FEW = 60

Work = Callable[[Served], None]


def make_app() -> App:
    app = App()

    @app.websocket("/")
    async def echo(websocket: WebSocket) -> None:
        websocket.state.me = websocket  # a cycle
        await websocket.accept()
        while True:
            message = await websocket.receive_data()
            if isinstance(message, str):
                await websocket.send_text(message)
            else:
                await websocket.send_bytes(message)

    @app.websocket("/declines")
    async def declines(websocket: WebSocket) -> None:
        raise WebSocketException(1008)

    @app.websocket("/fails")
    async def fails(websocket: WebSocket) -> None:
        await websocket.accept()
        raise WebSocketException(1011, "fails")

    @app.websocket("/unread")
    async def unread(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        await websocket.close()

    return app


def messages(served: Served) -> None:
    data = b"".join(frame(op, b"x" * size) for op in (TEXT, BINARY) for size in (0, 20, 300, 2000))
    with upgraded(served) as client:
        for _ in range(MESSAGES // 8):
            client.send(data)
            for _ in range(8):
                client.read()
        client.close()


def compressed(served: Served) -> None:
    with connect(served) as client:
        client.open("/", ["Sec-WebSocket-Extensions: permessage-deflate"])
        out = zlib.compressobj(9, zlib.DEFLATED, -15)
        for _ in range(20):
            payload = (out.compress(b"again " * 100) + out.flush(zlib.Z_SYNC_FLUSH))[:-4]
            client.send_frame(TEXT, payload, rsv=4)
            client.read()
        client.send_frame(TEXT, b"\xff\xff", rsv=4)
        client.read_to_end()


def ending(data: bytes, path: str = "/", *, reset: bool = False) -> Work:
    """Connections that send this and then read to the end, or are reset."""

    def work(served: Served) -> None:
        client = upgraded(served, path)
        client.send(data)
        if reset:
            linger = struct.pack("ii", 1, 0)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            client.sock.shutdown(socket.SHUT_WR)
            client.read_to_end()
        client.sock.close()

    return work


def declined(served: Served) -> None:
    with connect(served) as client:
        client.send(client.request("/declines"))
        assert client.answer().status == 403


WORK: dict[str, Work] = {
    "messages": messages,
    "compressed": compressed,
    "declined": declined,
    "closed": ending(frame(CLOSE, close_payload(1000, b"reason"))),
    "fails": ending(frame(CLOSE, close_payload(1011)), "/fails"),
    "eof": ending(frame(TEXT, b"x")),
    "reset": ending(frame(TEXT, b"x" * 2000), reset=True),
    "fault": ending(frame(TEXT, b"x") + frame(3)),
    "no utf-8": ending(frame(TEXT, b"\xff")),
    "unfinished message": ending(frame(TEXT, b"x" * 3000, fin=False) + frame(PING)),
    "unfinished frame": ending(frame(BINARY, bytes(30_000))[:10_000], reset=True),
    "unread": ending(frame(TEXT, b"x" * 300) * 20 + frame(CLOSE, b""), "/unread"),
}


@pytest.fixture(scope="module", params=["alone", "mounted"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """The app, or another that it is mounted in, so that its WebSockets come by ASGI."""
    app = make_app() if request.param == "alone" else mounted(make_app())
    with serving(app) as running:
        yield running


@pytest.mark.parametrize("name", WORK)
def test_websockets_leave_nothing_behind(served: Served, name: str) -> None:
    work = WORK[name]

    def one_round() -> None:
        for _ in range(1 if name == "messages" else CONNECTIONS):
            work(served)

    one_round()
    assert_flat(one_round, rounds=ROUNDS, few=FEW)
