"""What the log says, at debug level, of what clients are refused without asking the app."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, Request, WebSocket
from support.ws_client import BINARY, upgraded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Serve

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"


class Lines(logging.Handler):
    """What was logged; `wait_for` returns when a line has come."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self._lines.append(f"{record.levelname} {record.getMessage()}")
            self._changed.notify_all()

    def wait_for(self, line: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: line in self._lines, 60), self._lines


@pytest.fixture
def lines() -> Iterator[Lines]:
    log = logging.getLogger("fluvial")
    handler, level = Lines(), log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler
    log.setLevel(level)
    log.removeHandler(handler)


def app() -> App:
    app = App()

    @app.post("/")
    async def read(request: Request) -> int:
        return len(await request.body())

    @app.post("/small", body_limit=5)
    async def small(request: Request) -> int:
        return len(await request.body())

    return app


@pytest.mark.parametrize(
    ("limits", "request_", "refused"),
    [
        ({}, b"GET / HTTP/1.1\r\n\r\n", "400: The Host field is missing"),
        ({}, HEAD + b"content-length: x\r\n\r\n", "400: Content-Length is malformed"),
        (
            {"request_line": 10},
            b"GET /" + b"x" * 100 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
            "414: The request target is too long (--limit-request-line)",
        ),
        (
            {"header_block": 50},
            HEAD + b"a: " + b"x" * 100 + b"\r\n\r\n",
            "431: The header section is too large (--limit-headers)",
        ),
        (
            {"header_fields": 2},
            HEAD + b"a: b\r\nc: d\r\n\r\n",
            "431: There are too many header fields (--limit-header-fields)",
        ),
        (
            {"body": 3},
            HEAD + b"content-length: 4\r\n\r\n",
            "413: The body is too large (--limit-body)",
        ),
        (
            {"body": 3},
            HEAD + b"transfer-encoding: chunked\r\n\r\n4\r\n",
            "413: The body is too large (--limit-body)",
        ),
        (
            {"body": 3},
            b"POST /small HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\n",
            "413: The body is too large",
        ),
        (
            {"chunk_extensions": 5},
            HEAD + b"transfer-encoding: chunked\r\n\r\n1;" + b"e" * 10 + b"\r\n",
            "400: The chunk extensions are too large (--limit-chunk-extensions)",
        ),
        (
            {"trailer_block": 5},
            HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\nname: " + b"x" * 10 + b"\r\n\r\n",
            "400: The trailer section is too large (--limit-trailers)",
        ),
        (
            {"header_timeout": 1},
            HEAD,
            "408: The head of the request took too long (--header-timeout)",
        ),
        (
            {"body_rate": 1000, "body_grace": 1},
            HEAD + b"content-length: 4\r\n\r\n",
            "408: The body of the request came too slowly (--body-rate)",
        ),
    ],
)
def test_requests(
    serve: Serve, lines: Lines, limits: dict[str, int], request_: bytes, refused: str
) -> None:
    served = serve(app(), limits=limits)
    raw = served.exchange(request_)
    assert raw.startswith(b"HTTP/1.1 " + refused[:3].encode())
    lines.wait_for(f"DEBUG Refused a request from 127.0.0.1 with {refused}")


def test_too_many_at_once(serve: Serve, lines: Lines) -> None:
    entered, leave = threading.Event(), threading.Event()
    waiting = App()

    @waiting.get("/")
    def wait() -> None:
        entered.set()
        leave.wait(60)

    served = serve(waiting, limits={"in_flight": 1})
    with served.connect() as first:
        first.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert entered.wait(60)
        assert served.client.get("/").status_code == 503
        leave.set()
        assert first.recv(1000).startswith(b"HTTP/1.1 200")
    reason = "There are too many requests at once (--limit-in-flight)"
    lines.wait_for(f"DEBUG Refused a request from 127.0.0.1 with 503: {reason}")


def test_too_many_wait_for_a_thread(serve: Serve, lines: Lines) -> None:
    entered, leave = threading.Event(), threading.Event()
    waiting = App()

    @waiting.get("/")
    def wait() -> None:
        entered.set()
        leave.wait(60)

    request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    served = serve(waiting, threads=1, thread_queue=1)
    connections = [served.connect() for _ in range(3)]
    connections[0].sendall(request)
    assert entered.wait(60)
    for connection in connections[1:]:
        connection.sendall(request)
    reason = "Too many calls wait for a thread (--thread-queue)"
    lines.wait_for(f"DEBUG Refused a request from 127.0.0.1 with 503: {reason}")
    leave.set()
    statuses = sorted(connection.recv(1000)[9:12] for connection in connections)
    assert statuses == [b"200", b"200", b"503"]
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"ws_message": 5}, "The message is too large (--ws-max-size)"),
        ({"ws_frame": 5}, "A frame is too large (--ws-max-frame)"),
    ],
)
def test_websockets(serve: Serve, lines: Lines, limits: dict[str, int], reason: str) -> None:
    echo = App()

    @echo.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_bytes()

    served: Any = serve(echo, limits=limits)
    with upgraded(served) as client:
        client.send_frame(BINARY, b"x" * 6)
        assert client.read().code == 1009
    lines.wait_for(f"DEBUG Closed a WebSocket of 127.0.0.1 with 1009: {reason}")
