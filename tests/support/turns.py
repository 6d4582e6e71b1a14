"""An app that shows who had a turn of the loop first."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from fluvial import App, WebSocket

if TYPE_CHECKING:
    from support.asgi import Notes


def app_with_turns(notes: Notes) -> tuple[App, threading.Event, threading.Event]:
    """The app and two events: `/block` sets the first, and holds the loop until the second is set.

    Meanwhile bytes for `costly`, a WebSocket at `/`, and for `/cheap` lie in the kernel. Each notes
    its name when it has its message, or its turn.
    """
    app = App()
    blocked, go = threading.Event(), threading.Event()

    @app.websocket("/")
    async def costly(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_bytes()
        notes.add("costly")

    @app.get("/block")
    async def block() -> None:
        blocked.set()
        assert go.wait(30)

    @app.get("/cheap")
    async def cheap() -> None:
        for _ in range(4):  # later than messages that were all read in one turn
            await asyncio.sleep(0)
        notes.add("cheap")

    return app, blocked, go
