"""Another server for the gateway examples to call. It answers a moment late, as others do.

fluvial run prices:app --app-dir examples --port 8001
"""

import asyncio
from collections.abc import AsyncIterator

from fluvial import App, HTTPException, StreamingResponse

PRICES = {"ACME": 12.5, "GLOBEX": 99.0, "INITECH": 3.25}

app = App()


@app.get("/prices/{symbol}")
async def read_price(symbol: str):
    await asyncio.sleep(0.1)
    if symbol not in PRICES:
        raise HTTPException(404, f"no price for {symbol}")
    return {"symbol": symbol, "price": PRICES[symbol]}


@app.get("/ticks")
async def read_ticks():
    """One line after the other, as prices change."""

    async def ticks() -> AsyncIterator[str]:
        for symbol, price in PRICES.items():
            await asyncio.sleep(0.05)
            yield f"{symbol} {price}\n"

    return StreamingResponse(ticks(), media_type="text/plain")
