"""The benchmark's routes in Fluvial, as users write them: no return annotations."""

from __future__ import annotations

import asyncio

import work
from fluvial import App

app = App()


@app.get("/async")
async def read_async():
    return {"type": "async"}


@app.get("/sync")
def read_sync():
    return {"type": "sync"}


@app.get("/items/{item_id}")
async def read_item(item_id: int, q: str | None = None):
    return {"item_id": item_id, "q": q}


@app.get("/delayed")
async def delayed_response():
    await asyncio.sleep(work.DELAY)
    return {"message": "Waited"}


@app.get("/cpu")
def read_cpu():
    return {"turns": work.burn()}


@app.get("/sleep")
def read_sleep():
    work.block()
    return {"type": "sleep"}
