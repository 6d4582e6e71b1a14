"""What load balancers ask: /-/live and /-/ready, and the delay in which they see that it ends."""

from __future__ import annotations

import base64
import threading
from typing import Any

import pytest
from fluvial import App, Config
from support.serving import Served, serving


def native_app() -> App:
    app = App()

    @app.get("/-/{name}")
    async def own(name: str) -> str:
        return f"the app's {name}"

    return app


def layered_app() -> App:
    app = native_app()

    @app.middleware("http")
    async def layer(request: Any, call_next: Any) -> Any:
        raise AssertionError("a probe is not for the app")

    return app


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the app's"})


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"the app's"]


APPS = {"native": native_app, "layer": layered_app, "ASGI": lambda: asgi_app}
APPS["WSGI"] = lambda: wsgi_app  # type: ignore[assignment]  # of any kind


@pytest.mark.parametrize("kind", APPS)
def test_whatever_the_app_is(kind: str) -> None:
    with serving(APPS[kind](), health=True) as server:
        live, ready = (server.client.get(f"/-/{name}") for name in ("live", "ready"))
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    assert ready.headers["cache-control"] == "no-store"


def test_only_when_asked_for() -> None:
    with serving(native_app()) as server:
        assert server.client.get("/-/live").json() == "the app's live"


def test_other_paths_are_the_app_s() -> None:
    with serving(native_app(), health=True) as server:
        assert server.client.get("/-/lives").json() == "the app's lives"
        assert server.client.get("/-/liv").json() == "the app's liv"


def test_methods() -> None:
    with serving(native_app(), health=True) as server:
        assert server.client.head("/-/ready").status_code == 200
        refused = server.client.post("/-/ready", content=b"x")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_a_websocket_is_refused() -> None:
    key = base64.b64encode(bytes(16))
    request = b"GET /-/live HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    request += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n" % key
    with serving(native_app(), health=True) as server, server.connect() as sock:
        sock.sendall(request)
        assert sock.recv(12) == b"HTTP/1.1 403"


def test_probes_come_by_address_whatever_hosts_are_allowed() -> None:
    with serving(native_app(), health=True, allowed_hosts=("example.org",)) as server:
        assert server.client.get("/-/ready").status_code == 200
        assert server.client.get("/-/live?x=1").status_code == 200
        assert server.client.get("/-/other").status_code == 400


def test_probes_get_through_when_there_are_too_many_requests() -> None:
    begun, go_on = threading.Event(), threading.Event()
    app = App()

    @app.get("/")
    def wait() -> None:
        begun.set()
        go_on.wait(30)

    request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    with (
        serving(app, health=True, limits={"in_flight": 1}) as server,
        server.connect() as sock,
    ):
        sock.sendall(request)
        assert begun.wait(30)
        assert server.client.get("/").status_code == 503
        assert server.client.get("/-/live").status_code == 200
        go_on.set()
        assert sock.recv(12) == b"HTTP/1.1 200"


def draining(server: Served) -> None:
    """Begins the stop; returns when the server is no longer ready."""
    server.stop()
    while server.client.get("/-/ready").status_code == 200:
        pass


def test_while_it_drains_it_serves_on_but_is_not_ready() -> None:
    with serving(native_app(), health=True, drain_delay=60) as server:
        draining(server)
        ready = server.client.get("/-/ready")
        other = server.new_client().get("/-/other")  # a new connection
        live = server.client.get("/-/live")
        server.stop()  # ends the delay
    assert (ready.status_code, ready.json()) == (503, {"status": "not ready"})
    assert (other.status_code, live.status_code) == (200, 200)
    assert "connection" not in other.headers


def test_the_delay_ends() -> None:
    with serving(native_app(), health=True, drain_delay=0.05) as server:
        server.stop()
        assert server.thread is not None
        server.thread.join(60)
        assert not server.thread.is_alive()


@pytest.mark.parametrize("delay", [-1, "1", 86_401])
def test_a_delay_that_is_none(delay: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="drain_delay"):
        Config(drain_delay=delay)
