"""The "TLS Extension" of the ASGI specification, and schemes."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fluvial import App, Request, WebSocket
from support.asgi import Notes, answering, body, start
from support.certificate import Authority, Certificate
from support.responses import Response
from support.tls_socket import client_context
from support.ws_client import Client
from websockets.sync.client import connect as ws_connect

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Serve
    from support.serving import Served

GET = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def noting(notes: Notes) -> Any:
    """An app that notes scopes; WebSockets are accepted and closed."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        notes.add(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})
        else:
            await send(start())
            await send(body())

    return app


@pytest.fixture
def tls(certificate: Certificate) -> dict[str, str]:
    """Options of a server with TLS."""
    return {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture
def asking(tls: dict[str, str], authority: Authority) -> dict[str, str]:
    """Options of one that asks clients for certificates."""
    return {**tls, "ssl_ca_certs": str(authority.cert), "ssl_cert_reqs": "optional"}


def pem(certificate: Certificate) -> str:
    return certificate.cert.read_text()


# ---- What it says --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "number"), [(ssl.TLSVersion.TLSv1_2, 0x0303), (ssl.TLSVersion.TLSv1_3, 0x0304)]
)
def test_without_a_client_certificate(
    serve: Serve,
    tls: dict[str, str],
    certificate: Certificate,
    version: ssl.TLSVersion,
    number: int,
) -> None:
    notes = Notes()
    served = serve(noting(notes), lifespan="off", **tls)
    context = client_context(certificate.cert)
    context.minimum_version = context.maximum_version = version
    with served.connect(context) as sock:
        sock.sendall(GET)
        assert Response.receive(sock).status == 200
        cipher = sock.tls.cipher()
    scope = notes.next()
    facts = scope["extensions"]["tls"]
    assert cipher is not None
    numbers = {c["name"]: c["id"] & 0xFFFF for c in context.get_ciphers()}
    assert facts == {
        "server_cert": pem(certificate),
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": number,
        "cipher_suite": numbers[cipher[0]],
    }
    assert scope["scheme"] == "https"
    assert list(scope["extensions"]) == ["tls"]


def test_without_tls(serve: Serve) -> None:
    notes = Notes()
    serve(noting(notes), lifespan="off").client.get("/")
    scope = notes.next()
    assert scope["scheme"] == "http"
    assert "tls" not in scope["extensions"]


def test_requests_of_a_connection_share_nothing(serve: Serve, tls: dict[str, str]) -> None:
    notes = Notes()
    served = serve(noting(notes), lifespan="off", **tls)
    served.client.get("/")
    first = notes.next()["extensions"]["tls"]
    first["client_cert_chain"].append("mine")
    first["client_cert_name"] = "me"
    served.client.get("/")
    second = notes.next()["extensions"]["tls"]
    assert (second["client_cert_chain"], second["client_cert_name"]) == ([], None)


def test_websocket(serve: Serve, tls: dict[str, str], certificate: Certificate) -> None:
    notes = Notes()
    served = serve(noting(notes), lifespan="off", **tls)
    with ws_connect(
        served.url.replace("https", "wss"), ssl=client_context(certificate.cert)
    ) as websocket:
        assert list(websocket) == []
    scope = notes.next()
    assert (scope["type"], scope["scheme"]) == ("websocket", "wss")
    assert scope["extensions"]["tls"]["server_cert"] == pem(certificate)
    assert "websocket.http.response" in scope["extensions"]


# ---- Clients' certificates -----------------------------------------------------------------


def test_a_good_client_certificate(
    serve: Serve, asking: dict[str, str], certificate: Certificate, authority: Authority
) -> None:
    client = authority.issue("alice", r"/C=DE/O=Ääh, Inc./OU=a\+b/CN=alice")
    notes = Notes()
    served = serve(noting(notes), lifespan="off", **asking)
    context = client_context(certificate.cert, client)
    for _ in range(2):
        with served.connect(context) as sock:
            sock.sendall(GET)
            assert Response.receive(sock).status == 200
        facts = notes.next()["extensions"]["tls"]
        assert facts["client_cert_chain"] == [pem(client)]
        assert facts["client_cert_name"] == r"CN=alice,OU=a\+b,O=Ääh\, Inc.,C=DE"
        assert facts["client_cert_error"] is None


