"""A BlackSheep app."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from blacksheep import (
    Application,
    Content,
    FromJSON,
    Request,
    Response,
    Router,
    StreamedContent,
    WebSocket,
    WebSocketDisconnectError,
)

app = Application(router=Router())
started: list[bool] = []


@dataclass
class Item:
    name: str
    price: float


@app.on_start
async def start(app: Application) -> None:
    started.append(True)


@app.router.get("/items/{number}")
async def item(number: int, q: str = "") -> dict[str, object]:
    return {"number": number, "q": q, "started": started}


@app.router.post("/items")
async def create(data: FromJSON[Item]) -> Item:
    return data.value


@app.router.post("/echo")
async def echo(request: Request) -> Response:
    return Response(200, content=Content(b"text/plain", await request.read() or b""))


@app.router.get("/stream")
async def stream() -> Response:
    async def numbers() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d," % number
            await asyncio.sleep(0)

    return Response(200, content=StreamedContent(b"text/plain", numbers))


@app.router.ws("/ws")
async def websocket(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text((await websocket.receive_text()).upper())
    except WebSocketDisconnectError:
        return
