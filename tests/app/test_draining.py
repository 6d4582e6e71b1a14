"""The orderly stop: what is closed at once, who is told, what is cut off when."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import threading
import time
from collections.abc import AsyncIterator  # read from a signature
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import (
    App,
    EventSourceResponse,
    StreamingResponse,
    WebSocket,
    stopping,
)
from fluvial._serving import draining
from fluvial.background import BackgroundTask
from support.ws_client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Serve
    from support.certificate import Certificate

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE = 30  # seconds
KINDS = ["native", "def", "sse", "asgi", "mounted", "wsgi"]


class Seen:
    """What happens in an app, and what lets it go on."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.broken = threading.Event()  # an endless stream was cancelled
        self.go_on = threading.Event()
        self.ended = threading.Event()  # an endless stream has ended by itself


async def until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, PATIENCE)


async def pieces(seen: Seen, told: bool) -> AsyncIterator[bytes]:
    """Never ends, unless it is `told` to."""
    seen.begun.set()
    try:
        yield b"first"
        if not told:
            await asyncio.Event().wait()
        await stopping.wait()
        yield b"last"
        seen.ended.set()
    except BaseException:
        seen.broken.set()
        raise


def pieces_in_threads(seen: Seen, told: bool) -> Iterator[bytes]:
    seen.begun.set()
    try:
        yield b"first"
        while not (stopping.wait_in_thread(0.01) and told):
            yield b"more"
        yield b"last"
        seen.ended.set()
    except BaseException:
        seen.broken.set()
        raise


def native(seen: Seen) -> App:
    app = App()

    @app.get("/stream")
    async def stream(told: bool = False) -> StreamingResponse:
        return StreamingResponse(pieces(seen, told))

    @app.get("/def")
    def in_threads(told: bool = False) -> StreamingResponse:
        return StreamingResponse(pieces_in_threads(seen, told))

    @app.get("/sse", response_class=EventSourceResponse)
    async def events(told: bool = False) -> AsyncIterator[bytes]:
        async for piece in pieces(seen, told):
            yield piece

    @app.get("/sized")
    async def sized() -> StreamingResponse:
        async def five() -> AsyncIterator[bytes]:
            seen.begun.set()
            yield b"he"
            await until(seen.broken)
            yield b"llo"

        return StreamingResponse(five(), headers={"content-length": "5"})

    @app.get("/slow")
    async def slow() -> str:
        seen.begun.set()
        await until(seen.go_on)
        return "finished"

    @app.get("/blocking")
    async def blocking() -> str:
        seen.begun.set()
        seen.go_on.wait(PATIENCE)
        return "finished"

    @app.get("/never")
    async def never() -> None:
        await asyncio.Event().wait()

    @app.get("/quick")
    async def quick() -> str:
        return "quick"

    @app.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        seen.begun.set()
        await asyncio.Event().wait()

    return app


def asgi(seen: Seen) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for piece in pieces(seen, b"told" in scope["query_string"]):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


def wsgi(seen: Seen) -> Any:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        return pieces_in_threads(seen, "told" in environ["QUERY_STRING"])

    return app


def app_of(kind: str, seen: Seen) -> tuple[Any, str]:
    """An app, and the path of a stream without an end."""
    if kind == "asgi":
        return asgi(seen), "x"
    if kind == "wsgi":
        return wsgi(seen), "x"
    app = native(seen)
    app.mount("/mounted", asgi(seen))
    return app, {"native": "stream", "mounted": "mounted/x"}.get(kind, kind)


def read_all(sock: Any) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    return data


def options_of(secure: bool, certificate: Certificate) -> dict[str, Any]:
    if not secure:
        return {}
    return {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}


@pytest.mark.parametrize("secure", [False, True])
def test_idle_connections_end_at_once_and_others_after_their_response(
    serve: Serve, certificate: Certificate, secure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "_FIRST_REQUEST", 1000)  # then all idle ones are closed
    seen = Seen()
    served = serve(native(seen), graceful_timeout=1000, **options_of(secure, certificate))
    with served.connect() as idle, served.connect() as busy:
        idle.sendall(GET % b"quick")
        while b"quick" not in idle.recv(65536):
            pass
        busy.sendall(GET % b"slow")
        assert seen.begun.wait(PATIENCE)
        served.stop()
        assert read_all(idle) == b""  # the other request isn't over
        seen.go_on.set()
        answer = read_all(busy).lower()
        assert b"connection: close" in answer
        assert b"finished" in answer


def test_connections_without_a_request_end_soon(serve: Serve) -> None:
    seen = Seen()
    served = serve(native(seen), graceful_timeout=1000)
    with served.connect() as fresh, served.connect() as busy:
        busy.sendall(GET % b"slow")
        assert seen.begun.wait(PATIENCE)
        served.stop()
        assert read_all(fresh) == b""
        seen.go_on.set()
        assert b"finished" in read_all(busy)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("kind", ["native", "asgi", "wsgi"])
