"""Requests of every kind, many times over: objects, memory and descriptors stay where they are."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import os
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pydantic
import pytest
from fluvial import (
    App,
    BackgroundTasks,
    Cookie,
    Depends,
    FileResponse,
    Header,
    HTTPException,
    Request,
    Response,
    StreamingResponse,
)
from support.flat import resident
from support.growth import assert_flat
from support.sanitizer import measures_memory
from support.serving import Served, serving

PIPELINED = 20
REPEATS = 6  # in a round, each of PIPELINED requests or as many connections
ROUNDS = 3
# Objects or blocks of memory that all rounds may leave behind, since threads come and tables grow;
# a leak leaves one for each of the 360 requests.
FEW = 180
MEMORY = 2 * 1024 * 1024  # bytes, which a few new threads take

Work = Callable[[Served], None]


@dataclasses.dataclass
class Data:
    name: str
    tags: list[str]


class Model(pydantic.BaseModel):
    name: str
    tags: list[str]


class Broken(Exception):
    """Refers to itself, as exceptions kept in a variable do."""

    def __init__(self) -> None:
        self.me = self


def setting_up() -> Iterator[list[int]]:
    yield [1]


async def setting_up_async() -> AsyncIterator[list[int]]:
    yield [1]


def make_app() -> App:
    app = App()
    add_plain(app)
    add_bodies(app)
    add_streams(app)
    return app


def add_plain(app: App) -> None:
    @app.get("/async/{number}")
    async def read_async(number: int, q: str, tags: Annotated[list[str] | None, Header()] = None):
        return {"number": number, "q": q, "tags": tags}

    @app.get("/waits")
    async def waits(cookie: Annotated[str, Cookie()] = "none"):
        await asyncio.sleep(0)
        return cookie

    @app.get("/def/{number}")
    def read_def(number: int, q: str):
        return [number, q]

    @app.get("/inline", inline=True)
    def inline():
        return "inline"

    @app.get("/fails/{kind}")
    def fails(kind: str):
        raise HTTPException(400, kind) if kind == "http" else Broken()

    @app.get("/fails/async/late")
    async def fails_late():
        await asyncio.sleep(0)
        raise Broken

    @app.get("/request")
    async def parts(request: Request):
        request.state.me = request  # a cycle
        return [str(request.url), dict(request.headers), request.cookies, request.client]

    @app.get("/depends")
    def depends(
        a: Annotated[list[int], Depends(setting_up)],
        tasks: BackgroundTasks,
        response: Response,
    ):
        response.set_cookie("a", "b")
        tasks.add_task(a.append, 1)
        return a

    @app.get("/depends/async")
    async def depends_async(
        a: Annotated[list[int], Depends(setting_up)],
        b: Annotated[list[int], Depends(setting_up_async)],
    ):
        return [a, b]


def add_bodies(app: App) -> None:
    @app.post("/dict")
    async def read_dict(body: dict[str, Any]):
        return body

    @app.post("/dataclass")
    def read_dataclass(body: Data) -> Data:
        return body

    @app.post("/model")
    async def read_model(body: Model) -> Model:
        return body

    @app.post("/stream")
    async def read_stream(request: Request):
        return sum([len(piece) async for piece in request.stream()])


class LargeFile(FileResponse):
    """A file of so many bytes, which is there while it is sent."""

    def __init__(self, size: int) -> None:
        number, self.name = tempfile.mkstemp()
        os.truncate(number, size)
        os.close(number)
        super().__init__(self.name)
        self.clean_up_after(self.remove)

    async def remove(self) -> None:
        os.unlink(self.name)


def add_streams(app: App) -> None:
    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 10_000

    @app.get("/streamed/{count}")
    async def streamed(count: int, resource: Annotated[list[int], Depends(setting_up_async)]):
        return StreamingResponse(pieces(count))

    @app.get("/streamed/def/{count}")
    def streamed_def(count: int, resource: Annotated[list[int], Depends(setting_up)]):
        return StreamingResponse(b"x" * 10_000 for _ in range(count))

    @app.get("/file")
    async def file():
        return FileResponse(__file__)

    @app.get("/file/{size}")
    async def large(size: int):
        return LargeFile(size)

    @app.get("/endless")
    async def endless():
        async def wait() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.Event().wait()

        return StreamingResponse(wait())


@pytest.fixture(scope="module", params=["plain", "middleware"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    app = make_app()
    if request.param == "middleware":

        @app.middleware("http")
        async def mark(request: Request, call_next: Any) -> Response:
            response = await call_next(request)
            response.headers["x-mark"] = "1"
            return response

    log = logging.getLogger("fluvial.error")
    log.disabled = True  # records keep what they tell of
    with serving(app) as served:
        for work in WORK.values():
            work(served)
        yield served
    log.disabled = False


# ---- What is repeated ----------------------------------------------------------------------


def request(method: str, target: str, body: bytes = b"", fields: str = "") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nCookie: cookie=x; b=c\r\nTags: 1\r\n{fields}"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


CHUNKED = request("POST", "/stream", fields="Transfer-Encoding: chunked\r\n")
CHUNKED += b"5\r\nabcde\r\n" * 20 + b"0\r\n\r\n"
ITEM = b'{"name":"a","tags":["b","c"]}'
LAST = b"GET /inline HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

REQUESTS = {
    "async": request("GET", "/async/5?q=a%20b"),
    "waits": request("GET", "/waits"),
    "def": request("GET", "/def/5?q=x"),
    "inline": request("GET", "/inline"),
    "422": request("GET", "/async/x"),
    "404": request("GET", "/nowhere"),
    "405": request("POST", "/inline"),
    "redirect": request("GET", "/inline/"),
    "http-exception": request("GET", "/fails/http"),
    "500": request("GET", "/fails/broken"),
    "500-late": request("GET", "/fails/async/late"),
    "request": request("GET", "/request?a=b"),
    "depends": request("GET", "/depends"),
    "depends-async": request("GET", "/depends/async"),
    "dict": request("POST", "/dict", ITEM),
    "dataclass": request("POST", "/dataclass", ITEM),
    "model": request("POST", "/model", ITEM),
    "model-422": request("POST", "/model", b'{"name":5}'),
    "not-json": request("POST", "/dict", b"{"),
    "body-streamed": CHUNKED,
    "streamed": request("GET", "/streamed/3"),
    "streamed-def": request("GET", "/streamed/def/3"),
    "streamed-head": request("HEAD", "/streamed/3"),
    "file": request("GET", "/file"),
    "range": request("GET", "/file", fields="Range: bytes=5-9\r\n"),
    "large-file": request("GET", "/file/100000"),
    "large-range": request("GET", "/file/100000", fields="Range: bytes=5-90000\r\n"),
}


def pipelined(raw: bytes, served: Served) -> None:
    assert served.exchange(raw * PIPELINED + LAST).endswith(b'"inline"')


def connections(served: Served) -> None:
    for _ in range(PIPELINED):
        served.connect().close()
        assert served.exchange(LAST).endswith(b'"inline"')


def malformed(served: Served) -> None:
    for _ in range(PIPELINED):
        assert b" 400 " in served.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")


def leave(served: Served, raw: bytes, *, answered: bool, reset: bool) -> None:
    """Goes away after a part of an exchange."""
    for _ in range(PIPELINED // 4 if b"/streamed" in raw else PIPELINED):
        with served.connect() as sock:
            sock.sendall(raw)
            if answered:
                assert sock.recv(1)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


HALF = request("POST", "/dict", fields="Content-Length: 100\r\n") + b"{"
HALF_STREAM = CHUNKED[:-10]
GOING_AWAY: dict[str, tuple[bytes, bool]] = {
    "head": (b"GET / HTTP/1.1\r\nHost", False),
    "body": (HALF, False),
    "body-streamed": (HALF_STREAM, False),
    "async": (request("GET", "/waits"), False),
    "def": (request("GET", "/def/5?q=x"), False),
    "depends": (request("GET", "/depends/async"), False),
    "stream": (request("GET", "/streamed/1000"), True),
    "stream-def": (request("GET", "/streamed/def/1000"), True),
    "endless": (request("GET", "/endless"), True),
    "large-file": (request("GET", "/file/100000000"), True),
}

WORK: dict[str, Work] = {
    **{name: functools.partial(pipelined, raw) for name, raw in REQUESTS.items()},
    **{
        f"{'reset' if reset else 'leave'}-{name}": functools.partial(
            leave, raw=raw, answered=answered, reset=reset
        )
        for name, (raw, answered) in GOING_AWAY.items()
        for reset in (False, True)
    },
    "connections": connections,
    "malformed": malformed,
}


# ---- Measuring -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORK)
def test_requests_leave_nothing_behind(served: Served, name: str) -> None:
    work = WORK[name]

    def one_round() -> None:
        for _ in range(REPEATS):
            work(served)

    assert_flat(one_round, rounds=ROUNDS, few=FEW)


@measures_memory
@pytest.mark.parametrize("name", ["async", "dict", "body-streamed", "404"])
def test_memory_of_the_core_stays(served: Served, name: str) -> None:
    """What the collector and Python's allocator don't see: requests, connections, buffers."""
    raw = REQUESTS[name] * 200 + LAST

    def work(times: int) -> None:
        for _ in range(times):
            assert served.exchange(raw).endswith(b'"inline"')

    work(10)
    before = resident()
    work(50)
    assert resident() - before < MEMORY  # 200 bytes for each of 10,000 requests


@measures_memory
def test_memory_of_connections_is_freed(served: Served) -> None:
    connections(served)
    before = resident()
    for _ in range(50):
        connections(served)
    assert resident() - before < MEMORY  # 1,000 bytes for each of 2,000
