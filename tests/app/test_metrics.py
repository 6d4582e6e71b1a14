"""Metrics of one process: what is counted, under which labels, in which format."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fluvial import App, Config, WebSocket
from fluvial._serving.metrics_memory import LAYOUT
from litestar import Litestar, get
from litestar.params import FromPath  # noqa: TC002  # read from a signature
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from support.metrics import PATIENCE, Scraped, scraped, until
from support.serving import Served, serving
from support.ws_client import upgraded

if TYPE_CHECKING:
    from starlette.requests import Request as StarletteRequest
    from starlette.websockets import WebSocket as StarletteWebSocket
    from support.certificate import Certificate

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def make_app() -> App:
    app = App()

    @app.get("/items/{number}")
    async def item(number: int) -> int:
        return number

    @app.get("/sync")
    def sync() -> None: ...

    @app.websocket("/ws/{name}")
    async def talk(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text() + name)

    return app


def port_of(server: Served) -> str:
    """The URL of the metrics on a port of their own."""
    assert server.service is not None
    assert server.service._monitoring.metrics is not None
    (url,) = server.service._monitoring.metrics.addresses
    return url


def scrape(server: Served, **headers: str) -> Scraped:
    """What the server tells, at its own path or port."""
    assert server.service is not None
    config = server.service._config
    url = f"{server.url}/metrics" if config.metrics.startswith("/") else port_of(server)
    answer = httpx.get(url, headers=headers, verify=server.context or False, timeout=PATIENCE)
    assert answer.status_code == 200
    return scraped(answer.text)


def tls(certificate: Certificate) -> dict[str, str]:
    return {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body"})


def test_requests_by_route_method_and_status() -> None:
    app = make_app()
    app.mount("/below", asgi_app)
    with serving(app, metrics="/metrics", health=True) as server:
        client = server.client
        for path in ("/items/1", "/items/2", "/items/x", "/sync", "/none", "/nothing"):
            client.get(path)
        client.head("/items/3")
        client.get("/below/x")
        client.get("/-/ready")
        client.request("PROPFIND", "/none")
        client.request("MKCOL", "/none")
        server.exchange(b"\x16\x03\x01\r\n\r\n")
        found = until(
            lambda: scrape(server), lambda got: ("/metrics", "GET", "200") in got.requests()
        )
    requests = found.requests()
    del requests["/metrics", "GET", "200"]
    assert requests == {
        ("/items/{number}", "GET", "200"): 2,
        ("/items/{number}", "GET", "422"): 1,
        ("/items/{number}", "HEAD", "200"): 1,
        ("/sync", "GET", "200"): 1,
        ("/below", "GET", "201"): 1,
        ("/-/ready", "GET", "200"): 1,
        ("none", "GET", "404"): 2,
        ("none", "OTHER", "404"): 2,
        ("invalid", "OTHER", "400"): 1,
    }


def test_an_app_of_another_interface() -> None:
    with serving(asgi_app, metrics="/metrics", lifespan="off") as server:
        server.client.get("/any")
        assert scrape(server).requests() == {("app", "GET", "201"): 1}


def starlette_app() -> Starlette:
    async def item(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse(request.path_params["number"])

    async def talk(websocket: StarletteWebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    routes: list[BaseRoute] = [
        Route("/items/{number}", item),
        WebSocketRoute("/ws/{name}", talk),
    ]
    return Starlette(routes=routes)


def litestar_app() -> Litestar:
    @get("/items/{number:int}", sync_to_thread=False)
    def item(number: FromPath[int]) -> int:
        return number

    return Litestar([item])


def test_routes_of_an_asgi_app() -> None:
    with serving(starlette_app(), metrics="/metrics") as server:
        for number in range(3):
            server.client.get(f"/items/{number}")
        server.client.get("/nothing")
        upgraded(server, "/ws/a").sock.close()
        assert scrape(server).requests() == {
            ("/items/{number}", "GET", "200"): 3,
            ("app", "GET", "404"): 1,
            ("/ws/{name}", "GET", "101"): 1,
        }


@pytest.mark.parametrize("make", [starlette_app, litestar_app])
def test_routes_of_an_asgi_app_that_is_mounted(make: Any) -> None:
    app = make_app()
    app.mount("/below", make())
    with serving(app, metrics="/metrics") as server:
        server.client.get("/below/items/1")
        server.client.get("/below/nothing")
        server.client.get("/items/2")
        assert scrape(server).requests() == {
            ("/below/items/{number}", "GET", "200"): 1,
            ("/below", "GET", "404"): 1,
            ("/items/{number}", "GET", "200"): 1,
        }


class RouteOf:
    def __init__(self, path: object) -> None:
        self.path = path


@pytest.mark.parametrize("route", [None, RouteOf(b"/x"), RouteOf(""), RouteOf("\udc80"), "/x"])
def test_what_is_no_route_of_an_asgi_app(route: object) -> None:
    async def odd_app(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = route
        await asgi_app(scope, receive, send)

    with serving(odd_app, metrics="/metrics", lifespan="off") as server:
        server.client.get("/any")
        assert scrape(server).requests() == {("app", "GET", "201"): 1}


def test_routes_of_an_asgi_app_are_bounded() -> None:
    async def every_path(scope: Any, receive: Any, send: Any) -> None:
        scope["path_template"] = scope["path"]
        await asgi_app(scope, receive, send)

    options: dict[str, Any] = {"metrics": "/metrics", "metrics_series": 5000, "lifespan": "off"}
    with serving(every_path, **options) as server:
        for number in range(1100):
            server.client.get(f"/{number}")
        counts = scrape(server).requests()
    assert len(counts) == 1025
    assert counts["app", "GET", "201"] == 1100 - 1024


@pytest.mark.parametrize("found", [None, b"/x", 5, "", "\udc80"])
def test_what_is_no_route_of_a_wsgi_app(found: object) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["werkzeug.request"] = SimpleNamespace(url_rule=SimpleNamespace(rule=found))
        start_response("201 Created", [])
        return []

    with serving(app, metrics="/metrics") as server:
        server.client.get("/any")
        assert scrape(server).requests() == {("app", "GET", "201"): 1}


def test_a_route_that_cannot_be_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    class Odd:
        @property
        def rule(self) -> str:
            raise RuntimeError("no rule")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["bottle.route"] = Odd()
        start_response("201 Created", [])
        return [b"body"]

    with serving(app, metrics="/metrics") as server:
        assert server.client.get("/any").text == "body"
        assert scrape(server).requests() == {("app", "GET", "201"): 1}
    assert "the route of a request could not be read" in caplog.text


def test_times_are_by_route_and_complete() -> None:
    with serving(make_app(), metrics="/metrics") as server:
        for number in range(5):
            server.client.get(f"/items/{number}")
        server.client.get("/items/x")
        found = scrape(server)
    name = "fluvial_request_duration_seconds"
    labels = 'route="/items/{number}",method="GET"'
    buckets = [v for k, v in found.items() if k.startswith(f"{name}_bucket{{{labels}")]
    assert len(buckets) == 15
    assert buckets == sorted(buckets)
    assert buckets[-1] == found[f"{name}_count{{{labels}}}"] == 6
    assert found[f'{name}_bucket{{{labels},le="+Inf"}}'] == 6
    assert found[f"{name}_sum{{{labels}}}"] > 0


def test_a_websocket_counts_as_a_request_without_a_time_of_its_own() -> None:
    with serving(make_app(), metrics="/metrics") as server:
        client = upgraded(server, "/ws/me")
        opened = until(lambda: scrape(server), lambda got: got["fluvial_websockets"] == 1)
        client.sock.close()
        closed = until(lambda: scrape(server), lambda got: got["fluvial_websockets"] == 0)
    assert opened.requests()["/ws/{name}", "GET", "101"] == 1
    assert closed.requests()["/ws/{name}", "GET", "101"] == 1
    assert closed["fluvial_websockets_accepted_total"] == 1


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5", True),
        ("text/plain;q=0.5, Application/OpenMetrics-Text", True),
        ("application/openmetrics-text;q=0,*/*", False),
        ("text/plain", False),
        ("*/*", False),
    ],
)
def test_the_format_is_that_which_is_accepted(accept: str, openmetrics: bool) -> None:
    with serving(make_app(), metrics="/metrics") as server:
        server.client.get("/items/1")
        answer = server.client.get("/metrics", headers={"accept": accept})
    expected = OPEN if openmetrics else "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["content-type"] == expected
    found = scraped(answer.text)
    assert answer.text.endswith("# EOF\n") is openmetrics
    assert found.requests() == {("/items/{number}", "GET", "200"): 1}


def test_labels_are_escaped() -> None:
    app = App()
    path = '/a"b\\c'

    @app.get(path)
    async def odd() -> None: ...

    with serving(app, metrics="/metrics") as server:
        server.client.get("/a%22b%5Cc")
        (route, _, status), *_ = scrape(server).requests()
    assert (route, status) == ('/a\\"b\\\\c', "200")


def test_methods() -> None:
    with serving(make_app(), metrics="/metrics") as server:
        assert server.client.head("/metrics").status_code == 200
        assert server.client.post("/metrics").status_code == 405


def test_what_has_no_room_counts_as_other() -> None:
    app = App()
    for number in range(30):
        app.get(f"/{number}")(lambda: None)
    with serving(app, metrics="/metrics", metrics_series=10) as server:
        for _ in range(2):
            for number in range(30):
                server.client.get(f"/{number}")
        found = scrape(server).requests()
    assert len(found) == 10
    assert found["other", "other", "other"] == 2 * (30 - 9)
    assert sum(found.values()) == 60


def test_a_port_of_its_own() -> None:
    with serving(make_app(), metrics="127.0.0.1:0", health=True) as server:
        url = port_of(server).removesuffix("/metrics")
        assert server.client.get("/metrics").status_code == 404
        assert httpx.get(f"{url}/items/1").status_code == 404
        assert httpx.get(f"{url}/-/ready").json() == {"status": "ready"}
        assert scrape(server).requests() == {("none", "GET", "404"): 1}


def test_bytes_and_connections() -> None:
    request = b"GET /items/1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    with serving(make_app(), metrics="127.0.0.1:0") as server:
        answer = server.exchange(request)
        found = until(lambda: scrape(server), lambda got: got["fluvial_connections"] == 0)
        with server.connect():
            until(lambda: scrape(server), lambda got: got["fluvial_connections"] == 1)
    assert found["fluvial_received_bytes_total"] == len(request)
    assert found["fluvial_sent_bytes_total"] == len(answer)
    assert found["fluvial_connections_accepted_total"] == 1


def test_an_idle_loop_tells_what_was_left_untold() -> None:
    with serving(make_app(), metrics="/metrics") as server:
        assert server.service is not None
        assert server.service._monitoring.metrics is not None
        memory = server.service._monitoring.metrics._counting.memory
        at = memory.at(0) + LAYOUT["open"]
        socket.create_connection(server.address).close()  # at once: twice within 50 ms
        until(lambda: memory.words[memory.at(0) + LAYOUT["accepted"]], lambda n: n == 1)
        until(lambda: memory.words[at], lambda n: n == 0)


def test_threads_and_requests_in_flight() -> None:
    go_on = threading.Event()
    app = App()

    @app.get("/")
    def wait() -> None:
        go_on.wait(60)

    options: dict[str, Any] = {"threads": 1, "metrics": "127.0.0.1:0"}
    with serving(app, **options) as server, server.connect() as one, server.connect() as two:
        for sock in (one, two):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        found = until(
            lambda: scrape(server),
            lambda got: got["fluvial_pool_queue"] == 1 and got["fluvial_pool_threads_busy"] == 1,
        )
        go_on.set()
        assert one.recv(12) == two.recv(12) == b"HTTP/1.1 200"
        end = until(lambda: scrape(server), lambda got: got["fluvial_requests_in_flight"] == 0)
    assert found["fluvial_requests_in_flight"] == 2
    assert found["fluvial_pool_saturation_ratio"] == 2
    assert found["fluvial_pool_threads_max"] == 1
    assert end["fluvial_pool_jobs_total"] == end["fluvial_pool_wait_seconds_count"] == 2
    assert end["fluvial_pool_wait_seconds_sum"] > 0


def test_tls_handshakes(certificate: Certificate) -> None:
    with serving(make_app(), metrics="127.0.0.1:0", **tls(certificate)) as server:
        server.client.get("/items/1")
        with server.connect_plain() as sock, pytest.raises((ssl.SSLError, OSError)):
            ssl.create_default_context().wrap_socket(sock, server_hostname="localhost")
        found = until(
            lambda: scrape(server),
            lambda got: got['fluvial_tls_handshakes_total{result="failed"}'] == 1,
        )
    assert found['fluvial_tls_handshakes_total{result="done"}'] == 1


def test_rejected_requests_and_the_process() -> None:
    with serving(make_app(), metrics="/metrics") as server:
        server.exchange(b"GET / HTTP/1.1\r\n\r\n")
        found = scrape(server)
    assert found["fluvial_requests_rejected_total"] == 1
    assert found["fluvial_workers"] == found["fluvial_workers_ready"] == 1
    assert found["fluvial_worker_starts_total"] == 1
    assert found["fluvial_worker_restarts_total"] == 0
    assert found.sum("fluvial_worker_resident_memory_bytes") > 2**20


def test_the_time_for_which_the_loop_is_away() -> None:
    app = App()

    @app.get("/")
    async def block() -> None:
        time.sleep(0.3)  # noqa: ASYNC251

    with serving(app, metrics="/metrics") as server:
        server.client.get("/")
        found = scrape(server)
    name = "fluvial_loop_lag_seconds"
    assert found[f"{name}_count"] - found[f'{name}_bucket{{le="0.25"}}'] >= 1
    assert found[f"{name}_sum"] >= 0.25


def test_nothing_is_counted_unless_asked() -> None:
    with serving(make_app()) as server:
        assert server.client.get("/metrics").status_code == 404


@pytest.mark.parametrize(
    "text", ["metrics", "/a b", "/a?b", "/%20", "1.2.3.4", "unix:/x", "fd://3", "h:99999", ":"]
)
def test_where_metrics_can_not_be(text: str) -> None:
    with pytest.raises(ValueError, match="metrics must be"):
        Config(metrics=text)


def test_the_dashboard_and_the_guide_name_what_there_is(certificate: Certificate) -> None:
    with serving(make_app(), metrics="/metrics", **tls(certificate)) as server:
        server.client.get("/items/1")
        server.client.get("/sync")
        found = scrape(server)
    names = {key.split("{")[0] for key in found}
    dashboard = json.loads((GUIDE / "grafana.json").read_text())
    queries = [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", ())]
    assert len(queries) > 10
    used = {name for query in queries for name in re.findall(r"\bfluvial_\w+", query)}
    assert used <= names
    guide = (GUIDE / "metrics.md").read_text()
    told = set(re.findall(r"`(fluvial_\w+)`", guide))
    assert told == set(found.types)
    labels = {label for query in queries for label in re.findall(r"by \(([\w, ]+)\)", query)}
    known = {"le", *(re.findall(r'(\w+)="', " ".join(found)))}
    assert {each.strip() for label in labels for each in label.split(",")} <= known
