"""How WebSockets end, who is told what, keep-alive, and what a slow side makes the other do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest
from fluvial import App, WebSocket, WebSocketDisconnect
from support.deadlines import TooLate, in_time
from support.ws_client import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Client,
    Frame,
    close_payload,
    connect,
    frame,
    upgraded,
)

if TYPE_CHECKING:
    from conftest import Serve
    from support.serving import Served


class Ended(threading.Event):
    """How the handler's connection ended."""

    code = 0
    reason = ""
    taken = 0


def make_app(ended: Ended) -> App:
    app = App()

    @app.websocket("/")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
        except WebSocketDisconnect as exc:
            ended.code, ended.reason = exc.code, exc.reason
            ended.set()

    @app.websocket("/closes")
    async def closes(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        await websocket.close(4321, "enough, tschüß")
        assert websocket.application_state.name == "DISCONNECTED"
        await websocket.close(1000)  # no harm
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as exc:
            ended.code, ended.reason = exc.code, exc.reason
            ended.set()

    return app


@pytest.fixture
def ended() -> Ended:
    return Ended()


@pytest.fixture
def served(serve: Serve, ended: Ended) -> Served:
    return serve(make_app(ended))


# ---- The close handshake -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (b"", 1005, ""),
        (close_payload(1000), 1000, ""),
        (close_payload(3003, "Grüße".encode()), 3003, "Grüße"),
    ],
)
def test_the_client_closes(
    served: Served, ended: Ended, payload: bytes, code: int, reason: str
) -> None:
    with upgraded(served) as client:
        client.send_frame(CLOSE, payload)
        assert client.read_to_end() == [Frame(CLOSE, payload[:2])]
        assert ended.wait(10)
        assert (ended.code, ended.reason) == (code, reason)


def test_what_came_before_the_close_frame_is_read_first(served: Served, ended: Ended) -> None:
    with upgraded(served) as client:
        client.send(frame(TEXT, b"x") + frame(CLOSE, close_payload(1001)))
        assert ended.wait(10)
        assert ended.code == 1001


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_the_client_goes_without_a_word(served: Served, ended: Ended, how: str) -> None:
    client = upgraded(served)
    if how == "reset":
        linger = struct.pack("ii", 1, 0)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.sock.close()
    assert ended.wait(10)
    assert (ended.code, ended.reason) == (1006, "")


def test_a_fault_is_what_the_handler_is_told(served: Served, ended: Ended) -> None:
    with upgraded(served) as client:
        client.send_frame(TEXT, b"\xff")
        assert client.read_to_end()[-1].code == 1007
        assert ended.wait(10)
        assert (ended.code, ended.reason) == (1007, "The text is not UTF-8")


def test_the_server_closes(served: Served, ended: Ended) -> None:
    with upgraded(served, "/closes") as client:
        client.send_frame(TEXT, b"x")
        assert client.read() == Frame(CLOSE, close_payload(4321, "enough, tschüß".encode()))
        client.send_frame(TEXT, b"too late")
        client.send_frame(PING, b"too late")
        client.send_frame(CLOSE, close_payload(4321))
        assert client.read_to_end() == []
        assert ended.wait(10)
        assert ended.code == 4321


def test_a_close_frame_that_is_not_answered(serve: Serve, ended: Ended) -> None:
    served = serve(make_app(ended), limits={"ws_close_timeout": 100})
    with upgraded(served, "/closes") as client:
        client.send_frame(TEXT, b"x")
        assert client.read().code == 4321
        assert client.read_to_end() == []
        assert ended.wait(10)
        assert (ended.code, ended.reason) == (1006, "The close frame was not answered")


def test_the_server_stops(served: Served, ended: Ended) -> None:
    with upgraded(served) as client, upgraded(served) as other:
        served.stop()
        for each in (client, other):
            assert each.read() == Frame(CLOSE, close_payload(1012))
            each.send_frame(CLOSE, close_payload(1012))
            assert each.read_to_end() == []
        assert ended.wait(10)
        assert ended.code == 1012


# ---- Keep-alive ----------------------------------------------------------------------------

IMPATIENT = {"ws_ping_interval": 100, "ws_ping_timeout": 100}
LIVELY = {"ws_ping_interval": 100, "ws_ping_timeout": 60_000}  # however late the client is


def test_pings(serve: Serve, ended: Ended) -> None:
    with upgraded(serve(make_app(ended), limits=LIVELY)) as client:
        for _ in range(3):
            assert client.read().opcode == PING
            client.send_frame(PONG)
        client.send_frame(TEXT, b"alive")
        while (found := client.read()).opcode == PING:
            client.send_frame(PONG)
        assert found == Frame(TEXT, b"alive")
        assert not ended.is_set()


def test_anything_answers_a_ping(serve: Serve, ended: Ended) -> None:
    with upgraded(serve(make_app(ended), limits=LIVELY)) as client:
        for _ in range(3):
            assert client.read().opcode == PING
            client.send(frame(TEXT, b"xy", fin=False)[:3] if not _ else b"\0")
        assert not ended.is_set()


def test_a_ping_that_is_not_answered(serve: Serve, ended: Ended) -> None:
    with upgraded(serve(make_app(ended), limits=IMPATIENT)) as client:
        assert [f.opcode for f in client.read_to_end()] == [PING]
        assert ended.wait(10)
        assert (ended.code, ended.reason) == (1006, "The keep-alive ping was not answered")