def test_a_chain(
    serve: Serve,
    asking: dict[str, str],
    certificate: Certificate,
    authority: Authority,
    tmp_path: Path,
) -> None:
    between = Authority(tmp_path, "between", authority)
    client = between.issue("bob", "/CN=bob")
    both = Certificate(tmp_path / "both.crt", client.key)
    both.cert.write_text(pem(client) + pem(Certificate(between.cert, between.key)))
    notes = Notes()
    served = serve(noting(notes), lifespan="off", **asking)
    with served.connect(client_context(certificate.cert, both)) as sock:
        sock.sendall(GET)
        assert Response.receive(sock).status == 200
    facts = notes.next()["extensions"]["tls"]
    assert facts["client_cert_chain"] == [pem(client), between.cert.read_text()]
    assert facts["client_cert_name"] == "CN=bob"


@pytest.mark.parametrize("requirement", ["REQUIRED", "2", ssl.CERT_REQUIRED])
@pytest.mark.parametrize("whose", ["another's", "none"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_others_are_refused(
    serve: Serve,
    asking: dict[str, Any],
    certificate: Certificate,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    requirement: str | int,
    whose: str,
    version: ssl.TLSVersion,
) -> None:
    caplog.set_level("DEBUG", "fluvial")
    client = None
    if whose == "another's":
        client = Authority(tmp_path, "another").issue("eve", "/CN=eve")
    context = client_context(certificate.cert, client)
    context.maximum_version = version
    served = serve(answering(start(), body()), **asking | {"ssl_cert_reqs": requirement})

    def ask() -> int:
        with served.connect(context) as sock:
            sock.sendall(GET)
            return Response.receive(sock).status

    with pytest.raises((ssl.SSLError, ConnectionResetError, BrokenPipeError)):
        ask()
    served.finish()
    reason = "unable to get local issuer certificate" if client else "did not return a certificate"
    (line,) = [record for record in caplog.records if "TLS handshake" in record.message]
    assert line.levelname == "DEBUG"
    assert line.message.startswith("TLS handshake with 127.0.0.1 failed: ")
    assert reason in line.message


@pytest.mark.parametrize("requirement", ["optional", 1])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_where_it_is_optional_apps_learn_what_is_wrong(
    serve: Serve,
    asking: dict[str, Any],
    certificate: Certificate,
    tmp_path: Path,
    requirement: str | int,
    version: ssl.TLSVersion,
) -> None:
    eve = Authority(tmp_path, "another").issue("eve", "/CN=alice")
    notes = Notes()
    options = asking | {"ssl_cert_reqs": requirement}
    served = serve(noting(notes), lifespan="off", **options)
    for client in (None, eve):
        context = client_context(certificate.cert, client)
        context.maximum_version = version
        with served.connect(context) as sock:
            sock.sendall(GET)
            assert Response.receive(sock).status == 200
        facts = notes.next()["extensions"]["tls"]
        assert facts["client_cert_name"] is None
        bad = "unable to verify the first certificate"
        assert facts["client_cert_error"] == (None if client is None else bad)
        assert facts["client_cert_chain"] == ([] if client is None else [pem(eve)])


def ask_and_resume(served: Served, context: ssl.SSLContext) -> None:
    """Two requests: the second one on a connection with the first one's session."""
    with served.connect(context) as sock:
        sock.sendall(GET)
        assert Response.receive(sock).status == 200
        session = sock.tls.session
    with served.connect(context, session) as sock:
        sock.sendall(GET)
        assert Response.receive(sock).status == 200
        assert sock.tls.session_reused


def test_a_resumed_session_has_the_error_still(
    serve: Serve, asking: dict[str, str], certificate: Certificate, tmp_path: Path
) -> None:
    eve = Authority(tmp_path, "another").issue("eve", "/CN=alice")
    notes = Notes()
    served = serve(noting(notes), lifespan="off", **asking)
    ask_and_resume(served, client_context(certificate.cert, eve))
    for _ in range(2):
        facts = notes.next()["extensions"]["tls"]
        assert facts["client_cert_name"] is None
        assert facts["client_cert_error"] == "unable to verify the first certificate"


def test_a_certificate_that_was_revoked(
    serve: Serve, asking: dict[str, str], certificate: Certificate, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "authority")
    good, bad = authority.issue("good", "/CN=good"), authority.issue("bad", "/CN=bad")
    crl = authority.revoke(bad)
    notes = Notes()
    options = asking | {"ssl_ca_certs": str(authority.cert), "ssl_crl": str(crl)}
    served = serve(noting(notes), lifespan="off", **options)
    for client in (good, bad):
        with served.connect(client_context(certificate.cert, client)) as sock:
            sock.sendall(GET)
            assert Response.receive(sock).status == 200
    facts = [notes.next()["extensions"]["tls"] for _ in range(2)]
    assert [each["client_cert_name"] for each in facts] == ["CN=good", None]
    assert [each["client_cert_error"] for each in facts] == [None, "certificate revoked"]


def test_the_minimum_version(serve: Serve, tls: dict[str, str], certificate: Certificate) -> None:
    served = serve(answering(start(), body()), ssl_minimum_version="TLSv1.3", **tls)
    context = client_context(certificate.cert)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        served.connect(context)
    assert served.client.get("/").status_code == 200


def test_a_resumed_session_has_the_certificate_still(
    serve: Serve, asking: dict[str, str], certificate: Certificate, authority: Authority
) -> None:
    client = authority.issue("carol", "/CN=carol")
    notes = Notes()
    served = serve(noting(notes), lifespan="off", **asking)
    ask_and_resume(served, client_context(certificate.cert, client))
    for _ in range(2):
        facts = notes.next()["extensions"]["tls"]
        assert facts["client_cert_chain"] == [pem(client)]
        assert facts["client_cert_name"] == "CN=carol"


# ---- Fluvial's own apps --------------------------------------------------------------------


def make_app() -> App:
    app = App()

    @app.get("/url")
    async def url(request: Request) -> list[Any]:
        return [str(request.url), str(request.base_url), request.url.is_secure, request.tls]

    @app.get("/thread")
    def thread(request: Request) -> list[Any]:
        return [str(request.url), request.is_secure, request.tls]

    @app.websocket("/ws")
    async def websocket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json([str(websocket.url), websocket.tls])

    return app


def test_urls(serve: Serve, tls: dict[str, str], certificate: Certificate) -> None:
    served = serve(make_app(), **tls)
    url, base, is_secure, facts = served.client.get("/url?a=b").json()
    assert (url, base, is_secure) == (f"{served.url}/url?a=b", f"{served.url}/", True)
    assert facts["server_cert"] == pem(certificate)
    assert served.client.get("/thread").json() == [f"{served.url}/thread", True, facts]
    address = served.url.replace("https", "wss") + "/ws"
    with ws_connect(address, ssl=client_context(certificate.cert)) as client:
        assert client.recv() == httpx.Response(200, json=[address, facts]).text
    with served.connect() as sock:
        sock.sendall(b"GET /url HTTP/1.0\r\n\r\n")
        assert f'"{served.url}/url"'.encode() in Response.receive(sock).body


def test_urls_without_tls(serve: Serve) -> None:
    served = serve(make_app())
    assert served.client.get("/url").json() == [f"{served.url}/url", f"{served.url}/", False, None]
    assert served.client.get("/thread").json() == [f"{served.url}/thread", False, None]
    with Client(served.connect()) as client:
        client.open("/ws")
        assert client.read().payload == b'["ws://test/ws",null]'


@pytest.mark.parametrize("middleware", [False, True])
def test_mounted_apps(serve: Serve, tls: dict[str, str], middleware: bool) -> None:
    notes = Notes()
    app = App()
    app.mount("/below", noting(notes))
    if middleware:

        @app.middleware()
        async def around(request: Any, call_next: Any) -> Any:
            return await call_next(request)

    served = serve(app, **tls)
    assert served.client.get("/below").status_code == 200
    while (scope := notes.next())["type"] == "lifespan":
        continue
    assert scope["scheme"] == "https"
    assert scope["extensions"]["tls"]["tls_version"] == 0x0304