def test_a_connection_that_was_said_to_stay_answers_once_more(
    serve: Serve, certificate: Certificate, kind: str, secure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head of the response was written before the stop: the client may send another request."""
    monkeypatch.setattr(draining, "_FIRST_REQUEST", 1000)
    seen = Seen()
    app, path = app_of(kind, seen)
    served = serve(app, graceful_timeout=1000, **options_of(secure, certificate))
    with served.connect() as sock:
        sock.sendall(GET % f"{path}?told=1".encode())
        head = take(sock, b"first")
        served.stop()
        head += take(sock, b"\r\n0\r\n\r\n")
        assert b"connection: close" not in head.lower()
        sock.sendall(GET % f"{path}?told=1".encode())
        answer = read_all(sock)
        assert b"connection: close" in answer.lower()
        assert b"last" in answer


def test_a_connection_that_was_said_to_stay_and_sends_nothing_is_closed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "_FIRST_REQUEST", 0.6)
    seen = Seen()
    app, path = app_of("native", seen)
    served = serve(app, graceful_timeout=1000)
    with served.connect() as sock:
        sock.sendall(GET % f"{path}?told=1".encode())
        take(sock, b"first")
        served.stop()
        assert read_all(sock).endswith(b"\r\n0\r\n\r\n")


def test_a_connection_whose_response_ends_later_is_closed_too(serve: Serve) -> None:
    """Connections without a request are closed again and again, not once."""
    seen = Seen()
    served = serve(native(seen), graceful_timeout=1000)
    with served.connect() as fresh, served.connect() as sock:
        sock.sendall(GET % b"sized")
        assert b"connection: close" not in take(sock, b"he").lower()
        served.stop()
        assert read_all(fresh) == b""  # that was the first time
        seen.broken.set()
        assert read_all(sock).endswith(b"llo")


def test_what_waits_in_the_queue_is_answered(serve: Serve) -> None:
    """The loop is held up while clients connect and the stop is asked for."""
    seen = Seen()
    served = serve(native(seen), graceful_timeout=1000)
    with served.connect() as busy, contextlib.ExitStack() as stack:
        busy.sendall(GET % b"blocking")
        assert seen.begun.wait(PATIENCE)
        served.stop()
        waiting = [stack.enter_context(served.connect_plain()) for _ in range(100)]
        for sock in waiting:
            sock.sendall(GET % b"quick")
        seen.go_on.set()
        for sock in waiting:
            assert b"quick" in read_all(sock)


def test_a_worker_that_is_replaced_leaves_the_queue_to_others(serve: Serve) -> None:
    """Another process, here the test, accepts from the socket, too."""
    app = App()
    begun, go_on = threading.Event(), threading.Event()

    @app.get("/drain")
    async def drain() -> None:
        begun.set()
        go_on.wait(PATIENCE)  # the loop accepts nothing meanwhile
        service = served.service
        assert service is not None
        step = draining.drain(service.server, service._config, asyncio.Event(), retiring=True)
        step.send(None)
        step.close()

    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(PATIENCE)
        served = serve(app, bind=(f"fd://{os.dup(other.fileno())}",))
        with served.connect() as busy:
            busy.sendall(GET % b"drain")
            assert begun.wait(PATIENCE)
            with served.connect_plain() as waiting:
                waiting.sendall(GET % b"quick")
                go_on.set()
                assert read_all(busy).startswith(b"HTTP/1.1 200")
                sock, _ = other.accept()
                with sock:
                    assert sock.recv(100) == GET % b"quick"


@pytest.mark.parametrize("kind", KINDS)
def test_streams_hear_of_the_stop(serve: Serve, kind: str) -> None:
    seen = Seen()
    app, path = app_of(kind, seen)
    served = serve(app, graceful_timeout=1000)
    with served.connect() as sock:
        sock.sendall(GET % f"{path}?told=1".encode())
        assert seen.begun.wait(PATIENCE)
        served.stop()
        data = read_all(sock)
    assert b"last" in data
    assert data.endswith(b"\r\n0\r\n\r\n")  # it is whole
    assert seen.ended.wait(PATIENCE)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_streams_that_go_on_are_cancelled_before_other_requests(
    serve: Serve,
    kind: str,
    secure: bool,
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(draining, "_STREAMS_SHARE", 0.0003)
    seen = Seen()
    app, path = app_of(kind, seen)
    served = serve(app, graceful_timeout=1000, **options_of(secure, certificate))
    with served.connect() as sock, caplog.at_level(logging.WARNING, "fluvial"):
        sock.sendall(GET % path.encode())
        assert b"first" in take(sock, b"first")
        served.stop()
        assert not read_all(sock).endswith(b"\r\n0\r\n\r\n")  # the client can tell
        assert seen.broken.wait(PATIENCE)
    words = rf"Cut off 1 streamed response after 0.3 seconds: GET /{path} \(\d+\.\d s\)"
    assert re.search(words, caplog.text)


def test_a_response_of_known_length_is_no_endless_stream(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "_STREAMS_SHARE", 0.0003)
    seen, endless = Seen(), Seen()
    app = native(seen)

    @app.get("/endless")
    async def stream() -> StreamingResponse:
        return StreamingResponse(pieces(endless, told=False))

    served = serve(app, graceful_timeout=1000)
    with served.connect() as sized, served.connect() as other:
        sized.sendall(GET % b"sized")
        take(sized, b"\r\n\r\nhe")
        other.sendall(GET % b"endless")
        take(other, b"first")
        served.stop()
        assert endless.broken.wait(PATIENCE)
        seen.broken.set()  # now the rest of the five bytes is sent
        assert read_all(sized) == b"llo"


def take(sock: Any, until: bytes) -> bytes:
    data = b""
    while until not in data:
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data


def test_the_log_names_what_was_cut_off(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    seen = Seen()
    served = serve(native(seen), graceful_timeout=0.1)
    with (
        contextlib.ExitStack() as stack,
        connect(served) as client,
        caplog.at_level(logging.WARNING, "fluvial"),
    ):
        client.open("/ws")
        assert seen.begun.wait(PATIENCE)
        for number in range(25):
            sock = stack.enter_context(served.connect())
            sock.sendall(GET % b"never?number=%d" % number)
        deadline = time.monotonic() + PATIENCE
        while served.in_flight() < 25:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        served.finish()
    assert re.search(
        r"Cut off 25 requests after 0.1 seconds: (GET /never \(\d+\.\d s\), ){20}and 5 more",
        caplog.text,
    )
    assert re.search(
        r"Cut off 1 WebSocket after 0.1 seconds: WebSocket /ws \(\d+\.\d s\)", caplog.text
    )


@pytest.mark.parametrize("kind", ["native", "asgi"])
def test_the_log_counts_background_tasks_beside_requests(
    serve: Serve, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """Requests without a task of their own, which wait for a thread's handler, don't hide them."""
    app = App()
    seen = Seen()
    waiting = threading.Event()

    @app.get("/blocking")
    def blocking() -> None:
        seen.begun.set()
        waiting.wait(PATIENCE)

    async def task() -> None:
        seen.go_on.set()
        try:
            await asyncio.Event().wait()
        finally:
            waiting.set()

    @app.get("/native")
    async def handler() -> StreamingResponse:
        async def piece() -> AsyncIterator[bytes]:
            yield b"x"

        return StreamingResponse(piece(), background=BackgroundTask(task))

    async def other(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})
        await task()

    app.mount("/asgi", other)
    served = serve(app, graceful_timeout=0.1)
    path = "asgi/x" if kind == "asgi" else "native"
    with (
        served.connect() as first,
        served.connect() as second,
        caplog.at_level(logging.WARNING, "fluvial"),
    ):
        first.sendall(GET % b"blocking")
        second.sendall(GET % path.encode())
        assert seen.begun.wait(PATIENCE)
        assert seen.go_on.wait(PATIENCE)
        served.finish()
    assert "Cut off 1 request after 0.1 seconds: GET /blocking" in caplog.text
    assert "Cancelled 1 background task after 0.1 seconds" in caplog.text


def test_nothing_is_stopping_outside_a_server() -> None:
    assert not stopping.is_set()
    assert not stopping.wait_in_thread(0)


def test_items_until_the_server_stops(serve: Serve) -> None:
    app = App()
    begun, closed = threading.Event(), threading.Event()

    async def numbers() -> AsyncIterator[str]:
        try:
            yield "1"
            begun.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    @app.get("/")
    async def handler() -> StreamingResponse:
        return StreamingResponse(stopping.until_stopping(numbers()))

    served = serve(app, graceful_timeout=1000)
    with served.connect() as sock:
        sock.sendall(GET % b"")
        assert begun.wait(PATIENCE)
        served.stop()
        assert read_all(sock).endswith(b"1\r\n0\r\n\r\n")
    assert closed.wait(PATIENCE)


def test_timeouts_around_the_items_of_a_source(serve: Serve) -> None:
    """asyncio.timeout() needs all steps of the source in one task."""
    app = App()
    begun = threading.Event()

    async def numbers() -> AsyncIterator[str]:
        try:
            async with asyncio.timeout(1000):
                yield "1"
                yield "2"
            async with asyncio.timeout(0):
                yield "3"
                await asyncio.Event().wait()
        except TimeoutError:
            yield "4"
        begun.set()
        async with asyncio.timeout(1000):
            await asyncio.Event().wait()

    async def after() -> AsyncIterator[str]:
        async for item in stopping.until_stopping(numbers()):
            yield item
        await asyncio.sleep(0)  # the task isn't cancelled any more
        yield "5"

    @app.get("/")
    async def handler() -> StreamingResponse:
        return StreamingResponse(after())

    served = serve(app, graceful_timeout=1000)
    with served.connect() as sock:
        sock.sendall(GET % b"")
        assert begun.wait(PATIENCE)
        served.stop()
        data = read_all(sock)
    assert re.findall(rb"\r\n(\d)\r\n(?=1|0)", data) == [b"1", b"2", b"3", b"4", b"5"], data


def test_a_source_that_is_cancelled_by_others_is_cancelled() -> None:
    async def endless() -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 1

    async def main() -> None:
        async def take() -> None:
            async for _ in stopping.until_stopping(endless()):
                pass

        task = asyncio.create_task(take())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
