"""Requests and WebSockets by HTTP/2, ended in every way, many times: nothing of them stays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fluvial import App, Request, WebSocket
from fluvial.responses import Response, StreamingResponse
from support import needs
from support.growth import assert_flat
from support.h2_client import HEADERS, H2Client
from support.h2_tunnel import opened
from support.mounting import mounted
from support.sanitizer import SANITIZED
from support.serving import Served, serving
from support.ws_client import TEXT

pytestmark = needs.HTTP2
CONNECTIONS = 5  # in a round
STREAMS = 40  # of each
ROUNDS = 4
FEW = 60  # objects or blocks that all rounds may leave behind
# Bytes of C's heap that they may: a block of 80 for each stream would be a leak.
FEW_BYTES = 80 * CONNECTIONS * STREAMS * ROUNDS
LARGE = bytes(100_000)

Work = Callable[[H2Client], None]


class Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def heap() -> int:
    """Bytes that are allocated from C's heap; 0 where that isn't known."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None or SANITIZED:
        return 0
    mallinfo.restype = Mallinfo
    return int(mallinfo().uordblks)


def make_app() -> App:
    app = App()

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        request.state.me = request  # a cycle
        return Response(await request.body())

    @app.get("/large")
    async def large() -> StreamingResponse:
        return StreamingResponse(iter([LARGE] * 10))

    @app.websocket("/")
    async def echo_text(websocket: WebSocket) -> None:
        websocket.state.me = websocket
        await websocket.accept()
        while True:
            await websocket.send_text(await websocket.receive_text())

    return app


def requests(client: H2Client) -> None:
    streams = [client.request("/echo", "POST", body=b"x" * 50 * n) for n in range(STREAMS)]
    assert [client.answer(s).status for s in streams] == [200] * STREAMS


def refused(client: H2Client) -> None:
    for stream in [client.request(path) for path in ["/none", "/echo"] * (STREAMS // 2)]:
        assert client.answer(stream).status in (404, 405)


def resets(client: H2Client) -> None:
    """Before the response, and in the middle of it."""
    client.window = False
    for _ in range(STREAMS // 2):
        client.reset(client.request("/large"))
        stream = client.request("/large")
        while (found := client.read()) is not None and found.stream != stream:
            pass
        assert found is not None
        assert found.type == HEADERS
        client.reset(stream)
    client.settled()


def aborted_uploads(client: H2Client) -> None:
    for _ in range(STREAMS // 4):
        client.reset(client.request("/echo", "POST", body=b"x" * 1000, end=False))
    client.settled()
    for _ in range(STREAMS // 4):  # those end with the connection
        client.request("/echo", "POST", body=b"x" * 1000, end=False)
    client.settled()


def websockets(client: H2Client) -> None:
    sockets = [opened(client) for _ in range(STREAMS // 4)]
    for socket in sockets:
        socket.send_frame(TEXT, b"x" * 300)
        socket.read()
    for number, socket in enumerate(sockets):
        tunnel: Any = socket.sock
        if number % 4 == 0:
            tunnel.close()
        elif number % 4 == 1:
            tunnel.end()
        elif number % 4 == 2:
            socket.close()
    client.settled()


WORK = (requests, refused, resets, aborted_uploads, websockets)


@pytest.fixture(scope="module", params=["alone", "mounted"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """The app, or another that it is mounted in, so that its requests come by ASGI."""
    app = make_app() if request.param == "alone" else mounted(make_app())
    with serving(app, http="auto", limits={"h2_resets": 0}) as running:
        yield running


@pytest.mark.parametrize("work", WORK)
def test_http_2_leaves_nothing_behind(served: Served, work: Work) -> None:
    def one_round() -> None:
        for _ in range(CONNECTIONS):
            with H2Client.to(served) as client:
                work(client)

    one_round()
    one_round()
    before = heap()
    assert_flat(one_round, rounds=ROUNDS, few=FEW)
    assert heap() - before < FEW_BYTES
