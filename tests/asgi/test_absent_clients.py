"""A client that leaves is no error: what apps are told, and what the log has of it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, FileResponse, StreamingResponse, WebSocket
from support.asgi import Notes, body, start
from support.gateways import under_uvicorn
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from conftest import Serve

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged that is worse than a warning, by the server or asyncio, not by the client."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelname in {"ERROR", "CRITICAL"} and not record.name.startswith("websockets")
    ]


# ---- responses -------------------------------------------------------------------------------


def native(content: Any) -> App:
    app = App()

    @app.get("/")
    async def stream() -> StreamingResponse:
        return StreamingResponse(content())

    return app


async def burst() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 10


async def big_burst() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 100_000


def plain_burst() -> Iterator[bytes]:
    while True:
        yield b"x" * 10


async def asgi_burst(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    while True:
        await send(body(b"x" * 10, more=True))


async def asgi_group(scope: Any, receive: Any, send: Any) -> None:
    async with asyncio.TaskGroup() as tasks:
        await send(start())
        for _ in range(2):
            tasks.create_task(send_bursts(send))


async def asgi_last_words(scope: Any, receive: Any, send: Any) -> None:
    """What is sent by a clean-up fails."""
    await send(start())
    try:
        await send_bursts(send)
    finally:
        await send(body())


async def send_bursts(send: Any) -> None:
    while True:
        await send(body(b"x" * 10, more=True))


def below_middleware(app: Any) -> App:
    outer = App()
    outer.mount("/", app)

    @outer.middleware("http")
    async def around(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    return outer


RESPONSES = {
    "native": lambda: native(burst),
    "native, big": lambda: native(big_burst),
    "native, def": lambda: native(plain_burst),
    "asgi": lambda: asgi_burst,
    "asgi, group": lambda: asgi_group,
    "below middleware": lambda: below_middleware(asgi_burst),
    "asgi, last words": lambda: asgi_last_words,
    "below middleware, last words": lambda: below_middleware(asgi_last_words),
    "below middleware, group": lambda: below_middleware(asgi_group),
}


@pytest.mark.parametrize("how", ["reset", "closed"])
@pytest.mark.parametrize("kind", RESPONSES)
def test_responses(serve: Serve, caplog: pytest.LogCaptureFixture, kind: str, how: str) -> None:
    served = serve(RESPONSES[kind](), lifespan="off")
    sock = served.connect()
    sock.sendall(GET)
    assert sock.recv(10)
    if how == "reset":
        reset(sock)
    else:
        sock.close()
    served.finish()
    assert errors(caplog) == []


@pytest.mark.parametrize("size", [1000, 60_000_000])
def test_files(serve: Serve, caplog: pytest.LogCaptureFixture, tmp_path: Path, size: int) -> None:
    path, notes, app = tmp_path / "file", Notes(), App()
    path.write_bytes(os.urandom(1000) * (size // 1000))

    @app.get("/")
    async def file() -> FileResponse:
        notes.add((go := asyncio.Event(), asyncio.get_running_loop()))
        await go.wait()
        return FileResponse(path)

    served = serve(app)
    sock = served.connect()
    sock.sendall(GET)
    go, loop = notes.next()
    if size == 1000:
        reset(sock)
    loop.call_soon_threadsafe(go.set)
    if size != 1000:
        assert sock.recv(10)
        reset(sock)
    served.finish()
    assert errors(caplog) == []


def test_a_group_with_something_else_is_an_error(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            await send_bursts(send)
        except OSError as exc:
            notes.add(exc)
            raise BaseExceptionGroup("tasks", [exc, KeyError("mine")]) from None

    served = serve(app, lifespan="off")
    sock = served.connect()
    sock.sendall(GET)
    assert sock.recv(10)
    reset(sock)
    assert isinstance(notes.next(), ConnectionResetError)
    served.finish()
    assert errors(caplog) == ["GET /: the app raised an exception"]


def test_what_an_app_below_middleware_raises_when_its_client_left(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """That is an error of the app's, and is logged once."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            await send_bursts(send)
        except BaseException:
            raise ValueError("the app's own") from None

    served = serve(below_middleware(app), lifespan="off")
    sock = served.connect()
    sock.sendall(GET)
    assert sock.recv(10)
    sock.close()
    served.finish()
    assert errors(caplog) == ["GET / failed"]


