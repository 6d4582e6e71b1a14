"""A Socket.IO server as an ASGI app."""

from typing import Any

import socketio

sio = socketio.AsyncServer(async_mode="asgi")


@sio.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    await sio.emit("welcome", {"path": environ["PATH_INFO"]}, to=sid)


@sio.event
async def add(sid: str, numbers: list[int]) -> int:
    return sum(numbers)


@sio.event
async def shout(sid: str, text: str) -> None:
    await sio.emit("heard", text.upper())


app = socketio.ASGIApp(sio)
