"""fastapi-cache2: a result is kept, and its response says so."""

from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.testclient import TestClient
from fastapi_cache import FastAPICache
from fastapi_cache.backends.inmemory import InMemoryBackend
from fastapi_cache.decorator import cache


@asynccontextmanager
async def lifespan(app):
    FastAPICache.init(InMemoryBackend(), prefix="test")
    yield


app = FastAPI(lifespan=lifespan)
calls = []


@app.get("/items/{number}")
@cache(expire=60)
async def read_item(number: int):
    calls.append(number)
    return {"number": number, "call": len(calls)}


with TestClient(app) as client:
    for number, call, said in ((1, 1, "MISS"), (1, 1, "HIT"), (2, 2, "MISS")):
        answer = client.get(f"/items/{number}")
        assert answer.json() == {"number": number, "call": call}
        assert answer.headers["x-fastapi-cache"] == said
