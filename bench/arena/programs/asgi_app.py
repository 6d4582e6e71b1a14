"""The arena's routes as a bare ASGI app, for servers without a framework; it keeps all files."""

from __future__ import annotations

import json
import mimetypes
import os
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec

DATA = Path(os.environ["ARENA_DATA"])
ITEMS: list[dict[str, Any]] = json.loads((DATA / "dataset.json").read_text())
FILES = {
    f"/static/{path.name}": (
        (mimetypes.guess_type(path.name)[0] or "application/octet-stream").encode(),
        path.read_bytes(),
    )
    for path in (DATA / "static").iterdir()
}
COMPRESS = bool(os.environ.get("ARENA_COMPRESS"))
_encode = msgspec.json.Encoder().encode


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    if scope["type"] == "websocket":
        await echo(receive, send)
        return
    status, media_type, body = await respond(scope, receive)
    headers = [(b"content-type", media_type)]
    if COMPRESS and len(body) >= 500 and b"gzip" in dict(scope["headers"])[b"accept-encoding"]:
        body = zlib.compress(body, 1, wbits=31)
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def echo(receive: Any, send: Any) -> None:
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "websocket.send", "text": message["text"]})


async def respond(scope: Any, receive: Any) -> tuple[int, bytes, bytes]:
    path = scope["path"]
    if path == "/baseline11":
        query = parse_qs(scope["query_string"])
        total = int(query[b"a"][0]) + int(query[b"b"][0])
        if scope["method"] == "POST":
            total += int(await whole_body(receive))
        return 200, b"text/plain; charset=utf-8", b"%d" % total
    if path == "/pipeline":
        return 200, b"text/plain; charset=utf-8", b"ok"
    if path == "/upload":
        return 200, b"text/plain; charset=utf-8", b"%d" % await body_size(receive)
    if path.startswith("/json/"):
        factor = int(parse_qs(scope["query_string"])[b"m"][0])
        some = [
            {**item, "total": item["price"] * item["quantity"] * factor}
            for item in ITEMS[: int(path[6:])]
        ]
        return 200, b"application/json", _encode({"items": some, "count": len(some)})
    if (found := FILES.get(path)) is not None:
        return 200, *found
    return 404, b"text/plain; charset=utf-8", b"not found"


async def body_size(receive: Any) -> int:
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    return size


async def whole_body(receive: Any) -> bytes:
    message = await receive()
    pieces = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        pieces.append(message.get("body", b""))
    return b"".join(pieces)
