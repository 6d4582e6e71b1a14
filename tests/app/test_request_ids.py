"""Ids of requests: who may send one, which are taken, and where they appear."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, Config, Request, WebSocket
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from support.serving import Served, serving

if TYPE_CHECKING:
    from starlette.requests import Request as StarletteRequest

MADE = re.compile(r"[0-9a-f]{32}")
FIELD = "X-Request-ID"
SOCKET = b"".join(
    (
        b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n" % base64.b64encode(bytes(16)),
        b"X-Request-ID: sent.1\r\n\r\n",
    )
)


def native_app() -> App:
    app = App()

    @app.get("/")
    async def ask(request: Request) -> str:
        return str(request.state.request_id)

    @app.get("/sync")
    def ask_in_a_thread(request: Request) -> str:
        return str(request.state.request_id)

    @app.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.state.request_id)

    return app


async def starlette_endpoint(request: StarletteRequest) -> PlainTextResponse:
    return PlainTextResponse(f'"{request.state.request_id}"')


def starlette_app() -> Starlette:
    return Starlette(routes=[Route("/", starlette_endpoint)])


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b'"%s"' % environ["fluvial.request_id"].encode()]


def mounted(app: Any) -> App:
    outer = App()
    outer.mount("/below", app)
    return outer


def with_function(app: App) -> App:
    @app.middleware("http")
    async def layer(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    return app


class Layer:
    """ASGI middleware, which C makes a scope for."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def with_layer(app: App) -> App:
    app.add_middleware(Layer)
    return app


