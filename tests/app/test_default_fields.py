"""--header, --no-server-header, --no-date-header: in responses of every kind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, Config, Response, WebSocket
from support.serving import Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = ("X-Frame-Options:DENY", "X-Both: operator", "x-many: 1", "x-many: 2, 3")
OWN = [("x-both", "app"), ("X-Mine", "x")]
CLOSE = "Host: h\r\nConnection: close\r\n"
UPGRADE = (
    "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def native() -> App:
    app = App()

    @app.get("/")
    async def whole() -> Response:
        return Response(b"x", headers=dict(OWN), media_type="text/x-own")

    @app.get("/raises")
    async def raises() -> None:
        raise RuntimeError

    @app.websocket("/")
    async def accept(websocket: WebSocket) -> None:
        await websocket.accept(headers=[(b"x-both", b"app")])

    return app


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    fields = [(name.encode(), value.encode()) for name, value in OWN]
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept", "headers": fields})
    elif scope["type"] == "http":
        fields.append((b"content-type", b"text/x-own"))
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"x"})


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [*OWN, ("Content-Type", "text/x-own")])
    return [b"x"]


KINDS: dict[str, Any] = {"native": native(), "asgi": asgi, "wsgi": wsgi}


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    options = {} if request.param == "native" else {"lifespan": "off"}
    with serving(KINDS[request.param], header=HEADER, **options) as served:
        yield served


def fields(answer: bytes) -> dict[str, list[str]]:
    """The fields of a response's head, by their names in lower case."""
    found: dict[str, list[str]] = {}
    for line in answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        found.setdefault(name.lower(), []).append(value)
    return found


def test_the_apps_own_win(served: Served) -> None:
    found = fields(served.exchange(f"GET / HTTP/1.1\r\n{CLOSE}\r\n".encode()))
    assert found["x-frame-options"] == ["DENY"]
    assert found["x-many"] == ["1", "2, 3"]
    assert (found["x-both"], found["x-mine"]) == (["app"], ["x"])
    assert found["server"] == ["fluvial"]
    assert len(found["date"]) == 1


def test_errors_of_the_servers_own(served: Served) -> None:
    for request in ("GET / HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n"):
        answer = served.exchange(request.encode())
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert fields(answer)["x-both"] == ["operator"]
        assert fields(answer)["x-frame-options"] == ["DENY"]


@pytest.mark.parametrize("path", ["/nowhere", "/raises"])
def test_errors_of_native_apps(path: str) -> None:
    with serving(native(), header=HEADER) as served:
        found = fields(served.exchange(f"GET {path} HTTP/1.1\r\n{CLOSE}\r\n".encode()))
        assert found["x-both"] == ["operator"]


@pytest.mark.parametrize("kind", ["native", "asgi"])
def test_websocket_handshakes(kind: str) -> None:
    options = {} if kind == "native" else {"lifespan": "off"}
    with serving(KINDS[kind], header=HEADER, **options) as served, served.connect() as sock:
        sock.sendall(f"GET / HTTP/1.1\r\n{UPGRADE}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert fields(answer)["x-both"] == ["app"]
        assert fields(answer)["x-frame-options"] == ["DENY"]


def test_plain_http_on_a_port_with_tls() -> None:
    with serving(native(), header=HEADER, tls_dev=True) as served:
        answer = served.exchange(f"GET / HTTP/1.1\r\n{CLOSE}\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert fields(answer)["x-frame-options"] == ["DENY"]


@pytest.mark.parametrize("kind", KINDS)
def test_neither_server_nor_date(kind: str) -> None:
    options = {} if kind == "native" else {"lifespan": "off"}
    off = {"server_header": False, "date_header": False}
    with serving(KINDS[kind], **off, **options) as served:
        found = fields(served.exchange(f"GET / HTTP/1.1\r\n{CLOSE}\r\n".encode()))
        assert not {"server", "date"} & found.keys()
        assert not {"server", "date"} & fields(served.exchange(b"nonsense\r\n\r\n")).keys()


def test_another_server_and_content_type() -> None:
    header = [("Server", "mine"), ("Content-Type", "text/x-default")]
    with serving(native(), header=header, server_header=True) as served:
        found = fields(served.exchange(f"GET / HTTP/1.1\r\n{CLOSE}\r\n".encode()))
        assert found["server"] == ["mine"]
        assert found["content-type"] == ["text/x-own; charset=utf-8"]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("X-Frame-Options", "must have the form NAME:VALUE"),
        ("X Y:1", "must have the form NAME:VALUE"),
        (":1", "must have the form NAME:VALUE"),
        ("X:a\r\nY:b", "must have the form NAME:VALUE"),
        ("X:\u20ac", "must have the form NAME:VALUE"),
        ("Content-Length:5", "header can't be content-length"),
        ("transfer-encoding: chunked", "header can't be transfer-encoding"),
        ("Connection:close", "header can't be connection"),
    ],
)
def test_what_is_no_field_of_the_operators(field: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Config(header=(field,))
