"""`allowed_hosts`: which hosts requests may name."""

from __future__ import annotations

import pytest
from fluvial import App, Request, WebSocket
from support.ws_client import Client


@pytest.fixture(scope="module")
def app() -> App:
    app = App(openapi_url=None)
    app.get("/")(lambda: 1)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()

    return app


HOSTS = {
    "example.org": 200,
    "EXAMPLE.org": 200,
    "example.org.": 200,
    "example.org:8080": 200,
    "a.example.net": 200,
    "b.a.example.net:1": 200,
    "[::1]:80": 200,
    "example.net": 400,
    ".example.net": 400,
    "evilexample.net": 400,
    "evil.org": 400,
    "example.org.evil.org": 400,
    "127.0.0.1": 400,
    "[::2]": 400,
}
ALLOWED = ("example.org", "*.Example.net", "[::1]")


@pytest.mark.parametrize("host", HOSTS)
def test_hosts(serve, app, host) -> None:
    served = serve(app, allowed_hosts=ALLOWED)
    answer = served.client.get("/", headers={"host": host})
    assert answer.status_code == HOSTS[host]
    if answer.status_code == 400:
        assert answer.json() == {"detail": "The Host field names no allowed host"}


def test_what_counts_is_the_host_that_was_forwarded(serve, app) -> None:
    served = serve(app, allowed_hosts=ALLOWED)
    told = {"host": "example.org", "x-forwarded-host": "evil.org"}
    assert served.client.get("/", headers=told).status_code == 400
    told = {"host": "10.0.0.1", "x-forwarded-host": "example.org"}
    assert served.client.get("/", headers=told).status_code == 200
    served = serve(app, allowed_hosts=ALLOWED, forwarded_allow_ips="")
    assert served.client.get("/", headers=told).status_code == 400


def test_requests_that_name_no_host_as_one_expects(serve, app) -> None:
    served = serve(app, allowed_hosts=ALLOWED)
    assert b" 400 " in served.exchange(b"GET / HTTP/1.0\r\n\r\n").split(b"\r\n")[0]
    absolute = b"GET http://evil.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n"
    assert b" 400 " in served.exchange(absolute).split(b"\r\n")[0]
    absolute = b"GET http://example.org/ HTTP/1.0\r\nHost: evil.org\r\n\r\n"
    assert b" 200 " in served.exchange(absolute).split(b"\r\n")[0]


def test_websockets(serve, app) -> None:
    served = serve(app, allowed_hosts=ALLOWED)
    for host, status in (("example.org", 101), ("evil.org", 400)):
        with served.connect() as sock:
            client = Client(sock)
            sock.sendall(client.request("/ws", [f"Host: {host}"], without=["host"]))
            assert client.answer().status == status


def test_every_host_is_allowed_by_default(serve, app) -> None:
    for options in ({}, {"allowed_hosts": ("*",)}):
        assert serve(app, **options).client.get("/", headers={"host": "x"}).status_code == 200


NEARLY = [b"a.example:80", b"a.example:8x", b"a_example:80", b"a example:80", b"a.example", b""]


@pytest.mark.parametrize("other", NEARLY)
def test_each_request_is_judged_by_its_own_host(serve, app, other) -> None:
    """However many well-formed fields of the server came before, and of whatever length."""
    request = b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
    statuses = {b"a.example:80": 200, b"a_example:80": 200, b"a.example": 200}
    served = serve(app)
    for host in (b"a.example:80", b"a" * 100, b"a.example:80", other, b"a.example:80"):
        first = served.exchange(request % host).split(b"\r\n")[0]
        wanted = statuses.get(host, 200 if host == b"a" * 100 else 400)
        assert first.startswith(b"HTTP/1.1 %d " % wanted), host


def test_a_host_is_passed_on_as_it_came_after_another(serve) -> None:
    app = App(openapi_url=None)

    @app.get("/")
    async def host(request: Request) -> str:
        return request.headers["host"]

    served = serve(app)
    for name in ("a.example", "b.example", "a.example", "b" * 64, "c" * 64, "d" * 65, "d" * 65):
        assert served.client.get("/", headers={"host": name}).json() == name
