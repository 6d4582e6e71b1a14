"""asyncio's debug mode tells of handlers that block the loop, also in their first step, which runs
as soon as the request is there."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from fluvial import App, WebSocket
from support.serving import Served, serving
from websockets.sync.client import connect

if TYPE_CHECKING:
    import pytest

BLOCKED = 0.05  # seconds, more than what counts as slow


def watch_steps() -> None:
    loop: Any = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = BLOCKED / 2


def slow_tasks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if line.startswith("Executing <Task")]


def ask(served: Served, *paths: str) -> None:
    for path in paths:
        assert served.client.get(path).status_code == 200


def test_an_async_handler(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.get("/watch")
    async def watch() -> None:
        watch_steps()

    @app.get("/slow")
    async def slow() -> str:
        time.sleep(BLOCKED)  # noqa: ASYNC251
        return "done"

    @app.get("/later")
    async def later() -> str:
        time.sleep(BLOCKED)  # noqa: ASYNC251
        await asyncio.sleep(0)
        return "done"

    with serving(app) as served, caplog.at_level(logging.WARNING, "asyncio"):
        ask(served, "/watch", "/slow")
        first = slow_tasks(caplog)
        ask(served, "/later")
        second = slow_tasks(caplog)[len(first) :]
    assert any(".slow" in line and " took " in line for line in first)
    assert any(".later" in line for line in second)


def test_a_websocket_handler(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.websocket("/slow")
    async def slow(websocket: WebSocket) -> None:
        watch_steps()
        await websocket.accept()
        await websocket.receive_text()

    @app.websocket("/blocks")
    async def blocks(websocket: WebSocket) -> None:
        time.sleep(BLOCKED)  # noqa: ASYNC251
        await websocket.accept()

    with serving(app) as served, caplog.at_level(logging.WARNING, "asyncio"):
        url = served.url.replace("http", "ws")
        with connect(f"{url}/slow") as watching:
            with connect(f"{url}/blocks"):
                pass
            watching.send("over")
    assert any(".blocks" in line for line in slow_tasks(caplog))


def test_an_asgi_app(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        if scope["path"] == "/watch":
            watch_steps()
        else:
            time.sleep(BLOCKED)  # noqa: ASYNC251
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    with serving(app) as served, caplog.at_level(logging.WARNING, "asyncio"):
        ask(served, "/watch", "/slow")
    assert len(slow_tasks(caplog)) >= 1
