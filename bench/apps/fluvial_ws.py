"""A WebSocket that echoes, in Fluvial."""

from __future__ import annotations

from fluvial import App, WebSocket

app = App()


@app.websocket("/ws")
async def echo(websocket: WebSocket):
    await websocket.accept()
    while (message := await websocket.receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])
