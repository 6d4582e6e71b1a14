"""The benchmark's routes in FastAPI, written as its users write them: without return annotations."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import work
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    threads = os.environ.get("BENCH_THREADS")
    if threads:
        current_default_thread_limiter().total_tokens = int(threads)
    yield


app = FastAPI(lifespan=lifespan)


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
