"""Responses that take longer than --request-timeout, or than their routes allow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fluvial import APIRouter, App, Depends, StreamingResponse, WebSocket
from support import ws_client
from support.middleware import Passing, pass_on
from support.responses import read_all

if TYPE_CHECKING:
    from conftest import Serve
    from support.certificate import Certificate

BODY = {"detail": "Gateway Timeout"}
SHORT = 0.02  # seconds


class Seen:
    """What handlers of a test have noticed."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.entered = threading.Event()
        self.leave = threading.Event()
        self.left = threading.Event()

    async def wait(self) -> None:
        """Waits until it is cancelled."""
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def block(self) -> str:
        """Blocks its thread until `leave`."""
        self.entered.set()
        assert self.leave.wait(60)
        self.left.set()
        return "late"


def with_nothing(app: App) -> None:
    pass


def with_asgi_middleware(app: App) -> None:
    app.add_middleware(Passing)


def with_function(app: App) -> None:
    app.middleware("http")(pass_on)


WAYS = [with_nothing, with_asgi_middleware, with_function]


@pytest.mark.parametrize("way", WAYS)
def test_an_async_handler_is_cancelled(serve: Serve, way: Callable[[App], None]) -> None:
    app, seen = App(), Seen()
    way(app)

    @app.get("/", timeout=SHORT)
    async def wait() -> None:
        await seen.wait()

    client = serve(app).client
    response = client.get("/")
    assert (response.status_code, response.json()) == (504, BODY)
    assert seen.cancelled.wait(60)
    assert client.get("/").status_code == 504  # on the same connection


@pytest.mark.parametrize("way", WAYS)
def test_a_def_handler_runs_on_and_its_result_is_dropped(
    serve: Serve, way: Callable[[App], None]
) -> None:
    app, seen = App(), Seen()
    way(app)

    @app.get("/", timeout=SHORT)
    def block() -> str:
        return seen.block()

    @app.get("/next")
    async def next_one() -> str:
        return "next"

    client = serve(app).client
    while not seen.entered.is_set():  # a call that no thread has begun is withdrawn
        response = client.get("/")
        assert (response.status_code, response.json()) == (504, BODY)
    assert not seen.left.is_set()
    seen.leave.set()
    assert seen.left.wait(60)
    assert client.get("/next").json() == "next"


def test_the_flag_holds_for_all_kinds_of_apps(serve: Serve) -> None:
    app, seen = App(), Seen()

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        body = seen.block()
        start_response("200 OK", [("content-type", "text/plain")])
        return [body.encode()]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "no lifespan"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await seen.wait()

    app.mount("/wsgi", wsgi)
    app.mount("/asgi", asgi)
    app.get("/async")(seen.wait)
    client = serve(app, limits={"request_timeout": 20}).client
    for path in ("/async", "/asgi"):
        assert client.get(path).status_code == 504, path
        assert seen.cancelled.wait(60)
        seen.cancelled.clear()
    assert client.get("/wsgi").status_code == 504
    seen.leave.set()


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_an_app_of_another_interface_alone(serve: Serve, interface: str) -> None:
    seen = Seen()

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "no lifespan"
        await seen.wait()

    def wsgi(environ: Any, start_response: Any) -> Any:
        return seen.block()

    served = serve({"asgi": asgi, "wsgi": wsgi}[interface], limits={"request_timeout": 20})
    assert served.client.get("/").status_code == 504
    seen.leave.set()
    if interface == "asgi":
        assert seen.cancelled.wait(60)


def test_routes_routers_and_inclusions_say_it_nearest_first(serve: Serve) -> None:
    app, seen = App(timeout=SHORT), Seen()
    inner, outer = APIRouter(timeout=0.0), APIRouter()
    over = asyncio.Event()

    async def patient() -> str:
        await over.wait()
        return "done"

    app.get("/app")(seen.wait)
    app.get("/route", timeout=0)(patient)
    inner.get("/router")(patient)
    outer.get("/included")(seen.wait)
    app.include_router(inner)
    app.include_router(outer, timeout=SHORT)

    @app.get("/over")
    async def end() -> None:
        over.set()

    served = serve(app, limits={"request_timeout": 3_600_000})
    patients = [served.connect() for _ in range(2)]
    for path, sock in zip(("/route", "/router"), patients, strict=True):
        sock.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert served.client.get("/app").status_code == 504
    assert served.client.get("/included").status_code == 504
    assert served.client.get("/over").status_code == 200
    for sock in patients:
        assert read_all(sock)[0].endswith(b'"done"')
        sock.close()


