"""Handlers that write to the WebSockets of others: each gets every message, whole and in order."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import zlib
from typing import TYPE_CHECKING

import pytest
from fluvial import App, WebSocket, WebSocketDisconnect
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

SIZES = (0, 10, 125, 126, 5_000, 16_384, 20_000)
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
# Nothing but what clients do wakes the loop.
QUIET = {"ws_ping_interval": 0, "keep_alive": 0, "body_rate": 0, "ws_close_timeout": 0}


def make_hub() -> App:
    """Sends each message to all; a text to all before it closes all."""
    app = App()
    members: list[WebSocket] = []

    @app.websocket("/")
    async def hub(websocket: WebSocket) -> None:
        await websocket.accept()
        members.append(websocket)
        await websocket.send_text("welcome")
        try:
            while isinstance(message := await websocket.receive_data(), bytes):
                for member in members:
                    with contextlib.suppress(WebSocketDisconnect):
                        await member.send_bytes(message)
        except WebSocketDisconnect:
            return
        everybody = members.copy()
        members.clear()
        for member in everybody:
            await member.send_text(message)
        for member in everybody:
            await member.close(4000, message)

    return app


def join(served: Served, count: int, fields: tuple[str, ...] = ()) -> list[Client]:
    clients = []
    for _ in range(count):
        clients.append(upgraded(served, fields=fields))
        assert clients[-1].read() == Frame(TEXT, b"welcome")
    return clients


def hold(served: Served) -> threading.Event:
    """The loop stands still until the event is set: what comes meanwhile is one iteration's."""
    released = threading.Event()
    assert served.loop is not None
    served.loop.call_soon_threadsafe(released.wait)
    return released


def message(sender: int, number: int) -> bytes:
    head = b"%d %d " % (sender, number)
    return head + bytes([65 + sender]) * SIZES[(sender + number) % len(SIZES)]


@pytest.mark.parametrize("deflate", [False, True])
def test_all_write_to_all(serve: Serve, deflate: bool) -> None:
    senders, count = 6, 14
    served = serve(make_hub())
    clients = join(served, senders, (DEFLATE,) if deflate else ())
    found: list[list[bytes]] = [[] for _ in clients]

    def read(i: int) -> None:
        inflate = zlib.decompressobj(-15)
        while len(found[i]) < senders * count:
            got = clients[i].read()
            assert (got.opcode, got.fin) == (BINARY, True)
            payload = got.payload
            if got.rsv:
                payload = inflate.decompress(payload + b"\0\0\xff\xff")
            found[i].append(payload)

    readers = [threading.Thread(target=read, args=(i,)) for i in range(senders)]
    released = hold(served)
    for i, client in enumerate(clients):
        client.send(b"".join(frame(BINARY, message(i, n)) for n in range(count)))
    for reader in readers:
        reader.start()
    released.set()
    for reader in readers:
        reader.join()
    for got in found:
        for i in range(senders):
            mine = [payload for payload in got if payload.startswith(b"%d " % i)]
            assert mine == [message(i, n) for n in range(count)]
    for client in clients:
        client.sock.close()


def test_a_last_message_to_all_comes_before_the_end(serve: Serve) -> None:
    served = serve(make_hub())
    clients = join(served, 70)
    released = hold(served)
    for client in clients[:10]:
        client.send_frame(PING, b"?")
    clients[10].send_frame(TEXT, b"bye")
    released.set()
    for i, client in enumerate(clients):
        if i < 10:
            assert client.read() == Frame(PONG, b"?")
        assert client.read() == Frame(TEXT, b"bye")
        last = client.read()
        assert (last.opcode, last.code, last.reason) == (CLOSE, 4000, "bye")
        client.send_frame(CLOSE, last.payload)
        assert client.read_to_end() == []
        client.sock.close()


def test_a_member_that_is_gone_takes_nothing_from_others(serve: Serve) -> None:
    served = serve(make_hub())
    clients = join(served, 5)
    released = hold(served)
    clients[1].sock.close()
    clients[3].send_frame(CLOSE, close_payload(1000))
    clients[0].send_frame(BINARY, b"to all")
    released.set()
    for i in (0, 2, 4):
        assert clients[i].read() == Frame(BINARY, b"to all")
        clients[i].sock.close()
    *_, last = clients[3].read_to_end()
    assert last.code == 1000
    clients[3].sock.close()


def test_a_websocket_is_closed_by_a_request_that_had_to_wait(serve: Serve) -> None:
    """The request's turn comes when the loop is about to block, and nothing else happens then; the
    WebSocket isn't read from, since its handler has too many messages to take."""
    app = App()
    released = asyncio.Event()
    websockets: list[WebSocket] = []
    over = asyncio.Event()

    @app.websocket("/")
    async def never_receives(websocket: WebSocket) -> None:
        await websocket.accept()
        websockets.append(websocket)
        await over.wait()

    @app.get("/first")
    async def first() -> str:
        await released.wait()
        return "first"

    @app.get("/second")
    async def second() -> str:
        await websockets[0].close(4001)
        return "second"

    served = serve(app, limits=QUIET)
    assert served.loop is not None
    with upgraded(served) as client, connect(served) as other:
        client.send(frame(BINARY, b"x" * 1000) * 400)
        for path in ("first", "second"):
            other.send(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        released_too = hold(served)
        served.loop.call_soon_threadsafe(released.set)
        released_too.set()
        assert [other.answer().body for _ in range(2)] == [b'"first"', b'"second"']
        assert client.read().code == 4001
        client.send_frame(CLOSE, close_payload(4001))
        assert client.read_to_end() == []
        served.loop.call_soon_threadsafe(over.set)
