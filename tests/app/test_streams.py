"""Streamed bodies: how they arrive, how they end, and HEAD."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fluvial import (
    App,
    BackgroundTask,
    EventSourceResponse,
    JSONResponse,
    Request,
    Response,
    StreamingResponse,
)


def make_streams(closed: list[str]) -> dict[str, Any]:
    def sync_generator() -> Iterator[str]:
        try:
            yield from ("a", "b", "é")
        finally:
            closed.append(threading.current_thread().name)

    async def async_generator() -> AsyncIterator[bytes]:
        try:
            for piece in (b"a", b"b"):
                yield piece
                await asyncio.sleep(0)
            yield "é".encode()
        finally:
            closed.append("loop")

    class Iterable:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"ab", "é".encode()])

    return {"sync": sync_generator, "async": async_generator, "iterable": Iterable}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", ["sync", "async", "iterable"])
def test_streaming(serve, kind: str, is_async: bool) -> None:
    closed: list[str] = []
    app = App()

    def sync_handler():
        stream = make_streams(closed)[kind]()
        return StreamingResponse(stream, media_type="text/csv", status_code=202)

    async def async_handler():
        return sync_handler()

    app.get("/")(async_handler if is_async else sync_handler)
    app.head("/")(async_handler if is_async else sync_handler)
    served = serve(app)
    response = served.client.get("/")
    assert (response.status_code, response.text) == (202, "abé")
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert served.client.head("/").content == b""
    assert served.client.get("/").text == "abé"
    assert len(closed) == (0 if kind == "iterable" else 2)  # HEAD needs none of it
    raw = served.exchange(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
    assert raw.endswith(b"\r\n\r\n" + "abé".encode())


def test_large_streams_arrive_whole(serve) -> None:
    app = App()

    @app.get("/")
    async def handler():
        return StreamingResponse(bytes([n % 256]) * 100_000 for n in range(100))

    expected = b"".join(bytes([n % 256]) * 100_000 for n in range(100))
    assert serve(app).client.get("/").content == expected


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_that_fails_is_cut_off(serve, is_async: bool) -> None:
    app = App()

    def sync_generator() -> Iterator[str]:
        yield "a"
        raise ValueError("broken")

    async def async_generator() -> AsyncIterator[str]:
        yield "a"
        raise ValueError("broken")

    def early() -> Iterator[str]:
        raise ValueError("broken")
        yield

    @app.get("/")
    def handler():
        return StreamingResponse(async_generator() if is_async else sync_generator())

    client = serve(app).client
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/")


def test_streams_end_when_the_client_goes_away(serve) -> None:
    app = App()
    closed = threading.Event()
    started = threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
                started.set()
        finally:
            closed.set()

    @app.get("/")
    async def handler():
        return StreamingResponse(endless())

    with serve(app).connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert started.wait(20)
    assert closed.wait(20)


def test_endless_streams_leave_others_their_turn(serve) -> None:
    app = App()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    @app.get("/endless")
    async def handler():
        return StreamingResponse(endless())

    @app.get("/")
    async def other():
        return "other"

    served = serve(app)
    stop = threading.Event()

    def read(sock: socket.socket) -> None:
        while not stop.is_set() and sock.recv(1 << 20):
            continue

    with served.connect() as sock:
        sock.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        reader = threading.Thread(target=read, args=(sock,))
        reader.start()
        for _ in range(20):
            assert served.client.get("/").json() == "other"
        stop.set()
        reader.join()


@pytest.mark.parametrize("earlier", ["", "GET /go HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_streams_that_begin_after_the_client_went_away_end(serve, earlier: str) -> None:
    app = App()
    gone, closed = threading.Event(), threading.Event()

    async def waiting() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def until_gone(request: Request) -> None:
        while not request.disconnected:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)
        gone.set()

    @app.get("/go")
    async def go(request: Request):
        await until_gone(request)

    @app.get("/")
    async def handler(request: Request):
        await until_gone(request)
        return StreamingResponse(waiting())

    served = serve(app)
    with served.connect() as sock:
        sock.sendall(f"{earlier}GET / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert gone.wait(20)
    assert closed.wait(20)


def test_an_iterator_at_work_is_closed_when_its_client_went_away(serve) -> None:
    app = App()
    working, gone, closed = threading.Event(), threading.Event(), threading.Event()

    def pieces() -> Iterator[str]:
        try:
            yield "a"
            working.set()
            assert gone.wait(30)
            yield "b"
        finally:
            closed.set()

    @app.get("/")
    def handler(request: Request):
        return StreamingResponse(pieces())

    @app.get("/seen")
    async def seen():
        gone.set()

    served = serve(app)
    with served.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert sock.recv(65536)
        assert working.wait(30)
    served.client.get("/seen")  # its connection was accepted after the other was closed
    assert closed.wait(30)


def test_streams_that_wait_end_when_the_client_goes_away(serve) -> None:
    app = App()
    closed = threading.Event()

    async def waiting() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    @app.get("/")
    async def handler():
        return StreamingResponse(waiting())

    with serve(app).connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while b"x\r\n" not in sock.recv(1000):
            continue
    assert closed.wait(20)


@pytest.mark.parametrize("kind", ["response", "json", "stream"])
def test_background_follows_the_answer(serve, kind: str) -> None:
    app = App()
    answered, done = threading.Event(), threading.Event()

    def task() -> None:
        answered.wait(20)  # the answer must be out by now
        done.set()

    @app.get("/")
    async def handler():
        background = BackgroundTask(task)
        if kind == "response":
            return Response("ok", background=background)
        if kind == "json":
            return JSONResponse("ok", background=background)
        return StreamingResponse(iter(["ok"]), background=background)

    assert "ok" in serve(app).client.get("/").text
    assert not done.is_set()
    answered.set()
    assert done.wait(20)


class Stream:
    """An iterator of either kind that notes what is done with it."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def __next__(self) -> bytes:
        self.notes.append("run")
        raise StopIteration

    def close(self) -> None:
        self.notes.append("closed")


