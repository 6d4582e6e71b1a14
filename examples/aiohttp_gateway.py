"""A gateway that calls another server with aiohttp, and passes a stream on as it comes.

fluvial run prices:app --app-dir examples --port 8001
fluvial run aiohttp_gateway:app --app-dir examples --port 8000
curl -N http://127.0.0.1:8000/ticker
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.request import urlopen

import aiohttp
from fluvial import (
    App,
    Depends,
    HTTPException,
    JSONResponse,
    Query,
    Request,
    StreamingResponse,
)

PRICES_URL = os.environ.get("PRICES_URL", "http://127.0.0.1:8001")


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[dict[str, object]]:
    """One session for the whole life of the server: it keeps connections open."""
    async with aiohttp.ClientSession(PRICES_URL) as session:
        yield {"session": session}


async def get_session(request: Request) -> aiohttp.ClientSession:
    return request.state.session


Session = Annotated[aiohttp.ClientSession, Depends(get_session)]

app = App(lifespan=lifespan)


@app.exception_handler(aiohttp.ClientConnectionError)
async def prices_unreachable(request: Request, error: aiohttp.ClientConnectionError):
    return JSONResponse({"detail": "the prices server can't be reached"}, 502)


async def fetch_price(session: aiohttp.ClientSession, symbol: str) -> float:
    async with session.get(f"/prices/{symbol}") as response:
        if response.status == 404:
            raise HTTPException(404, (await response.json())["detail"])
        response.raise_for_status()
        return (await response.json())["price"]


@app.get("/portfolio")
async def read_portfolio(session: Session, symbol: Annotated[list[str], Query()]):
    """Asks for all prices at once, so that ten take as long as one."""
    async with asyncio.timeout(5):
        prices = await asyncio.gather(*(fetch_price(session, name) for name in symbol))
    return {"prices": dict(zip(symbol, prices, strict=True)), "total": sum(prices)}


@app.get("/ticker")
async def read_ticker(session: Session):
    """Each line goes out as soon as it has come in."""

    async def lines() -> AsyncIterator[bytes]:
        async with session.get("/ticks") as response:
            async for line in response.content:
                yield line

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/price/{symbol}")
def read_price(symbol: str):
    """Blocking code is fine in a `def`: it runs in a thread."""
    with urlopen(f"{PRICES_URL}/prices/{symbol}") as response:
        return json.load(response)