WAYS: dict[str, tuple[Any, str]] = {
    "native": (native_app, "/"),
    "def": (native_app, "/sync"),
    "function": (lambda: with_function(native_app()), "/"),
    "layer": (lambda: with_layer(native_app()), "/"),
    "ASGI": (starlette_app, "/"),
    "WSGI": (lambda: wsgi_app, "/"),
    "mounted ASGI": (lambda: mounted(starlette_app()), "/below/"),
    "mounted WSGI": (lambda: mounted(wsgi_app), "/below/"),
    "mounted App": (lambda: mounted(native_app()), "/below/"),
    "mounted with function": (lambda: with_function(mounted(starlette_app())), "/below/"),
    "mounted with layer": (lambda: with_layer(mounted(starlette_app())), "/below/"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_app_and_the_client_get_the_same_id(way: str) -> None:
    make, path = WAYS[way]
    with serving(make(), request_id_header=FIELD) as server:
        made = server.client.get(path)
        taken = server.client.get(path, headers={FIELD: "sent-1"})
    assert MADE.fullmatch(made.headers[FIELD])
    assert made.json() == made.headers[FIELD]
    assert (taken.json(), taken.headers[FIELD]) == ("sent-1", "sent-1")


@pytest.mark.parametrize(
    "value",
    [
        *("a", "A-b_c.d~e", "7f9c:1/2+3=@", "x" * 128),
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "Root=1-67891233-abcdef012345678912345678".replace("=", ":"),
    ],
)
def test_an_id_that_is_taken(value: str) -> None:
    with serving(native_app(), request_id_header=FIELD) as server:
        assert server.client.get("/", headers={FIELD: value}).headers[FIELD] == value


@pytest.mark.parametrize(
    "fields",
    [
        *(b"X-Request-ID: " + value for value in (b"", b"a b", b"a,b", b"a\x80", b'"a"', b"a;b")),
        b"X-Request-ID: " + b"x" * 129,
        b"X-Request-ID: a\r\nX-Request-ID: b",
        b"X_Request_ID: a",
        b"X-Request-Id2: a",
    ],
)
def test_an_id_that_is_not_taken(fields: bytes) -> None:
    with serving(native_app(), request_id_header=FIELD) as server:
        answer = server.exchange(
            b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\n\r\n" % fields
        )
    (found,) = re.findall(rb"\r\nx-request-id: (.*)\r\n", answer)
    assert MADE.fullmatch(found.decode())
    assert answer.endswith(b'"%s"' % found)


@pytest.mark.parametrize("allowed", [(), ("10.0.0.1",)])
def test_a_peer_that_is_not_trusted(allowed: tuple[str, ...]) -> None:
    options = {"request_id_header": FIELD, "forwarded_allow_ips": allowed}
    with serving(native_app(), **options) as server:
        answer = server.client.get("/", headers={FIELD: "sent"})
    assert MADE.fullmatch(answer.headers[FIELD])


def test_trust_does_not_hang_on_other_fields() -> None:
    with serving(native_app(), request_id_header=FIELD, forwarded_fields=()) as server:
        assert server.client.get("/", headers={FIELD: "sent"}).headers[FIELD] == "sent"


def test_behind_the_proxy_protocol_the_client_counts() -> None:
    """The proxy passes the client's fields on as they are."""
    request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Request-ID: sent\r\n\r\n"
    with serving(native_app(), request_id_header=FIELD, proxy_protocol=True) as server:
        far = server.exchange(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + request)
        near = server.exchange(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + request)
    assert b"x-request-id: sent\r\n" not in far
    assert b"x-request-id: sent\r\n" in near


def test_ids_differ_from_each_other_and_between_servers() -> None:
    ids: set[str] = set()
    for _ in range(2):
        with serving(native_app(), request_id_header=FIELD) as server:
            ids |= {server.client.get("/").headers[FIELD] for _ in range(50)}
    assert len(ids) == 100


@pytest.mark.parametrize(
    ("request_", "status", "known"),
    [
        (b"GET /none HTTP/1.1\r\nHost: h\r\nX-Request-ID: sent\r\n\r\n", 404, True),
        (b"DELETE / HTTP/1.1\r\nHost: h\r\nX-Request-ID: sent\r\n\r\n", 405, True),
        (b"GET / HTTP/1.1\r\nX-Request-ID: sent\r\n\r\n", 400, True),
        (b"GET / HTTP/1.1\r\nX-Request-ID: sent\r\nHost: h\r\nbad line\r\n\r\n", 400, True),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"x" * 70000 + b"\r\n\r\n", 431, False),
        (b"\x16\x03\x01\r\n\r\n", 400, False),
    ],
)
def test_responses_of_the_server_itself(request_: bytes, status: int, known: bool) -> None:
    request_ = request_.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with serving(native_app(), request_id_header=FIELD) as server:
        answer = server.exchange(request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    (found,) = re.findall(rb"\r\nx-request-id: (.*)\r\n", answer)
    assert found == b"sent" if known else MADE.fullmatch(found.decode())


def test_a_handshake() -> None:
    with serving(native_app(), request_id_header=FIELD) as server:
        answer = server.exchange(SOCKET)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nx-request-id: sent.1\r\n" in answer
    assert b"\x81\x06sent.1" in answer


def test_a_field_that_the_app_sets_itself() -> None:
    app = App()

    @app.get("/")
    async def own() -> Any:
        from fluvial.responses import Response

        return Response(b"", headers={"A": "1", "x-ReQuest-id": "own", "B": "2"})

    with serving(app, request_id_header=FIELD) as server:
        assert server.client.get("/").headers.get_list(FIELD) == ["own"]


def test_without_the_option_there_are_none() -> None:
    app = App()

    @app.get("/")
    async def ask(request: Request) -> bool:
        return "request_id" in request.state

    with serving(app) as server:
        answer = server.client.get("/", headers={FIELD: "sent"})
    assert answer.json() is False
    assert FIELD not in answer.headers


def lines(tmp_path: Path, layout: str, *exchanges: Any, **options: Any) -> list[str]:
    """The access log's lines of exchanges with an app that has ids."""
    path = tmp_path / "access.log"
    log = {"access_log": True, "access_log_file": str(path), "access_logformat": layout}
    with serving(native_app(), request_id_header=FIELD, **log, **options) as server:
        for exchange in exchanges:
            exchange(server)
    return path.read_text().splitlines()


def test_in_the_log(tmp_path: Path) -> None:
    ids: list[str] = []

    def ask(server: Served) -> None:
        ids.append(server.client.get("/").headers[FIELD])

    def refused(server: Served) -> None:
        answer = server.exchange(b"\x16\x03\x01\r\n\r\n")
        ids.append(re.findall(rb"x-request-id: (.*)\r\n", answer)[0].decode())

    assert lines(tmp_path, "%(request_id)s", ask, refused) == ids


@pytest.mark.parametrize(
    "name", ["a b", "X_Request_ID", "Content-Length", "transfer-encoding", "é", "x" * 65, "a:"]
)
def test_a_name_that_can_not_be_one(name: str) -> None:
    with pytest.raises(ValueError, match="request_id_header"):
        Config(request_id_header=name)
