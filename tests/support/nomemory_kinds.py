"""The requests whose allocations fail, one after the other (nomemory.py), and their app."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pydantic
from fluvial import (
    App,
    BackgroundTasks,
    Cookie,
    Depends,
    FileResponse,
    HTTPException,
    Request,
    StreamingResponse,
    UploadFile,
    WebSocket,
)
from fluvial.staticfiles import StaticFiles
from support.certificate import make_certificate
from support.serving import Served, serving

PATIENCE = 30  # seconds


class Item(msgspec.Struct):
    name: str
    number: int = 3


class Model(pydantic.BaseModel):
    name: str
    number: int = 3


async def first() -> AsyncIterator[int]:
    yield 1


def second(number: int = Depends(first)) -> int:
    return number + 1


def add_handlers(app: App) -> None:
    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.get("/async/{number}")
    async def awaits(number: int, text: str = "x", c: str = Cookie(default="z")) -> list[Any]:
        await asyncio.sleep(0)
        return [number, text, c]

    @app.get("/def/{name}")
    def plain(name: str) -> dict[str, str]:
        return {"name": name}

    @app.get("/depends")
    async def depends(tasks: BackgroundTasks, number: int = Depends(second)) -> int:
        tasks.add_task(int)
        return number

    @app.get("/refuses")
    async def refuses() -> None:
        raise HTTPException(418, "a teapot")

    @app.get("/raises")
    async def raises() -> None:
        raise RuntimeError("on purpose")


def add_bodies(app: App) -> None:
    @app.post("/struct")
    async def struct(item: Item) -> Item:
        return item

    @app.post("/model")
    async def model(item: Model) -> Model:
        return item

    @app.post("/json")
    async def json(request: Request) -> Any:
        return await request.json()

    @app.post("/size")
    async def size(request: Request) -> int:
        return sum([len(piece) async for piece in request.stream()])

    @app.post("/upload")
    async def upload(file: UploadFile) -> int:
        return len(await file.read())

    @app.post("/def-upload")
    def def_upload(file: UploadFile) -> int:
        return len(file.file.read())

    @app.post("/form")
    async def form(request: Request) -> list[str]:
        async with request.form() as fields:
            return sorted(fields)


def add_responses(app: App, folder: Path) -> None:
    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b"x" * 1000
                await asyncio.sleep(0)

        return StreamingResponse(pieces())

    @app.get("/def-stream")
    def def_stream() -> StreamingResponse:
        return StreamingResponse(iter([b"x" * 1000] * 5))

    @app.get("/file")
    async def file() -> FileResponse:
        return FileResponse(folder / "a.txt")

    @app.websocket("/ws")
    async def echo(ws: WebSocket) -> None:
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(text)


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b")]})
    await send({"type": "http.response.body", "body": message["body"], "more_body": True})
    await send({"type": "http.response.body", "body": b"end"})


def wsgi(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield environ["wsgi.input"].read()
    yield b"end"


def make_app(folder: Path) -> App:
    app = App()
    add_handlers(app)
    add_bodies(app)
    add_responses(app, folder)
    app.mount("/asgi", asgi)
    app.mount("/wsgi", wsgi)
    app.mount("/static", StaticFiles(directory=folder))
    app.mount("/pages", StaticFiles(directory=folder / "pages", html=True))
    return app


@contextlib.contextmanager
def served(folder: Path, *, tls: bool) -> Iterator[Served]:
    """The app, with whatever else allocates memory for a request."""
    (folder / "a.txt").write_text("hello " * 1000)
    (folder / "b.bin").write_bytes(b"b" * 100_000)
    (folder / "pages" / "dir").mkdir(parents=True, exist_ok=True)
    for name in ("404.html", "dir/index.html"):
        (folder / "pages" / name).write_text(f"<p>{name}</p>")
    options: dict[str, Any] = {"access_log": True, "access_log_file": str(folder / "log")}
    options |= {"metrics": "/metrics", "health": True, "request_id_header": "x-request-id"}
    options |= {"compress": ("all",), "decompress": ("gzip",)}
    if tls:
        made = make_certificate(folder)
        options |= {"ssl_certfile": str(made.cert), "ssl_keyfile": str(made.key)}
    with serving(make_app(folder), **options) as it:
        yield it


def wait_until_idle(it: Served, connections: int) -> None:
    """Raises: AssertionError when requests or more connections than these stay."""
    assert it.service is not None
    end = time.monotonic() + PATIENCE
    while (stats := it.service.server.stats())["in_flight"] or stats["open"] > connections:
        assert time.monotonic() < end, stats
        time.sleep(0.001)


@dataclass(frozen=True)
class Kind:
    """Requests that are sent on one connection, and maybe a WebSocket's message."""

    request: bytes
    websocket: bool = False

    def exchange(self, it: Served) -> bytes:
        """What came until the connection was closed, without what differs each time."""
        answer = b""
        try:
            with it.connect() as sock:
                sock.settimeout(PATIENCE)
                sock.sendall(self.request)
                if self.websocket:
                    answer = self._talk(sock)
                while not self.websocket and (piece := sock.recv(65536)):
                    answer += piece
        except TimeoutError:
            return b"TIMEOUT " + answer
        except (OSError, EOFError):
            pass  # reset, or closed within a TLS handshake
        answer = re.sub(rb"(?mi)^(date|x-request-id):.*$", b"", answer)
        return re.sub(rb"boundary=[0-9a-f]{26}|--[0-9a-f]{26}", b"boundary", answer)

    def _talk(self, sock: Any) -> bytes:
        """Sends a message, gets it back, and closes; or what came instead."""
        answer: bytes = b""
        while b"\r\n\r\n" not in answer and (piece := sock.recv(65536)):
            answer += piece
        if not answer.startswith(b"HTTP/1.1 101"):
            return answer
        sock.sendall(frame(1, b"hello"))
        while len(answer.partition(b"\r\n\r\n")[2]) < 4 and (piece := sock.recv(65536)):
            answer += piece
        sock.sendall(frame(8, b"\x03\xe8"))
        while piece := sock.recv(65536):
            answer += piece
        return answer

    def outcome(self, usual: set[bytes], answer: bytes) -> str:
        if answer.startswith(b"TIMEOUT"):
            return "nothing more came"
        if answer in usual:
            return "usual"
        found = re.match(rb"HTTP/1.1 (\d+) ", answer)
        if not answer or found is None:
            return "closed" if not answer else "garbage"
        status = found[1].decode()
        return "cut" if any(text.startswith(found[0]) for text in usual) else status

    def wait_until_idle(self, it: Served, connections: int) -> None:
        wait_until_idle(it, connections)


