"""The echo that the Autobahn cases are run against: a native handler, and the same for ASGI."""

from __future__ import annotations

from typing import Any

from fluvial import App, WebSocket

native = App()


@native.websocket("/")
async def echo(websocket: WebSocket) -> None:
    """Sends back what comes, as what it came."""
    await websocket.accept()
    while True:
        message = await websocket.receive_data()
        if isinstance(message, str):
            await websocket.send_text(message)
        else:
            await websocket.send_bytes(message)


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The same by ASGI's events."""
    if scope["type"] != "websocket":
        raise RuntimeError("this app has WebSockets only")
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send(message | {"type": "websocket.send"})
