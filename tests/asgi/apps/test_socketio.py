"""Socket.IO's ASGI app, unchanged, by long polling and by WebSocket."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import pytest
from support.skips import need

if TYPE_CHECKING:
    from support.command import ServerProcess

need("socketio", "requests", "websocket")


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]])
def test_events_both_ways(server: ServerProcess, transports: list[str]) -> None:
    import socketio

    heard: queue.Queue[Any] = queue.Queue()
    client = socketio.Client(reconnection=False)
    client.on("welcome", heard.put)
    client.on("heard", heard.put)
    client.connect(server.url, transports=transports)
    try:
        assert heard.get(timeout=30) == {"path": "/socket.io/"}
        assert client.call("add", [1, 2, 3], timeout=30) == 6
        client.emit("shout", "hello")
        assert heard.get(timeout=30) == "HELLO"
    finally:
        client.disconnect()
