"""Responses that break off look broken to the client, whatever gave and frames them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fluvial import App, EventSourceResponse, FileResponse, StreamingResponse
from support.asgi import body, http_only, start
from support.responses import Response as Answer

if TYPE_CHECKING:
    from conftest import Serve
    from support.certificate import Certificate

LARGE = 64 << 20
LENGTH = (b"content-length", b"1000")


def pieces() -> Iterator[bytes]:
    yield b"some"
    raise RuntimeError("broken")


async def async_pieces() -> AsyncIterator[bytes]:
    yield b"some"
    await asyncio.sleep(0)
    raise RuntimeError("broken")


async def raising(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send(body(b"some", more=True))
    raise RuntimeError("broken")


async def returning(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send(body(b"some", more=True))


async def short(scope: Any, receive: Any, send: Any) -> None:
    await send(start(LENGTH))
    await send(body(b"some", more=True))
    await send(body())


def wsgi(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("content-type", "text/plain")])
    return pieces()


def wsgi_short(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("content-length", "1000")])
    return [b"some"]


def build() -> App:
    app = App()

    @app.get("/def")
    def sync_stream() -> StreamingResponse:
        return StreamingResponse(pieces())

    @app.get("/async")
    async def async_stream() -> StreamingResponse:
        return StreamingResponse(async_pieces())

    @app.get("/events")
    async def events() -> EventSourceResponse:
        return EventSourceResponse(async_pieces())

    app.mount("/raising", http_only(raising))
    app.mount("/returning", http_only(returning))
    app.mount("/short", http_only(short))
    app.mount("/wsgi", wsgi)
    app.mount("/wsgi-short", wsgi_short)
    return app


UNFRAMED = ["/def", "/async", "/events", "/raising", "/returning", "/wsgi"]
FRAMED = ["/short", "/wsgi-short"]


def tls(certificate: Certificate) -> dict[str, str]:
    return {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}


def until_reset(sock: Any) -> bytes:
    """What comes before the reset. Raises: AssertionError when the end is an orderly one."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        return data
    raise AssertionError(f"no reset after {data[-100:]!r}")


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("path", UNFRAMED)
def test_without_framing_the_connection_is_reset(
    serve: Serve, certificate: Certificate, path: str, secure: bool
) -> None:
    """HTTP/1.0: the end of the connection would be the end of the body."""
    served = serve(build(), **(tls(certificate) if secure else {}))
    with served.connect() as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert until_reset(sock).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("path", [*UNFRAMED, *FRAMED])
def test_tls_ends_without_close_notify(
    serve: Serve, certificate: Certificate, path: str, version: str
) -> None:
    with serve(build(), **tls(certificate)).connect() as sock:
        sock.sendall(f"GET {path} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
        try:
            while sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        assert not sock.closed_by_notice


@pytest.mark.parametrize("path", [*UNFRAMED, *FRAMED])
def test_with_framing_something_is_missing(serve: Serve, path: str) -> None:
    served = serve(build())
    data = served.exchange(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    (answer,) = Answer.parse_all(data)
    assert (answer.status, answer.complete) == (200, False)
    with pytest.raises(httpx.RemoteProtocolError):
        served.client.get(path)


@pytest.mark.parametrize("secure", [False, True])
def test_whole_answers_end_in_order(serve: Serve, certificate: Certificate, secure: bool) -> None:
    app = App()

    @app.get("/")
    def handler() -> StreamingResponse:
        return StreamingResponse(iter([b"all"]))

    served = serve(app, **(tls(certificate) if secure else {}))
    with served.connect() as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = b"".join(iter(lambda: sock.recv(65536), b""))
        assert data.endswith(b"\r\n\r\nall")
        assert not secure or sock.closed_by_notice


def test_a_file_that_becomes_shorter(
    serve: Serve, certificate: Certificate, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    app = App()

    @app.get("/")
    async def handler() -> FileResponse:
        return FileResponse(file)

    for options in ({}, tls(certificate)):
        with file.open("wb") as opened:
            opened.truncate(LARGE)
        with serve(app, **options).connect() as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert sock.recv(8) == b"HTTP/1.1"
            os.truncate(file, 1000)
            size = sum(map(len, iter(lambda: sock.recv(1 << 20), b"")))
            assert size < LARGE
            assert not options or not sock.closed_by_notice


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("path", ["/stream", "/copied"])
def test_the_end_of_the_grace_period(
    serve: Serve, certificate: Certificate, tmp_path: Path, secure: bool, path: str
) -> None:
    """Also when the kernel copies a file to the client at that moment."""
    begun = threading.Event()
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.truncate(LARGE)
    app = App()

    async def waiting() -> AsyncIterator[bytes]:
        yield b"some"
        begun.set()
        await asyncio.Event().wait()

    @app.get("/stream")
    async def handler() -> StreamingResponse:
        return StreamingResponse(waiting())

    async def copying(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        begun.set()
        with file.open("rb") as opened:
            message = {"type": "http.response.zerocopysend", "file": opened.fileno()}
            await send(message | {"more_body": True})

    app.mount("/copied", http_only(copying))
    served = serve(app, graceful_timeout=0.1, **(tls(certificate) if secure else {}))
    with served.connect() as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert begun.wait(30)
        assert sock.recv(8) == b"HTTP/1.1"
        served.finish()
        until_reset(sock)
