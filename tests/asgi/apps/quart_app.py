"""A Quart app."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, Response, request, websocket

app = Quart(__name__)
noted: list[str] = []


@app.before_serving
async def start() -> None:
    noted.append("started")


@app.after_serving
async def stop() -> None:
    print("app stopped", flush=True)


@app.get("/items/<int:number>")
async def item(number: int) -> dict[str, Any]:
    return {"number": number, "q": request.args.get("q"), "noted": noted}


@app.post("/echo")
async def echo() -> bytes:
    return await request.get_data()


@app.post("/form")
async def form() -> dict[str, Any]:
    files = await request.files
    return {"note": (await request.form)["note"], "size": len(files["file"].read())}


@app.get("/stream")
async def stream() -> Response:
    async def numbers() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d," % number
            await asyncio.sleep(0)

    return Response(numbers(), mimetype="text/plain")


@app.get("/sync")
def sync() -> str:
    return "by a thread"


@app.get("/broken")
async def broken() -> str:
    raise KeyError("broken")


@app.errorhandler(KeyError)
async def handle(exc: KeyError) -> tuple[str, int]:
    return f"handled {exc}", 500


@app.websocket("/ws")
async def ws() -> None:
    while True:
        await websocket.send(f"echo {await websocket.receive()}")
