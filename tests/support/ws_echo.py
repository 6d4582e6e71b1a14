"""A WebSocket that sends back what it gets."""

from __future__ import annotations

from fluvial import App, WebSocket


def make_echo() -> App:
    """An app with the echo at "/"."""
    app = App()

    @app.websocket("/")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            message = await websocket.receive_data()
            if isinstance(message, str):
                await websocket.send_text(message)
            else:
                await websocket.send_bytes(message)

    return app
