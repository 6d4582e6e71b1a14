"""Behind a real nginx and a real haproxy: over TCP, Unix sockets, TLS, with WebSockets."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fluvial import App, Request, WebSocket
from fluvial.responses import RedirectResponse
from support.proxies import NGINX_FIELDS, haproxy, nginx
from support.tls_socket import TlsSocket, client_context
from support.ws_client import Client

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from support.certificate import Certificate

# Clients' address: the proxies, which are trusted, connect from 127.0.0.1.
CLIENT = "127.0.0.2"

# What a client may send to pass for somebody else.
LIES = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
    "X_Forwarded_For": "203.0.113.9",
}


@pytest.fixture(scope="module")
def app() -> App:
    app = App(openapi_url=None)

    def tell(request: Any) -> dict[str, Any]:
        return {
            "client": request.client and request.client.host,
            "url": str(request.url),
            "for": str(request.url_for("tell")),
            "peer": request.scope["server"],
        }

    @app.get("/tell", name="tell")
    async def tell_request(request: Request) -> dict[str, Any]:
        return tell(request)

    @app.get("/away")
    async def away(request: Request) -> RedirectResponse:
        return RedirectResponse(request.url_for("tell"))

    @app.get("/slash/")
    async def slash() -> int:
        return 1

    @app.websocket("/tell")
    async def tell_websocket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(json.dumps(tell(websocket)))

    return app


def upstream(served: Any, unix: str = "unix:") -> str:
    """The served app as the proxies' configurations name it."""
    address = served.address
    return f"{unix}{address}" if isinstance(address, str) else f"{address[0]}:{address[1]}"


def client_of(port: int, context: ssl.SSLContext | None = None) -> httpx.Client:
    """A client of the proxy."""
    scheme = "http" if context is None else "https"
    transport = httpx.HTTPTransport(
        verify=context or False, local_address=CLIENT, limits=httpx.Limits(max_connections=8)
    )
    base = f"{scheme}://localhost:{port}"
    return httpx.Client(transport=transport, base_url=base, trust_env=False, timeout=30)


@pytest.fixture(params=["TCP", "Unix", "TLS"])
def behind(request: Any, serve: Any, app: App, tmp_path: Path, certificate: Certificate) -> Any:
    """Serves with options over TCP, a Unix socket or TLS."""
    kind = request.param
    options = {"uds": str(tmp_path / "socket")} if kind == "Unix" else {}
    if kind == "TLS":
        options = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    return kind, lambda **more: serve(app, **options, **more)


def check(port: int, scheme: str, context: ssl.SSLContext | None = None) -> None:
    """The app sees who asks, over one connection and many, lies or not."""
    url = f"{scheme}://localhost:{port}"
    with client_of(port, context) as client:
        for headers in ({}, LIES):
            told = client.get("/tell", headers=headers).json()
            assert told["client"] == CLIENT
            assert (told["url"], told["for"]) == (f"{url}/tell", f"{url}/tell")
        assert client.get("/away").headers["location"] == f"{url}/tell"
        assert client.get("/slash").headers["location"].removeprefix(url) == "/slash/"
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda _: client.get("/tell").json()["for"], range(50)))
        assert set(told) == {f"{url}/tell"}


def check_websocket(port: int, context: ssl.SSLContext | None = None) -> None:
    """A WebSocket through the proxy."""
    sock: Any = socket.create_connection(("127.0.0.1", port), source_address=(CLIENT, 0))
    sock.settimeout(30)
    if context is not None:
        sock = TlsSocket(sock, context).handshake()
    with Client(sock) as ws:
        ws.open("/tell", [f"{name}: {value}" for name, value in LIES.items()])
        told = json.loads(ws.read().payload)
    assert told["client"] == CLIENT
    assert told["url"] == f"{'ws' if context is None else 'wss'}://test/tell"


def test_nginx(behind, tmp_path) -> None:
    kind, serving = behind
    scheme = "https" if kind == "TLS" else "http"
    with nginx(tmp_path, upstream(serving()), scheme=scheme) as port:
        check(port, "http")
        check_websocket(port)


def test_nginx_that_ends_tls(behind, tmp_path, certificate) -> None:
    kind, serving = behind
    scheme = "https" if kind == "TLS" else "http"
    tls = f"ssl_certificate {certificate.cert}; ssl_certificate_key {certificate.key};"
    context = client_context(certificate.cert)
    with nginx(tmp_path, upstream(serving()), scheme=scheme, server=tls, options=" ssl") as port:
        check(port, "https", context)
        check_websocket(port, context)


