"""The benchmark's routes in FastAPI, as users write them: no return annotations."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import work
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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