class SyncStream(Stream):
    def __iter__(self) -> "SyncStream":
        return self


class AsyncStream(Stream):
    def __aiter__(self) -> "AsyncStream":
        return self

    async def __anext__(self) -> bytes:
        self.notes.append("run")
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.close()


@pytest.mark.parametrize("stream", [SyncStream, AsyncStream])
@pytest.mark.parametrize("kind", [StreamingResponse, EventSourceResponse])
@pytest.mark.parametrize("where", ["native", "middleware", "adopted", "tls"])
def test_head_does_not_run_a_stream(serve, certificate, where: str, kind: Any, stream: Any) -> None:
    notes: list[str] = []
    app = App()

    async def later() -> None:
        notes.append("later")

    @app.api_route("/", methods=["GET", "HEAD"])
    async def handler() -> Response:
        return kind(stream(notes), headers={"x": "y"}, background=later)

    if where == "middleware":

        @app.middleware("http")
        async def around(request: Request, call_next: Any) -> Response:
            return await call_next(request)

    async def adopted(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    files = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    served = serve(adopted if where == "adopted" else app, **(files if where == "tls" else {}))
    response = served.client.head("/")
    assert (response.status_code, response.content, response.headers["x"]) == (200, b"", "y")
    assert served.client.get("/").content == b""
    served.finish()
    assert notes == ["closed", "later", "run", "closed", "later"]


@pytest.mark.parametrize("generator", [False, True])
def test_head_does_not_run_a_handler_that_yields(serve, generator: bool) -> None:
    notes: list[str] = []
    app = App()

    async def pieces() -> AsyncIterator[int]:
        notes.append("run")
        yield 1

    def sync_pieces() -> Iterator[int]:
        notes.append("run")
        yield 1

    handler = pieces if generator else sync_pieces
    app.api_route("/", methods=["GET", "HEAD"], response_class=EventSourceResponse)(handler)
    client = serve(app).client
    assert client.head("/").headers["content-type"].startswith("text/event-stream")
    assert notes == []
    assert client.get("/").text == "data: 1\n\n"
    assert notes == ["run"]