def stream_natively(seen: Seen) -> App:
    app = App()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await seen.wait()

    @app.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(pieces())

    return app


def stream_natively_inside(seen: Seen) -> App:
    app = stream_natively(seen)
    app.add_middleware(Passing)
    return app


def stream_by_asgi(seen: Seen) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "no lifespan"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await seen.wait()

    return app


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("make", [stream_natively, stream_natively_inside, stream_by_asgi])
def test_a_stream_is_cut_off(
    serve: Serve, certificate: Certificate, make: Callable[[Seen], Any], tls: bool
) -> None:
    seen = Seen()
    options = (
        {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)} if tls else {}
    )
    served = serve(make(seen), limits={"request_timeout": 20}, **options)
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        served.client.get("/")
    assert seen.cancelled.wait(60)


def test_a_stream_of_a_wsgi_app_is_cut_off(serve: Serve) -> None:
    seen = Seen()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("content-type", "text/plain")])
        yield b"first"
        yield seen.block().encode()

    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        serve(app, limits={"request_timeout": 2000}).client.get("/")
    seen.leave.set()
    assert seen.left.wait(60)


def test_a_body_that_nobody_reads_is_dropped(serve: Serve) -> None:
    app, seen = App(), Seen()

    @app.post("/", timeout=SHORT)
    async def wait(dependency: None = Depends(seen.wait)) -> None: ...

    with serve(app).connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
        assert sock.recv(1000).startswith(b"HTTP/1.1 504 ")
        sock.sendall(b"GET /missing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert read_all(sock)[0].startswith(b"HTTP/1.1 404 ")


def test_websockets_have_no_deadline(serve: Serve) -> None:
    app, seen, go_on = App(), Seen(), asyncio.Event()

    @app.get("/on")
    async def on() -> None:
        go_on.set()

    @app.websocket("/")
    async def talk(ws: WebSocket) -> None:
        await go_on.wait()
        await ws.accept()
        text = await ws.receive_text()
        await ws.send_text(text)

    app.get("/slow")(seen.wait)
    served = serve(app, limits={"request_timeout": 20})
    with ws_client.connect(served) as ws:
        ws.send(ws.request("/"))
        assert served.client.get("/slow").status_code == 504
        served.client.get("/on")
        assert ws.answer().status == 101
        assert served.client.get("/slow").status_code == 504
        ws.send_frame(ws_client.TEXT, b"still here")
        assert ws.read().payload == b"still here"


def test_clean_up_that_takes_long_holds_up_nothing(serve: Serve) -> None:
    app = App()
    cleaned, go_on = threading.Event(), asyncio.Event()

    @app.get("/", timeout=SHORT)
    async def stubborn() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await go_on.wait()
            cleaned.set()
        return "too late"

    @app.get("/on")
    async def on() -> str:
        go_on.set()
        return "on"

    client = serve(app).client
    assert client.get("/").status_code == 504
    assert client.get("/on").json() == "on"
    assert cleaned.wait(60)
    assert client.get("/on").json() == "on"


def test_it_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    app, seen = App(), Seen()
    app.get("/own", timeout=SHORT)(seen.wait)
    app.get("/all")(seen.wait)
    client = serve(app, limits={"request_timeout": 20}).client
    client.get("/own?secret=1")
    client.get("/all")
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert lines == [
        "The response to GET /own for 127.0.0.1 took too long",
        "The response to GET /all for 127.0.0.1 took too long (--request-timeout)",
    ]


def test_a_route_s_timeout_under_another_server() -> None:
    app, seen = App(), Seen()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await seen.wait()

    @app.get("/stream", timeout=SHORT)
    async def stream() -> StreamingResponse:
        return StreamingResponse(pieces())

    app.get("/", timeout=SHORT)(seen.wait)

    async def ask(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get(path)

    response = asyncio.run(ask("/"))
    assert (response.status_code, response.json()) == (504, BODY)
    assert seen.cancelled.is_set()
    with pytest.raises(TimeoutError):
        asyncio.run(ask("/stream"))


@pytest.mark.parametrize(
    ("timeout", "error", "words"),
    [
        ("5", TypeError, r"@app.get\(\): timeout must be a number of seconds, not '5'"),
        (-1, ValueError, r"timeout must be from 0 to 4294967 seconds, not -1"),
        (True, TypeError, "timeout must be a number of seconds"),
    ],
)
def test_unusable_timeouts(timeout: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        App().get("/", timeout=timeout)
    with pytest.raises(error, match="timeout must be"):
        APIRouter(timeout=timeout)
