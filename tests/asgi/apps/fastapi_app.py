"""A FastAPI app with something of everything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import (
    BackgroundTasks,
    Depends,
    FastAPI,
    File,
    Form,
    HTTPException,
    Request,
    UploadFile,
    WebSocket,
    WebSocketDisconnect,
)
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel

done: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"started": True}
    print("app stopped", flush=True)


app = FastAPI(lifespan=lifespan)


class Item(BaseModel):
    name: str
    price: float
    tags: list[str] = []


async def connection() -> AsyncIterator[str]:
    done.append("open")
    yield "connection"
    done.append("close")


@app.get("/")
async def root(request: Request) -> Any:
    return {"started": request.state.started, "client": request.client}


@app.get("/sync/{number}")
def sync(number: int, q: str | None = None) -> Any:
    return {"number": number, "q": q}


@app.post("/items")
async def create(item: Item, link: Annotated[str, Depends(connection)]) -> Any:
    return {**item.model_dump(), "link": link}


@app.post("/upload")
async def upload(
    file: Annotated[UploadFile, File()], note: Annotated[str, Form()]
) -> dict[str, Any]:
    content = await file.read()
    return {"name": file.filename, "size": len(content), "note": note}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def numbers() -> AsyncIterator[bytes]:
        for number in range(1000):
            yield b"%d\n" % number
            if number % 100 == 0:
                await asyncio.sleep(0)

    return StreamingResponse(numbers(), media_type="text/plain")


@app.get("/sync-stream")
def sync_stream() -> StreamingResponse:
    return StreamingResponse((f"{n}," for n in range(100)), media_type="text/plain")


@app.get("/events")
async def events() -> StreamingResponse:
    async def ticks() -> AsyncIterator[str]:
        number = 0
        try:
            while True:
                yield f"data: {number}\n\n"
                number += 1
                await asyncio.sleep(0.01)
        finally:
            done.append("events closed")

    return StreamingResponse(ticks(), media_type="text/event-stream")


@app.get("/background")
async def background(tasks: BackgroundTasks) -> str:
    async def note() -> None:
        await asyncio.sleep(0)
        done.append("async task")

    tasks.add_task(note)
    tasks.add_task(done.append, "sync task")
    return "soon"


@app.get("/done")
async def what_is_done() -> list[str]:
    return done


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(Path(__file__))


@app.get("/teapot")
async def teapot() -> None:
    raise HTTPException(418, "short and stout")


@app.websocket("/ws/{name}")
async def websocket(websocket: WebSocket, name: str) -> None:
    await websocket.accept()
    await websocket.send_json({"hello": name})
    try:
        while True:
            await websocket.send_text(f"{name}: {await websocket.receive_text()}")
    except WebSocketDisconnect as exc:
        done.append(f"left with {exc.code}")


@app.websocket("/refused")
async def refused(websocket: WebSocket) -> None:
    await websocket.close(1008)
