"""`_core.Server` alone, with plain functions as handlers: for tests of the C types it hands out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fluvial import _core
from fluvial._loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TIMEOUT = 30  # seconds

THE_REQUEST = _core.Param(_core.REQUEST, "", "request")


class Request(_core.Request):
    """As fluvial.Request derives from it."""


@dataclass
class Response:
    """As much as C asks of one."""

    body: bytes | None = b""
    status_code: int = 200
    raw_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    respond: Callable[..., Any] | None = None


class Disconnect(Exception):
    """The client_disconnect of these servers."""


@dataclass
class Core:
    """A running server."""

    address: Any
    loop: asyncio.AbstractEventLoop | None = None
    errors: queue.Queue[BaseException] = field(default_factory=queue.Queue)

    def connect(self) -> socket.socket:
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        sock = socket.socket(family)
        sock.settimeout(TIMEOUT)
        sock.connect(self.address)
        return sock

    def exchange(self, request: bytes) -> tuple[bytes, bytes]:
        """Sends a request on a connection of its own: the answer's head and body."""
        with self.connect() as sock:
            sock.sendall(request)
            return read_all(sock)

    def get(self, target: str, *fields: str, method: str = "GET") -> tuple[bytes, bytes]:
        lines = [f"{method} {target} HTTP/1.1", "host: x", "connection: close", *fields]
        return self.exchange("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def call(self, func: Callable[..., Any], *args: Any) -> None:
        """Calls on the loop's thread."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(func, *args)


def read_all(sock: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of what comes until the connection is closed."""
    answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def dechunk(body: bytes) -> bytes:
    """The content of a complete chunked body."""
    pieces = []
    while True:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        assert rest[length : length + 2] == b"\r\n"
        pieces.append(rest[:length])
        body = rest[length + 2 :]
        if length == 0:
            assert body == b""
            return b"".join(pieces)


def plan(handler: Callable[..., Any], kind: int = _core.TASK, **options: Any) -> _core.Plan:
    """A plan that gives `handler` the request."""
    return _core.Plan(handler, kind=kind, params=(THE_REQUEST,), **options)


@contextlib.contextmanager
def serving(
    *routes: tuple[str, str, _core.Plan], unix: Path | None = None, **options: Any
) -> Iterator[Core]:
    """Serves (methods, pattern, plan) routes in a thread."""
    sock = socket.socket(socket.AF_INET if unix is None else socket.AF_UNIX)
    sock.bind(("127.0.0.1", 0) if unix is None else str(unix))
    core = Core(sock.getsockname())
    ready, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        core.loop = asyncio.get_running_loop()
        router, pool = _core.Router(), _core.Pool(core.loop, threads=2)
        for methods, pattern, one in routes:
            router.add(tuple(methods.split()), pattern, one)
        server = new_server(core, router, pool, options)
        server.listen(sock.detach(), unix=unix is not None)
        ready.set()
        await stop.wait()
        await server.drain()
        server.close()
        pool.close()

    def run() -> None:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(TIMEOUT)
        yield core
    finally:
        core.call(stop.set)
        thread.join(TIMEOUT)
    assert not thread.is_alive(), "the server did not stop"
    if not core.errors.empty():
        raise core.errors.get()


def new_server(
    core: Core, router: _core.Router, pool: _core.Pool, options: dict[str, Any]
) -> _core.Server:
    def on_error(request: Request, exc: BaseException) -> Response:
        core.errors.put(exc)
        return Response(repr(exc).encode(), 500)

    defaults: dict[str, Any] = {
        "app": "the app",
        "request_type": Request,
        "response_type": Response,
        "validation_error": ValueError,
        "http_exception": RuntimeError,
        "client_disconnect": Disconnect,
        "encode": lambda result: json.dumps(result).encode(),
        "on_error": on_error,
    }
    return _core.Server(core.loop, router, pool, **(defaults | options))
