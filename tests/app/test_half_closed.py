"""Clients that have sent FIN and read on get their answers, whatever gives them."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import starlette.responses as others
from fluvial import App, EventSourceResponse, FileResponse, StreamingResponse
from starlette.applications import Starlette
from starlette.routing import Route
from support.asgi import Notes, http_only
from support.responses import Response as Answer
from support.responses import read_all

if TYPE_CHECKING:
    from conftest import Serve
    from support.certificate import Certificate

LARGE = 3_000_000
PIECES = [b"one ", b"two ", b"three"]
PATIENT = {"half_closed": 60_000}  # the next request may come late, on a busy machine
HASTE = 0.4  # seconds; after half a second without a response ASGI apps that ask are told (ADR 18)


class Gate:
    """Opened by a request, which comes after the other client's FIN."""

    def __init__(self) -> None:
        self.here = threading.Event()
        self.there = asyncio.Event()

    def open(self) -> None:
        self.here.set()
        self.there.set()

    def pieces(self) -> Iterator[bytes]:
        assert self.here.wait(30)
        yield from PIECES

    async def async_pieces(self) -> AsyncIterator[bytes]:
        yield PIECES[0]
        await self.there.wait()
        for piece in PIECES[1:]:
            yield piece
            await asyncio.sleep(0)

    def wsgi(self, environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("content-type", "text/plain")])
        return self.pieces()

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await self.there.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in PIECES:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})


def starlette_app(gate: Gate, large: Path) -> Starlette:
    return Starlette(
        routes=[
            Route("/def", lambda _: others.StreamingResponse(gate.pieces())),
            Route("/async", lambda _: others.StreamingResponse(gate.async_pieces())),
            Route("/file", lambda _: others.FileResponse(large)),
        ]
    )


def build(gate: Gate, large: Path) -> App:
    app = App()

    @app.get("/go")
    async def go() -> None:
        gate.open()

    @app.get("/file")
    async def file() -> FileResponse:
        return FileResponse(large)

    @app.get("/def")
    def sync_stream() -> StreamingResponse:
        return StreamingResponse(gate.pieces())

    @app.get("/async")
    async def async_stream() -> StreamingResponse:
        return StreamingResponse(gate.async_pieces())

    @app.get("/events")
    async def events() -> EventSourceResponse:
        return EventSourceResponse(gate.async_pieces())

    @app.get("/async-handler")
    async def async_handler() -> str:
        await gate.there.wait()
        return "one two three"

    @app.get("/def-handler")
    def def_handler() -> str:
        assert gate.here.wait(30)
        return "one two three"

    app.mount("/starlette", starlette_app(gate, large))
    app.mount("/wsgi", gate.wsgi)
    app.mount("/asgi", http_only(gate.asgi))
    return app


PATHS = [
    *("/file", "/def", "/async", "/events", "/async-handler", "/def-handler"),
    *("/starlette/def", "/starlette/async", "/starlette/file", "/wsgi", "/asgi"),
]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("path", PATHS)
def test_the_answer_comes_whole(serve: Serve, tmp_path: Path, path: str, version: str) -> None:
    check(serve, tmp_path, path, version)


@pytest.mark.parametrize("path", PATHS)
def test_with_tls(serve: Serve, tmp_path: Path, certificate: Certificate, path: str) -> None:
    """The client says close_notify as well."""
    tls = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    check(serve, tmp_path, path, "1.1", **tls)


@pytest.mark.parametrize("path", PATHS)
def test_through_a_unix_socket(serve: Serve, tmp_path: Path, path: str) -> None:
    check(serve, tmp_path, path, "1.1", uds=str(tmp_path / "s"))


def check(serve: Serve, tmp_path: Path, path: str, version: str, **options: Any) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * LARGE)
    for _ in range(5):
        answer, seconds = ask(serve, large, path, version, **options)
        if answer.complete or seconds < HASTE or not path.startswith("/starlette"):
            break
    assert (answer.status, answer.complete) == (200, True)
    if path.endswith("file"):
        assert len(answer.body) == LARGE
    else:
        assert answer.body.strip(b'"') == b"one two three"


def ask(serve: Serve, large: Path, path: str, version: str, **options: Any) -> tuple[Answer, float]:
    """The response to a client that has sent FIN, and the seconds in which it had begun."""
    gate = Gate()
    served = serve(build(gate, large), limits=PATIENT, **options)
    begun = time.monotonic()
    with served.connect() as sock:
        sock.sendall(f"GET {path} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
        sock.shutdown(socket.SHUT_WR)
        assert served.client.get("/go").status_code == 200
        first = sock.recv(65536)
        seconds = time.monotonic() - begun
        data, _ = read_all(sock)
    (answer,) = Answer.parse_all(first + data)
    return answer, seconds


def test_requests_sent_ahead_are_all_answered(serve: Serve, tmp_path: Path) -> None:
    gate = Gate()
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * LARGE)
    served = serve(build(gate, large), limits=PATIENT)
    wanted = ["/async", "/starlette/async", "/wsgi", "/def", "/file"]
    with served.connect() as sock:
        sock.sendall("".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in wanted).encode())
        sock.shutdown(socket.SHUT_WR)
        assert served.client.get("/go").status_code == 200
        data, closed = read_all(sock)
    answers = Answer.parse_all(data)
    assert closed
    assert [len(answer.body) for answer in answers] == [13, 13, 13, 13, LARGE]


# ---- Those who have left -------------------------------------------------------------------


async def endless(notes: Notes) -> AsyncIterator[bytes]:
    try:
        yield b"x"
        await asyncio.Event().wait()
    finally:
        notes.add("over")


@pytest.mark.parametrize("secure", [False, True])
def test_a_silent_stream_ends_when_its_client_leaves(
    serve: Serve, certificate: Certificate, secure: bool
) -> None:
    notes = Notes()
    app = App()

    @app.get("/")
    async def handler() -> StreamingResponse:
        return StreamingResponse(endless(notes))

    tls = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    with serve(app, **(tls if secure else {})).connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while not sock.recv(1000).endswith(b"x\r\n"):
            pass
        if secure:
            sock.sock.sendall(sock.close_notify())
    assert notes.next() == "over"


def test_asgi_apps_hear_of_clients_that_leave_before_the_first_body(serve: Serve) -> None:
    """The head is written then, to find out."""
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            notes.add("started")
            notes.add((await receive())["type"])

    with serve(app, limits={"half_closed": 0}).connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert notes.next() == "started"
    assert notes.next() == "http.disconnect"


@pytest.mark.parametrize("late", [False, True])
def test_a_head_that_was_written_early_allows_every_kind_of_body(
    serve: Serve, tmp_path: Path, *, late: bool
) -> None:
    """For a client that reads on, whether it closes its side at once or while the app waits."""
    file = tmp_path / "file.txt"
    file.write_bytes(b"content")
    gate, notes = Gate(), Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/go":
            gate.open()
        headers = [(b"content-length", b"7")] if scope["path"] == "/file" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["path"] == "/file":
            notes.add("started")
            await gate.there.wait()
            await send({"type": "http.response.pathsend", "path": str(file)})
        else:
            await send({"type": "http.response.body", "body": b""})

    served = serve(app, limits=PATIENT)
    with served.connect() as sock:
        sock.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
        if late:
            assert notes.next() == "started"
        sock.shutdown(socket.SHUT_WR)
        head = sock.recv(1000)
        assert head.endswith(b"\r\n\r\n")
        served.client.get("/go")
        data, _ = read_all(sock)
    assert Answer.parse_all(head + data)[0].body == b"content"