def test_nginx_that_is_not_trusted(behind, tmp_path) -> None:
    kind, serving = behind
    scheme = "https" if kind == "TLS" else "http"
    served = serving(forwarded_allow_ips="192.0.2.0/24")
    with nginx(tmp_path, upstream(served), scheme=scheme) as port, client_of(port) as client:
        told = client.get("/tell", headers=LIES).json()
        assert told["client"] == (None if kind == "Unix" else "127.0.0.1")
        assert told["url"] == f"{scheme}://localhost:{port}/tell"


def test_nginx_that_removes_a_prefix(behind, tmp_path) -> None:
    kind, serving = behind
    scheme = "https" if kind == "TLS" else "http"
    fields = NGINX_FIELDS.replace('X-Forwarded-Prefix ""', "X-Forwarded-Prefix /api")
    fields += "rewrite ^/api(/.*)$ $1 break;"
    with (
        nginx(tmp_path, upstream(serving()), scheme=scheme, fields=fields) as port,
        client_of(port) as client,
    ):
        url = f"http://localhost:{port}/api"
        told = client.get("/api/tell", headers=LIES).json()
        assert (told["url"], told["for"]) == (f"{url}/tell", f"{url}/tell")
        assert client.get("/api/slash").headers["location"] == "/api/slash/"
        assert client.get("/api/away").headers["location"] == f"{url}/tell"


def test_two_nginx(serve, app, tmp_path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with nginx(tmp_path / "one", upstream(serve(app))) as inner:
        # The second one passes on what the first one sends, and appends its own peer.
        fields = NGINX_FIELDS.replace("For $proxy_add_x_forwarded_for", "For 198.51.100.7")
        with (
            nginx(tmp_path / "two", f"127.0.0.1:{inner}", fields=fields) as outer,
            client_of(outer) as client,
        ):
            told = client.get("/tell", headers=LIES).json()
            assert told["client"] == "198.51.100.7"


HAPROXY_FIELDS = """
    http-request del-header X-Forwarded-Host
    http-request del-header X-Forwarded-Port
    http-request del-header X-Forwarded-Prefix
    http-request del-header Forwarded
    http-request set-header X-Forwarded-Proto http unless { ssl_fc }
    http-request set-header X-Forwarded-Proto https if { ssl_fc }
"""


def test_haproxy(behind, tmp_path) -> None:
    kind, serving = behind
    server = "ssl verify none" if kind == "TLS" else ""
    with haproxy(
        *(tmp_path, upstream(serving(), "unix@")),
        **{"defaults": "option forwardfor", "frontend": HAPROXY_FIELDS, "server": server},
    ) as port:
        check(port, "http")
        check_websocket(port)


def test_haproxy_that_ends_tls(behind, tmp_path, certificate) -> None:
    kind, serving = behind
    both = tmp_path / "both.pem"
    both.write_text(certificate.cert.read_text() + certificate.key.read_text())
    context = client_context(certificate.cert)
    with haproxy(
        *(tmp_path, upstream(serving(), "unix@")),
        **{"defaults": "option forwardfor", "frontend": HAPROXY_FIELDS, "bind": f"ssl crt {both}"},
        server="ssl verify none" if kind == "TLS" else "",
    ) as port:
        check(port, "https", context)
        check_websocket(port, context)


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl"])
def test_haproxy_with_the_proxy_protocol(behind, tmp_path, certificate, version) -> None:
    """It passes bytes on; with TLS the app ends it, and haproxy sends its header before."""
    kind, serving = behind
    served = serving(proxy_protocol=True)
    with haproxy(
        tmp_path, upstream(served, "unix@"), mode="tcp", server=f"{version} check"
    ) as port:
        context = client_context(certificate.cert) if kind == "TLS" else None
        scheme = "http" if context is None else "https"
        with client_of(port, context) as client:
            for _ in range(3):
                told = client.get("/tell", headers=LIES).json()
                assert told["client"] == CLIENT
                assert told["url"] == f"{scheme}://localhost:{port}/tell"
                assert told["peer"] == ["127.0.0.1", port]
        check_websocket(port, context)


def test_haproxy_that_ends_tls_and_passes_bytes_on(serve, app, tmp_path, certificate) -> None:
    both = tmp_path / "both.pem"
    both.write_text(certificate.cert.read_text() + certificate.key.read_text())
    served = serve(app, proxy_protocol=True)
    with (
        haproxy(
            *(tmp_path, upstream(served)),
            **{"mode": "tcp", "bind": f"ssl crt {both}", "server": "send-proxy-v2-ssl"},
        ) as port,
        client_of(port, client_context(certificate.cert)) as client,
    ):
        assert client.get("/tell", headers=LIES).json()["url"] == f"https://localhost:{port}/tell"
