"""Responses without a body (HEAD, 204, 304) of apps that stream one, perhaps without end."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import fluvial
import pytest
from fluvial import App
from fluvial.staticfiles import StaticFiles
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.routing import Route
from support.asgi import PLACES, Notes, body, http_only, placed, start
from support.responses import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from conftest import Serve

HEAD = b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n"
GET = HEAD.replace(b"HEAD", b"GET")
LAST = b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def streaming(stream: Any, status: int = 200) -> Any:
    """An app that calls `stream(receive, send)` after the head, unless /last is asked for."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/last":
            await send(start())
            await send(body(b"last"))
        else:
            await send(start(status=status))
            await stream(receive, send)

    return http_only(app)


def two_responses(serve: Serve, app: Any, first: bytes) -> list[int]:
    """Sends two requests at once; the statuses of the responses. The second is that to /last."""
    data = serve(app).exchange(first + LAST)
    answer, rest = Response.parse(data, is_head=first is HEAD)
    last, rest = Response.parse(rest)
    assert (last.body, rest) == (b"last", b"")
    return [answer.status, last.status]


@pytest.mark.parametrize(("request_", "status"), [(HEAD, 200), (GET, 204), (GET, 304)])
@pytest.mark.parametrize("place", PLACES)
def test_an_app_that_sends_without_end(
    serve: Serve, place: str, request_: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It never calls receive(): an exception of send() ends it."""
    notes = Notes()

    async def stream(receive: Any, send: Any) -> None:
        try:
            while True:
                await send(body(b"x" * 100, more=True))
                await asyncio.sleep(0)
        except BaseException as exc:
            notes.add(type(exc))
            raise

    app = placed(streaming(stream, status), place)
    assert two_responses(serve, app, request_) == [status, 200]
    assert issubclass(notes.next(), OSError | asyncio.CancelledError)
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


@pytest.mark.parametrize("place", PLACES)
def test_an_app_that_listens(serve: Serve, place: str) -> None:
    notes = Notes()

    async def stream(receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        listening = asyncio.ensure_future(receive())
        await send(body(b"first", more=True))
        notes.add((await listening)["type"])

    assert two_responses(serve, placed(streaming(stream), place), HEAD) == [200, 200]
    assert notes.next() == "http.disconnect"


@pytest.mark.parametrize(("request_", "status"), [(HEAD, 200), (GET, 204), (GET, 304)])
@pytest.mark.parametrize("place", [*PLACES, "below an app behind middleware"])
def test_the_rest_of_a_short_stream_is_dropped(
    serve: Serve, place: str, request_: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The app's code after that runs, as after any response."""
    notes = Notes()

    async def stream(receive: Any, send: Any) -> None:
        for _ in range(5):
            await send(body(b"piece", more=True))
        await send(body())
        notes.add("sent")

    app = streaming(stream, status)
    if place == "below an app behind middleware":
        app, place = placed(app, "mount"), "behind middleware"
    assert two_responses(serve, placed(app, place), request_) == [status, 200]
    assert notes.next() == "sent"
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


def test_files_that_are_not_modified_below_an_app_behind_middleware(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file.txt").write_text("text")
    inner = App()
    inner.mount("/static", StaticFiles(directory=tmp_path))
    client = serve(placed(inner, "behind middleware")).client
    etag = client.get("/static/file.txt").headers["etag"]
    assert client.get("/static/file.txt", headers={"if-none-match": etag}).status_code == 304
    assert client.get("/static/file.txt").text == "text"  # the first one's exchange has ended
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


@pytest.mark.parametrize("suspends", [False, True])
def test_starlette_cancels_its_stream(
    serve: Serve, suspends: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Even one that never waits: each send() lets the task run that listens."""
    notes = Notes()

    async def pieces() -> AsyncIterator[str]:
        while True:
            yield "piece"
            if suspends:
                await asyncio.Event().wait()

    async def stream(request: Any) -> Any:
        return StreamingResponse(pieces(), background=BackgroundTask(notes.add, "background"))

    async def last(request: Any) -> Any:
        return StreamingResponse(iter(["last"]))

    app = Starlette(routes=[Route("/", stream, methods=["HEAD"]), Route("/last", last)])
    assert two_responses(serve, app, HEAD) == [200, 200]
    assert notes.next() == "background"
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


@pytest.mark.parametrize(("request_", "status"), [(HEAD, 200), (GET, 204), (GET, 304)])
@pytest.mark.parametrize("kind", [fluvial.StreamingResponse, fluvial.EventSourceResponse])
def test_native_streams_are_closed_before_they_begin(
    serve: Serve, kind: Any, request_: bytes, status: int
) -> None:
    app = App()

    async def pieces() -> AsyncIterator[str]:
        while True:
            yield "piece"
            await asyncio.sleep(0)

    @app.get("/")
    async def stream() -> Any:
        return kind(pieces(), status)

    @app.get("/last")
    async def last() -> Any:
        return fluvial.PlainTextResponse("last")

    assert two_responses(serve, app, request_) == [status, 200]


@pytest.mark.parametrize("place", PLACES)
def test_wsgi(serve: Serve, place: str) -> None:
    notes = Notes()

    def pieces() -> Iterator[bytes]:
        try:
            for _ in itertools.count():
                yield b"piece"
        finally:
            notes.add("closed")

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return [b"last"] if environ["PATH_INFO"] == "/last" else pieces()

    assert two_responses(serve, placed(app, place), HEAD) == [200, 200]
    assert notes.next() == "closed"
