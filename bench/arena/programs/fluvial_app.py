"""The arena's routes in Fluvial, as its users write them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fluvial import App, PlainTextResponse, Request, WebSocket, WebSocketDisconnect
from fluvial.staticfiles import StaticFiles

DATA = Path(os.environ["ARENA_DATA"])
ITEMS: list[dict[str, Any]] = json.loads((DATA / "dataset.json").read_text())

app = App()
app.mount("/static", StaticFiles(directory=DATA / "static"), name="static")


@app.get("/baseline11", response_class=PlainTextResponse)
async def add(a: int, b: int):
    return str(a + b)


@app.post("/baseline11", response_class=PlainTextResponse)
async def add_body(a: int, b: int, request: Request):
    return str(a + b + int(await request.body()))


@app.get("/pipeline", response_class=PlainTextResponse)
async def pipeline():
    return "ok"


@app.get("/json/{count}")
async def some_items(count: int, m: int):
    some = [{**item, "total": item["price"] * item["quantity"] * m} for item in ITEMS[:count]]
    return {"items": some, "count": len(some)}


@app.post("/upload", response_class=PlainTextResponse)
async def upload(request: Request):
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return str(size)


@app.websocket("/ws")
async def echo(socket: WebSocket):
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass
