"""A Starlette app: middleware of every kind, mounted apps, static files, sessions of a listener."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

noted: list[str] = []


class Timing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-seen"] = request.url.path
        return response


class Item(HTTPEndpoint):
    async def get(self, request: Request) -> Response:
        return JSONResponse({"id": request.path_params["id"], "root": request.scope["root_path"]})

    async def delete(self, request: Request) -> Response:
        return Response(status_code=204)


class Echo(WebSocketEndpoint):
    encoding = "json"

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_json({"echo": data})

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        noted.append(f"left {close_code}")


async def upload(request: Request) -> Response:
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
    except ClientDisconnect:
        noted.append("upload cut off")
        raise
    return PlainTextResponse(str(size))


async def endless(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000
        finally:
            noted.append("endless stopped")

    return StreamingResponse(pieces())


async def patient(request: Request) -> Response:
    noted.append("patient")
    while not await request.is_disconnected():  # noqa: ASYNC110  # what apps do
        await asyncio.sleep(0.005)
    noted.append("patient alone")
    return Response()


async def big(request: Request) -> Response:
    return PlainTextResponse("compress me " * 1000)


async def broken(request: Request) -> Response:
    raise RuntimeError("broken on purpose")


async def what_is_noted(request: Request) -> Response:
    return JSONResponse(noted)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    noted.append("started")
    yield
    print("app stopped", flush=True)


async def handle(request: Request, exc: Exception) -> Response:
    return PlainTextResponse(f"handled {exc}", 500)


app = Starlette(
    routes=[
        Route("/upload", upload, methods=["POST"]),
        Route("/endless", endless),
        Route("/patient", patient),
        Route("/big", big),
        Route("/broken", broken),
        Route("/noted", what_is_noted),
        WebSocketRoute("/ws", Echo),
        Mount("/sub", routes=[Route("/items/{id:int}", Item)], middleware=[Middleware(Timing)]),
        Mount("/static", StaticFiles(directory=Path(__file__).parent)),
    ],
    middleware=[
        Middleware(CORSMiddleware, allow_origins=["https://example.org"]),
        Middleware(GZipMiddleware, minimum_size=500),
    ],
    exception_handlers={RuntimeError: handle},
    lifespan=lifespan,
)
