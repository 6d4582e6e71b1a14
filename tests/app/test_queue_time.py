"""Requests that wait for a thread for too long get a 503; urgent ones don't wait for the others."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fluvial import App, Config, Depends
from fluvial.middleware import Middleware
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from support.metrics import scraped, until
from support.serving import Served, serving

REQUEST = b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
SOON = {"queue_time": 100}  # ms


class Gate:
    """Handlers that wait until the test lets them go on."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.calls = 0

    def wait(self) -> str:
        self.calls += 1
        self.begun.set()
        assert self.go_on.wait(60)
        return "waited"

    def health(self) -> str:
        return "fine"


def native(gate: Gate) -> App:
    app = App()
    app.get("/wait")(gate.wait)
    app.get("/health")(gate.health)
    return app


def layered(gate: Gate) -> App:
    app = native(gate)

    @app.middleware("http")
    async def layer(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    return app


class Layer:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def wrapped(gate: Gate) -> App:
    app = App(middleware=[Middleware(Layer)])
    app.get("/wait")(gate.wait)
    app.get("/health")(gate.health)
    return app


async def nothing() -> None:
    await asyncio.sleep(0)


def depending(gate: Gate) -> App:
    app = App()
    app.get("/wait", dependencies=[Depends(nothing)])(gate.wait)
    app.get("/health", dependencies=[Depends(nothing)])(gate.health)
    return app


def wsgi(gate: Gate) -> Callable[..., list[bytes]]:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        call = gate.wait if environ["PATH_INFO"] == "/wait" else gate.health
        start_response("200 OK", [("content-type", "text/plain")])
        return [call().encode()]

    return app


def mounted(gate: Gate) -> App:
    app = App()
    app.mount("/", wsgi(gate))
    return app


KINDS = (native, layered, wrapped, depending, wsgi, mounted)


def begun(server: Served, gate: Gate) -> Any:
    """The connection of a request whose handler runs: the thread may come late for the first."""
    for _ in range(100):
        sock = server.connect()
        sock.sendall(REQUEST % b"/wait")
        while not gate.begun.wait(0.01):
            if select.select([sock], [], [], 0)[0]:
                break
        else:
            return sock
        sock.close()
    raise AssertionError("no request gets a thread in time")


@contextlib.contextmanager
def one_thread(kind: Any, **options: Any) -> Iterator[tuple[Served, Gate, Any]]:
    """A server whose only thread is in a handler, and the connection that waits for it."""
    gate = Gate()
    with serving(kind(gate), threads=1, **options) as server:
        try:
            with contextlib.closing(begun(server, gate)) as first:
                yield server, gate, first
        finally:
            gate.go_on.set()


def read(sock: Any) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_for_too_long_gets_a_503(kind: Any) -> None:
    with one_thread(kind, limits=SOON) as (server, gate, first):
        late = server.exchange(REQUEST % b"/wait")
        gate.go_on.set()
        assert read(first).startswith(b"HTTP/1.1 200 ")
        while server.client.get("/wait").status_code == 503:  # until there is a thread
            pass
    assert late.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in late.lower()
    assert gate.calls == 2  # the late one's handler was never called


def test_by_default_requests_wait_for_any_time() -> None:
    gate = Gate()
    with (
        serving(native(gate), threads=1) as server,
        server.connect() as one,
        server.connect() as two,
    ):
        one.sendall(REQUEST % b"/wait")
        assert gate.begun.wait(60)
        two.sendall(REQUEST % b"/wait")
        while server.in_flight() < 2:
            pass
        gate.go_on.set()
        assert read(two).startswith(b"HTTP/1.1 200 ")


def test_other_requests_are_served_meanwhile() -> None:
    app = native(gate := Gate())

    @app.get("/async")
    async def other() -> str:
        return "other"

    with serving(app, threads=1, limits=SOON) as server, server.connect() as first:
        first.sendall(REQUEST % b"/wait")
        assert gate.begun.wait(60)
        assert server.client.get("/async").json() == "other"
        gate.go_on.set()


def test_a_client_that_leaves_while_it_waits() -> None:
    with one_thread(native, limits={"queue_time": 60_000}) as (server, gate, first):
        with server.connect() as second:
            second.sendall(REQUEST % b"/wait")
            while server.in_flight() < 2:
                pass
            second.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        while server.in_flight() > 1:
            pass
        gate.go_on.set()
        assert read(first).startswith(b"HTTP/1.1 200 ")
    assert gate.calls == 1


def test_it_is_counted() -> None:
    options = {"limits": SOON, "metrics": "/metrics"}
    with one_thread(native, **options) as (server, _, _):
        assert server.exchange(REQUEST % b"/wait").startswith(b"HTTP/1.1 503 ")
        found = until(
            lambda: scraped(server.client.get("/metrics").text),
            lambda found: found["fluvial_pool_refused_total"] == 1,
        )
    assert found.requests()["/wait", "GET", "503"] == 1


# ---- Urgent requests --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_urgent_path_has_threads_of_its_own(kind: Any) -> None:
    options = {"priority_path": ("/health",), "limits": {"in_flight": 1}}
    with one_thread(kind, **options) as (server, _, _):
        response = server.client.get("/health?x=1")
        assert (response.status_code, response.text.strip('"')) == (200, "fine")
        assert server.client.get("/other").status_code == 503  # one too many


def test_an_urgent_path_of_an_asgi_app() -> None:
    gate = Gate()

    async def wait(request: Any) -> PlainTextResponse:
        return PlainTextResponse(await asyncio.to_thread(gate.wait))

    async def health(request: Any) -> PlainTextResponse:
        return PlainTextResponse("fine")

    app = Starlette(routes=[Route("/wait", wait), Route("/health", health)])
    options = {"priority_path": ("/health",), "limits": {"in_flight": 1}}
    with serving(app, **options) as server, server.connect() as first:
        first.sendall(REQUEST % b"/wait")
        assert gate.begun.wait(60)
        assert server.client.get("/health").text == "fine"
        assert server.client.get("/wait").status_code == 503
        gate.go_on.set()
        assert read(first).startswith(b"HTTP/1.1 200 ")


def test_metrics_are_told_when_there_are_too_many_requests() -> None:
    options = {"metrics": "/metrics", "limits": {"in_flight": 1}}
    with one_thread(native, **options) as (server, _, _):
        assert server.client.get("/health").status_code == 503
        assert server.client.get("/metrics").status_code == 200


def test_an_urgent_path_is_no_excuse_for_any_host() -> None:
    with one_thread(native, priority_path=("/health",), allowed_hosts=("h",)) as (server, _, _):
        assert server.client.get("/health").status_code == 400
        assert server.exchange(REQUEST % b"/health").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["health", "", "/a b", "/é", "/%zz", "/x?y", 3])
def test_a_path_that_is_none(path: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="priority_path"):
        Config(priority_path=(path,))