def test_an_app_whose_answer_middleware_drops_comes_to_its_end(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(start())
            await send_bursts(send)
        except OSError:
            notes.add("the end")

    outer = App()
    outer.mount("/", app)

    @outer.middleware("http")
    async def around(request: Any, call_next: Any) -> Any:
        await call_next(request)
        raise RuntimeError("the middleware's own")

    assert serve(outer, lifespan="off").client.get("/").status_code == 500
    assert notes.next() == "the end"


# ---- WebSockets ------------------------------------------------------------------------------


async def asgi_messages(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": "text " * 200})


def native_messages() -> App:
    app = App()

    @app.websocket("/")
    async def messages(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await websocket.send_text("text " * 200)

    return app


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("kind", ["native", "asgi"])
def test_messages(
    serve: Serve, caplog: pytest.LogCaptureFixture, kind: str, compression: str | None
) -> None:
    app = native_messages() if kind == "native" else asgi_messages
    served = serve(app, lifespan="off")
    url = served.url.replace("http", "ws")
    with connect(url, compression=compression, proxy=None) as client:
        client.recv()
        reset(client.socket)
    served.finish()
    assert errors(caplog) == []


@pytest.mark.parametrize("mounted", [False, True])
def test_after_the_clients_close(
    serve: Serve, caplog: pytest.LogCaptureFixture, mounted: bool
) -> None:
    """websocket.close is taken in silence, as often as it comes; websocket.send raises OSError."""
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        notes.add((await receive())["type"])
        await send({"type": "websocket.close"})
        await send({"type": "websocket.close", "code": 1001})
        try:
            await send({"type": "websocket.send", "text": "too late"})
        except OSError as exc:
            notes.add(str(exc))
        await send({"type": "websocket.close"})
        notes.add("the rest has run")

    outer: Any = app
    if mounted:
        outer = App()
        outer.mount("/", app)
    served = serve(outer, lifespan="off")
    with connect(served.url.replace("http", "ws"), proxy=None):
        pass
    assert notes.next() == "websocket.disconnect"
    assert notes.next() == "the client has gone away"
    assert notes.next() == "the rest has run"
    served.finish()
    assert errors(caplog) == []


def test_closing_for_a_client_that_left_before_it_was_accepted(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        notes.add("called")
        notes.add((await receive())["type"])
        await send({"type": "websocket.close"})
        notes.add("closed")

    with serve(app, lifespan="off").connect() as sock:
        sock.sendall(
            b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\n\r\n"
        )
        assert notes.next() == "called"
        reset(sock)
        assert notes.next() == "websocket.disconnect"
        assert notes.next() == "closed"


def test_a_second_close_of_the_apps_own_is_an_error(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})
        for message in ({"type": "websocket.close"}, {"type": "websocket.send", "text": "x"}):
            with pytest.raises(RuntimeError, match=r"websocket\.close was sent before"):
                await send(message)
        notes.add("refused")

    with connect(serve(app, lifespan="off").url.replace("http", "ws"), proxy=None):
        assert notes.next() == "refused"


def test_a_sender_that_waits_learns_that_the_client_left(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        waiting = asyncio.ensure_future(
            send({"type": "websocket.send", "bytes": b"x" * 30_000_000})
        )
        await asyncio.sleep(0)
        notes.add(waiting.done())
        await asyncio.wait((waiting,))
        notes.add(type(waiting.exception()).__mro__[1])

    with connect(
        serve(app, lifespan="off").url.replace("http", "ws"), proxy=None, compression=None
    ) as client:
        assert notes.next() is False
        reset(client.socket)
        assert notes.next() is ConnectionResetError


@pytest.mark.parametrize("first", ["client", "server"])
@pytest.mark.parametrize("host", ["fluvial", "uvicorn"])
def test_sending_after_ones_own_close(serve: Serve, host: str, first: str) -> None:
    """RuntimeError, whoever has closed first."""
    notes, app = Notes(), App()

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        if first == "client":
            async for _ in websocket.iter_text():
                pass
        await websocket.close()
        for send, data in ((websocket.send_text, "x"), (websocket.send_bytes, b"x")):
            with pytest.raises(RuntimeError, match="has been closed by close"):
                await send(data)
        notes.add("refused")

    def talk(url: str) -> None:
        with connect(url.replace("http", "ws"), proxy=None) as client:
            if first == "client":
                client.close()
            assert notes.next() == "refused"

    if host == "fluvial":
        talk(serve(app).url)
    else:
        with under_uvicorn(app) as served:
            talk(served.url)
