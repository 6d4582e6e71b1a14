"""What WebSocket handlers have on Fluvial's own server only."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from fluvial import App, WebSocket, WebSocketDisconnect, WebSocketState
from support.gateways import app_with, text_of
from support.ws_client import connect, upgraded

if TYPE_CHECKING:
    from conftest import Serve


def test_another_thread(serve: Serve) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        sending = await asyncio.to_thread(websocket.send_text, "fine")
        await sending  # on the loop

    assert text_of(serve(app_with(handler))) == "fine"


def test_the_client_goes_before_it_is_accepted(serve: Serve) -> None:
    app = App()
    entered = threading.Event()
    go_on = threading.Event()
    found: list[int] = []
    done = threading.Event()

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        entered.set()
        await asyncio.to_thread(go_on.wait, 10)
        while websocket.client_state is WebSocketState.CONNECTING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        with pytest.raises(WebSocketDisconnect) as info:
            await websocket.accept()
        found.append(info.value.code)
        done.set()

    served = serve(app)
    client = connect(served)
    client.send(client.request())
    assert entered.wait(10)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()
    go_on.set()
    assert done.wait(10)
    assert found == [1006]


def test_cancelled_when_the_server_gives_up(serve: Serve) -> None:
    """A handler that never looks at its WebSocket is cancelled after graceful_timeout."""
    app = App()
    ended = threading.Event()

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    served = serve(app, graceful_timeout=0.2)
    with upgraded(served) as client:
        served.stop()
        assert client.read().code == 1012
        assert ended.wait(10)