def frame(opcode: int, payload: bytes) -> bytes:
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def get(path: str, *fields: str, method: str = "GET") -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *fields)
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def post(path: str, body: bytes, *fields: str, kind: str = "application/json") -> bytes:
    fields = (f"Content-Type: {kind}", f"Content-Length: {len(body)}", *fields)
    return get(path, *fields, method="POST") + body


def upgrade(path: str, *fields: str) -> Kind:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    fields = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", key, *fields)
    request = get(path, "Connection: Upgrade", *fields)
    return Kind(request.replace(b"Connection: close\r\n", b""), websocket=True)


MULTIPART = "multipart/form-data; boundary=B"
FORM = "application/x-www-form-urlencoded"
JSON = b'{"name":"x"}'


def parts(size: int) -> bytes:
    disposition = b'--B\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    file = disposition % (b"file", b'; filename="f"', b"z" * size)
    return disposition % (b"name", b"", b"x") + file + b"--B--\r\n"


def chunked(path: str) -> bytes:
    return get(path, "Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n0\r\n\r\n"


FORWARDED = (
    *("X-Forwarded-For: 192.0.2.1, 127.0.0.1", "X-Forwarded-Proto: https"),
    *("X-Forwarded-Host: example.org", "X-Forwarded-Prefix: /api"),
)
KINDS = {
    "ping": Kind(get("/ping")),
    "async": Kind(get("/async/5?text=%20abc", "Cookie: c=1")),
    "forwarded": Kind(get("/async/5", *FORWARDED)),
    "fields": Kind(get("/ping", *(f"X-{n}: {'v' * 200}" for n in range(80)))),
    "def": Kind(get("/def/joe")),
    "depends": Kind(get("/depends")),
    "refuses": Kind(get("/refuses")),
    "raises": Kind(get("/raises")),
    "absent": Kind(get("/absent")),
    "other-method": Kind(post("/ping", b"")),
    "head": Kind(get("/ping", method="HEAD")),
    "pipelined": Kind(get("/ping").replace(b"Connection: close\r\n", b"") * 5 + get("/def/x")),
    "malformed": Kind(b"GET / HTTP/1.1\r\nHost\r\n\r\n"),
    "health": Kind(get("/-/ready")),
    "struct": Kind(post("/struct", JSON)),
    "model": Kind(post("/model", JSON)),
    "invalid": Kind(post("/struct", b'{"nam":"x"}')),
    "json": Kind(post("/json", b'{"name":["x",1,2.5]}')),
    "expect": Kind(post("/struct", JSON, "Expect: 100-continue")),
    "compressed": Kind(post("/struct", gzip.compress(JSON), "Content-Encoding: gzip")),
    "size": Kind(post("/size", b"x" * 100_000)),
    "chunked": Kind(chunked("/size")),
    "form": Kind(post("/form", b"a=1&b=%20x", kind=FORM)),
    "multipart": Kind(post("/form", parts(10), kind=MULTIPART)),
    "upload": Kind(post("/upload", parts(100), kind=MULTIPART)),
    "spooled": Kind(post("/upload", parts(1_200_000), kind=MULTIPART)),
    "def-upload": Kind(post("/def-upload", parts(100), kind=MULTIPART)),
    "stream": Kind(get("/stream")),
    "def-stream": Kind(get("/def-stream")),
    "gzip": Kind(get("/stream", "Accept-Encoding: gzip")),
    "br": Kind(get("/stream", "Accept-Encoding: br")),
    "zstd": Kind(get("/static/a.txt", "Accept-Encoding: zstd")),
    "file": Kind(get("/file")),
    "range": Kind(get("/file", "Range: bytes=5-10")),
    "static": Kind(get("/static/a.txt")),
    "static-range": Kind(get("/static/a.txt", "Range: bytes=5-10")),
    "static-ranges": Kind(get("/static/a.txt", "Range: bytes=5-10,20-30", "If-Match: *")),
    "large-ranges": Kind(get("/static/b.bin", "Range: bytes=5-80000,90000-")),
    "index": Kind(get("/pages/dir/")),
    "redirect": Kind(get("/pages/dir?a=b")),
    "missing-page": Kind(get("/pages/missing")),
    "unchanged": Kind(
        get("/static/a.txt", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"),
    ),
    "asgi": Kind(post("/asgi/x", b"abc")),
    "wsgi": Kind(post("/wsgi/x", b"abc")),
    "ws": upgrade("/ws"),
    "ws-deflate": upgrade("/ws", "Sec-WebSocket-Extensions: permessage-deflate"),
    "asgi-ws": upgrade("/asgi/ws"),
}
# The same over TLS.
KINDS |= {f"tls-{name}": KINDS[name] for name in ("ping", "def", "size", "static", "ws")}
