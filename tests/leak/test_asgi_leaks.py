"""Requests to ASGI apps of every kind, many times over: nothing is left behind."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import body, read_body, start
from support.growth import assert_flat
from support.mounting import mounted
from support.serving import Served, serving
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fluvial import App

TIMES = 100  # in a round
FEW = 150  # what may be left of all rounds together; a leak leaves one for each of 300


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await websocket(scope, receive, send)
    else:
        assert scope["type"] == "http"
        await HANDLERS[scope["path"].rpartition("/")[2]](scope, receive, send)


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    if scope["path"] == "/declined":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


async def whole(scope: Any, receive: Any, send: Any) -> None:
    await send(start((b"x-a", b"1")))
    await send(body(b"whole"))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send(body(await read_body(receive)))


async def pieces(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    for _ in range(3):
        await send(body(b"x" * 10_000, more=True))
        await asyncio.sleep(0)
    await send(body())


async def endless(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    while True:
        await send(body(b"x" * 10_000, more=True))


async def waits(scope: Any, receive: Any, send: Any) -> None:
    scope["me"] = scope  # a cycle
    await send(start())
    await send(body(b"x", more=True))
    while (await receive())["type"] != "http.disconnect":
        pass


async def wrong(scope: Any, receive: Any, send: Any) -> None:
    await send(body())


async def forgets(scope: Any, receive: Any, send: Any) -> None:
    await send(start())


async def file(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send({"type": "http.response.pathsend", "path": __file__})


async def debugs(scope: Any, receive: Any, send: Any) -> None:
    if "http.response.debug" in scope["extensions"]:  # not below middleware
        await send({"type": "http.response.debug", "info": {"scope": scope}})
    await whole(scope, receive, send)


async def large(scope: Any, receive: Any, send: Any) -> None:
    """A file that the kernel copies, of as many bytes as the query string says."""
    with tempfile.TemporaryFile() as opened:
        opened.truncate(int(scope["query_string"]))
        await send(start())
        await send({"type": "http.response.zerocopysend", "file": opened})


HANDLERS: dict[str, Any] = {
    each.__name__: each
    for each in (whole, echo, pieces, endless, waits, wrong, forgets, file, debugs, large)
}


def native() -> App:
    """The same below a path."""
    return mounted(app)


class Around:
    """ASGI middleware, which has the responses as messages."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_on(message: Any) -> None:
            await send(message)

        await self.app(scope, receive, send_on)


PLACES = ["alone", "mounted", "under middleware", "under ASGI middleware", "under both"]


@pytest.fixture(scope="module", params=PLACES)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    served: Any = app if request.param == "alone" else native()
    if request.param in ("under ASGI middleware", "under both"):
        served.add_middleware(Around)
    if request.param in ("under middleware", "under both"):

        @served.middleware("http")
        async def around(request: Any, call_next: Any) -> Any:
            return await call_next(request)

    loggers = [logging.getLogger(name) for name in ("fluvial", "fluvial.error")]
    for log in loggers:
        log.disabled = True  # records keep what they tell of
    with serving(served, asgi_debug=True) as one:
        yield one
    for log in loggers:
        log.disabled = False


def request(method: str, target: str, content: bytes = b"") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


LAST = b"GET /whole HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def pipelined(raw: bytes) -> Callable[[Served], None]:
    return lambda served: _pipelined(served, raw)


def _pipelined(served: Served, raw: bytes) -> None:
    assert b"whole" in served.exchange(raw * TIMES + LAST)[-200:]


def one_by_one(raw: bytes) -> Callable[[Served], None]:
    """On a connection of its own each, which the client leaves after the first byte."""

    def work(served: Served) -> None:
        for _ in range(TIMES):
            with served.connect() as sock:
                sock.sendall(raw)
                assert sock.recv(1)

    return work


def websockets(served: Served) -> None:
    url = served.url.replace("http", "ws")
    for number in range(TIMES // 4):
        with connect(f"{url}/ws", proxy=None) as client:
            client.send("hi")
            assert client.recv(30) == "hi"
            if number % 2:
                client.socket.shutdown(2)


WORK = {
    "whole": pipelined(request("GET", "/whole")),
    "head": pipelined(request("HEAD", "/whole")),
    "echo": pipelined(request("POST", "/echo", b"x" * 5000)),
    "pieces": pipelined(request("GET", "/pieces")),
    "file": pipelined(request("GET", "/file")),
    "large": pipelined(request("GET", "/large?100000")),
    "large-head": pipelined(request("HEAD", "/large?100000")),
    "wrong": pipelined(request("GET", "/wrong")),
    "debugs": pipelined(request("GET", "/debugs")),
    "forgets": pipelined(request("GET", "/forgets")),
    "gone-endless": one_by_one(request("GET", "/endless")),
    "gone-waits": one_by_one(request("GET", "/waits")),
    "gone-large": one_by_one(request("GET", "/large?100000000")),
    "gone-whole": one_by_one(request("GET", "/whole")),
    "websockets": websockets,
}


@pytest.mark.parametrize("name", WORK)
def test_requests_leave_nothing_behind(served: Served, name: str) -> None:
    work = WORK[name]
    work(served)
    assert_flat(lambda: work(served), rounds=3, few=FEW)
