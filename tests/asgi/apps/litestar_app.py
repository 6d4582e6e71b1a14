"""A Litestar app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.exceptions import WebSocketDisconnect
from litestar.params import Body
from litestar.response import ServerSentEvent, Stream
from msgspec import Struct


class Item(Struct):
    name: str
    price: float


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    app.state.started = True
    yield


@get("/items/{number:int}")
async def item(number: int, q: str | None, request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"number": number, "q": q, "started": request.app.state.started}


@get("/sync", sync_to_thread=True)
def sync() -> str:
    return "by a thread"


@post("/items")
async def create(data: Item) -> Item:
    return data


@post("/upload")
async def upload(
    data: Annotated[UploadFile, Body(media_type=RequestEncodingType.MULTI_PART)],
) -> int:
    return len(await data.read())


@get("/stream")
async def stream() -> Stream:
    async def numbers() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%d," % number

    return Stream(numbers())


@get("/events")
async def events() -> ServerSentEvent:
    async def ticks() -> AsyncIterator[str]:
        for number in range(3):
            yield str(number)

    return ServerSentEvent(ticks())


@websocket("/ws")
async def echo(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_json(await socket.receive_json())
    except WebSocketDisconnect:
        return


app = Litestar([item, sync, create, upload, stream, events, echo], lifespan=[lifespan])
