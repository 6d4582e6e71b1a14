"""The arena's routes in FastAPI; `fluvial run --as-fastapi` serves the same file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles

DATA = Path(os.environ["ARENA_DATA"])
ITEMS: list[dict[str, Any]] = json.loads((DATA / "dataset.json").read_text())

app = FastAPI()
if os.environ.get("ARENA_COMPRESS"):
    app.add_middleware(GZipMiddleware, minimum_size=500, compresslevel=1)
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