def test_a_ping_behind_what_the_client_still_reads_is_not_overdue(
    serve: Serve, ended: Ended
) -> None:
    """It can't be answered before it has come: as long as the client reads, it has time."""
    app = App()
    size, count = 64 * 1024, 600

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        sending = [websocket.send_bytes(bytes(size)) for _ in range(count)]
        await asyncio.gather(*sending)
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as exc:
            ended.code, ended.reason = exc.code, exc.reason
        ended.set()

    def read(client: Client, limit: int, pauses: list[float]) -> None:
        """Slowly for longer than the limit, then as it comes; the seconds between two reads."""
        begun, seen = time.monotonic(), 0
        before = begun
        while seen < count:
            found = client.read()
            seen += found.opcode == BINARY
            if before - begun < 2.5 * limit / 1000 and seen < count - 200:
                time.sleep(0.01)
            elif found.opcode == PING:
                client.send_frame(PONG)
            now = time.monotonic()
            pauses.append(now - before)
            before = now
        client.send_frame(TEXT, b"all of it")

    def attempt(limit: int) -> None:
        ended.clear()
        pauses: list[float] = []
        served = serve(app, limits={"ws_ping_interval": 50, "ws_ping_timeout": limit})
        with upgraded(served) as client:
            try:
                read(client, limit, pauses)
                assert ended.wait(30)
                assert (ended.code, ended.reason) == (0, "")
            except (EOFError, ConnectionError, AssertionError):
                if max(pauses) > limit / 2000:  # the client itself stood still
                    raise TooLate from None
                raise

    in_time(attempt, first=1000)


def test_a_ping_to_a_client_that_waits_for_the_handler_is_not_overdue(serve: Serve) -> None:
    """Its answer stands behind messages that the handler has not taken: it can't be seen."""
    app = App()
    ended: list[str] = []
    done = threading.Event()

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.sleep(1)  # ten times what the client has to answer
        ended.extend([await websocket.receive_text() for _ in range(20)])
        done.set()
        await websocket.close()

    limits = {"ws_queue": 2, "ws_ping_interval": 100, "ws_ping_timeout": 100}
    with connect(serve(app, limits=limits)) as client:
        client.open(then=b"".join(frame(TEXT, b"%d" % n) for n in range(20)))
        assert done.wait(30)
    assert ended == [str(n) for n in range(20)]


# ---- Flow ----------------------------------------------------------------------------------


def test_a_handler_that_does_not_read_stops_the_client(serve: Serve) -> None:
    app = App()
    go_on = threading.Event()
    done = threading.Event()
    received: list[int] = []

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        while not go_on.is_set():  # noqa: ASYNC110 (it is another thread's)
            await asyncio.sleep(0.01)
        async for data in websocket.iter_bytes():
            received.append(data[0])
        done.set()

    size = 10_000
    with upgraded(serve(app, limits={"ws_queue": 4})) as client:
        client.sock.setblocking(False)
        sent = 0
        whole = b"".join(frame(BINARY, bytes([i % 256]) * size) for i in range(256))
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += client.sock.send(whole[sent % len(whole) :])
                assert sent < 64 << 20, "the server reads without end"
        client.sock.settimeout(30)
        go_on.set()
        client.send(whole[sent % len(whole) :])
        client.send_frame(CLOSE, close_payload(1000))
        assert done.wait(30)
    count = sent // len(whole) * 256 + 256
    assert received == [i % 256 for i in range(count)]


def test_a_client_that_does_not_read_stops_the_handler(serve: Serve) -> None:
    app = App()
    sent: list[int] = []
    suspended = threading.Event()
    size = 100_000

    async def watch() -> None:
        before = -1
        while len(sent) != before:
            before = len(sent)
            await asyncio.sleep(0.2)
        suspended.set()

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        watching = asyncio.create_task(watch())
        for i in range(1000):
            await websocket.send_bytes(bytes([i % 256]) * size)
            sent.append(i)
        await watching

    with upgraded(serve(app)) as client:
        assert suspended.wait(30)
        assert len(sent) < 500
        for i in range(1000):
            assert client.read() == Frame(BINARY, bytes([i % 256]) * size)
        assert client.read().code == 1000


def test_pings_to_a_server_whose_answers_are_not_read(serve: Serve) -> None:
    """Pongs don't gather: the last ping's is enough (RFC 6455 section 5.5.3)."""
    app = App()

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.send_bytes(bytes(20 << 20))
        await websocket.receive_text()
        await websocket.close()

    with upgraded(serve(app)) as client:
        for i in range(100):
            client.send(b"".join(frame(PING, b"%d" % i) for _ in range(100)))
        client.send_frame(TEXT, b"go on")
        frames: list[Frame] = []
        while not frames or frames[-1].opcode != CLOSE:
            frames.append(client.read())
        pongs = [f.payload for f in frames if f.opcode == PONG]
        assert len(pongs) < 5000
        assert len([f for f in frames if f.opcode == BINARY]) == 1


def test_large_messages_both_ways_at_once(served: Served) -> None:
    """Neither side waits for the other to read before it reads itself."""
    text = b"x" * 200_000
    count = 50
    with upgraded(served) as client:

        def send() -> None:
            for _ in range(count):
                client.send_frame(TEXT, text)

        sender = threading.Thread(target=send)
        sender.start()
        for _ in range(count):
            assert client.read() == Frame(TEXT, text)
        sender.join()
