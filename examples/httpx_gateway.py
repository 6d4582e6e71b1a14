"""A gateway that calls another server with httpx: many requests at once, and a stream passed on.

fluvial run prices:app --app-dir examples --port 8001
fluvial run httpx_gateway:app --app-dir examples --port 8000
curl 'http://127.0.0.1:8000/portfolio?symbol=ACME&symbol=GLOBEX'
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
from fluvial import App, HTTPException, JSONResponse, Query, Request, StreamingResponse

PRICES_URL = os.environ.get("PRICES_URL", "http://127.0.0.1:8001")


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[dict[str, object]]:
    """One client of each kind for the whole life of the server: they keep connections open."""
    with httpx.Client(base_url=PRICES_URL) as blocking:
        async with httpx.AsyncClient(base_url=PRICES_URL) as client:
            yield {"client": client, "blocking": blocking}


app = App(lifespan=lifespan)


@app.exception_handler(httpx.TransportError)
async def prices_unreachable(request: Request, error: httpx.TransportError):
    return JSONResponse({"detail": "the prices server can't be reached"}, 502)


def price_in(response: httpx.Response) -> float:
    if response.status_code == 404:
        raise HTTPException(404, response.json()["detail"])
    return response.raise_for_status().json()["price"]


@app.get("/portfolio")
async def read_portfolio(request: Request, symbol: Annotated[list[str], Query()]):
    """Asks for all prices at once, so that ten take as long as one."""
    client: httpx.AsyncClient = request.state.client
    responses = await asyncio.gather(*(client.get(f"/prices/{name}") for name in symbol))
    prices = {name: price_in(answer) for name, answer in zip(symbol, responses, strict=True)}
    return {"prices": prices, "total": sum(prices.values())}


@app.get("/ticker")
async def read_ticker(request: Request):
    """Each line goes out as soon as it has come in."""
    client: httpx.AsyncClient = request.state.client

    async def lines() -> AsyncIterator[bytes]:
        async with client.stream("GET", "/ticks") as response:
            async for piece in response.aiter_bytes():
                yield piece

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/price/{symbol}")
def read_price(request: Request, symbol: str):
    """Blocking code is fine in a `def`: it runs in a thread."""
    client: httpx.Client = request.state.blocking
    return {"symbol": symbol, "price": price_in(client.get(f"/prices/{symbol}"))}
