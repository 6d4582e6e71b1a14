"""Clients that leave: handlers that are cancelled, and calls that are never made."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import APIRouter, App, WebSocket, WebSocketDisconnect
from support import ws_client
from support.middleware import Passing, pass_on

if TYPE_CHECKING:
    from conftest import Serve
    from support.serving import Served

REQUEST = b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n"


def reset(sock: socket.socket) -> None:
    """Closes so that the peer gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def wait_for_in_flight(served: Served, count: int) -> None:
    for _ in range(6000):
        if served.in_flight() == count:
            return
        time.sleep(0.01)
    pytest.fail(f"{served.in_flight()} requests in flight instead of {count}")


class Waiting:
    """A handler that waits until it is cancelled, or told to end."""

    def __init__(self) -> None:
        self.entered, self.over = threading.Event(), threading.Event()
        self.go = asyncio.Event()
        self.how = ""

    async def handle(self) -> str:
        self.entered.set()
        try:
            await self.go.wait()
            self.how = "ended"
        except asyncio.CancelledError:
            self.how = "cancelled"
            raise
        finally:
            self.over.set()
        return "done"

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "no lifespan"
        await self.handle()


def by_route(waiting: Waiting) -> App:
    app = App()
    app.get("/wait", cancel_on_disconnect=True)(waiting.handle)
    return app


def by_router(waiting: Waiting) -> App:
    app, router = App(), APIRouter(cancel_on_disconnect=True)
    router.get("/wait")(waiting.handle)
    app.include_router(router)
    return app


def inside_middleware(waiting: Waiting) -> App:
    app = by_route(waiting)
    app.add_middleware(Passing)
    return app


def inside_function(waiting: Waiting) -> App:
    app = by_route(waiting)
    app.middleware("http")(pass_on)
    return app


def plain(waiting: Waiting) -> App:
    app = App()
    app.get("/wait")(waiting.handle)
    return app


def mounted(waiting: Waiting) -> App:
    app = App()
    app.mount("/wait", waiting.asgi)
    return app


@pytest.mark.parametrize(
    ("make", "flag"),
    [
        (by_route, False),
        (by_router, False),
        (inside_middleware, False),
        (inside_function, False),
        (plain, True),
        (mounted, True),
        (lambda waiting: waiting.asgi, True),
    ],
)
@pytest.mark.parametrize("leave", [reset, socket.socket.close])
def test_a_handler_is_cancelled_where_that_is_asked_for(
    serve: Serve, make: Callable[[Waiting], Any], flag: bool, leave: Callable[[Any], None]
) -> None:
    waiting = Waiting()
    served = serve(make(waiting), cancel_on_disconnect=flag, limits={"half_closed": 100})
    sock = served.connect()
    sock.sendall(REQUEST)
    assert waiting.entered.wait(60)
    leave(sock)
    assert waiting.over.wait(60)
    assert waiting.how == "cancelled"


@pytest.mark.parametrize("flag", [False, True])
def test_otherwise_it_runs_to_its_end(serve: Serve, flag: bool) -> None:
    waiting, app = Waiting(), App()
    app.get("/wait", cancel_on_disconnect=False if flag else None)(waiting.handle)

    @app.get("/go")
    async def go() -> None:
        waiting.go.set()

    served = serve(app, cancel_on_disconnect=flag)
    sock = served.connect()
    sock.sendall(REQUEST)
    assert waiting.entered.wait(60)
    reset(sock)
    wait_for_in_flight(served, 0)
    served.client.get("/go")
    assert waiting.over.wait(60)
    assert waiting.how == "ended"


def test_websockets_learn_of_it_by_themselves(serve: Serve) -> None:
    app = App()
    accepted, over = threading.Event(), threading.Event()
    seen: list[type[BaseException]] = []

    @app.websocket("/")
    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        accepted.set()
        try:
            await ws.receive_text()
        except (WebSocketDisconnect, asyncio.CancelledError) as exc:
            seen.append(type(exc))
        finally:
            over.set()

    ws = ws_client.upgraded(serve(app, cancel_on_disconnect=True))
    assert accepted.wait(60)
    reset(ws.sock)
    assert over.wait(60)
    assert seen == [WebSocketDisconnect]


class Blocking:
    """A `def` handler, the first call of which blocks its thread."""

    def __init__(self) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()
        self.calls: list[str] = []

    def handle(self, name: str) -> str:
        self.calls.append(name)
        if name == "first":
            self.entered.set()
            assert self.leave.wait(60)
        return name

    def wsgi(self, environ: Any, start_response: Any) -> list[bytes]:
        name = self.handle(environ["QUERY_STRING"].removeprefix("name="))
        start_response("200 OK", [("content-type", "text/plain")])
        return [name.encode()]


def natively(blocking: Blocking, **options: Any) -> App:
    app = App()
    app.get("/wait", **options)(blocking.handle)
    return app


def natively_inside(blocking: Blocking) -> App:
    app = natively(blocking, cancel_on_disconnect=True)
    app.middleware("http")(pass_on)
    return app


def ask(served: Served, name: str) -> socket.socket:
    sock: socket.socket = served.connect()
    sock.sendall(f"GET /wait?name={name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    return sock


@pytest.mark.parametrize("make", [natively, natively_inside, lambda blocking: blocking.wsgi])
def test_a_call_that_nobody_waits_for_is_not_made(
    serve: Serve, make: Callable[[Blocking], Any]
) -> None:
    blocking = Blocking()
    served = serve(make(blocking), threads=1)
    with ask(served, "first") as first:
        assert blocking.entered.wait(60)
        gone = ask(served, "gone")
        wait_for_in_flight(served, 2)
        reset(gone)
        wait_for_in_flight(served, 1)
        with ask(served, "last") as last:
            wait_for_in_flight(served, 2)
            blocking.leave.set()
            assert b"first" in first.recv(1000)
            assert b"last" in last.recv(1000)
    assert blocking.calls == ["first", "last"]


def test_a_call_that_took_too_long_frees_its_place(serve: Serve) -> None:
    blocking, app = Blocking(), App()
    app.get("/wait")(blocking.handle)
    app.get("/late", timeout=0.02)(blocking.handle)
    served = serve(app, threads=1, thread_queue=1)
    with ask(served, "first") as first:
        assert blocking.entered.wait(60)
        assert served.client.get("/late?name=late").status_code == 504
        with ask(served, "last") as last:
            wait_for_in_flight(served, 2)
            blocking.leave.set()
            assert b"first" in first.recv(1000)
            assert b"last" in last.recv(1000)
    assert blocking.calls == ["first", "last"]
