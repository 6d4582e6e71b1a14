"""Files by ASGI: `/copied/NAME` by http.response.pathsend, `/read/NAME` in pieces, as an app does
that has no such extension. The files lie in the folder that the variable FILES names.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["FILES"])
PIECE = 256 * 1024  # bytes


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers HTTP; knows no lifespan."""
    assert scope["type"] == "http"
    _, how, name = scope["path"].split("/")
    path = FOLDER / name
    length = str((await asyncio.to_thread(path.stat)).st_size).encode()
    headers = [(b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if how == "copied":
        await send({"type": "http.response.pathsend", "path": str(path)})
    else:
        await send_pieces(send, path)


async def send_pieces(send: Any, path: Path) -> None:
    """Reads in a thread."""
    with path.open("rb", buffering=0) as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
