"""What proxies say of a request's client: who is believed, and what of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fluvial import App, Request, WebSocket
from fluvial.responses import RedirectResponse
from support.ws_client import connect

LOCAL = "127.0.0.1"


class Around:
    """ASGI middleware."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Tells what its scope says."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    headers = dict(scope["headers"])
    told = {
        "client": scope["client"] and scope["client"][0],
        "scheme": scope["scheme"],
        "host": headers.get(b"host", b"").decode(),
        "root": scope["root_path"],
        "path": scope["path"],
        "names": sorted(name.decode() for name, _ in scope["headers"]),
    }
    body = json.dumps(told).encode()
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": body.decode()})
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """Tells what its environ says."""
    names = [n for n in environ if n.startswith("HTTP_")]
    told = {
        "client": environ["REMOTE_ADDR"] or None,
        "scheme": environ["wsgi.url_scheme"],
        "host": environ.get("HTTP_HOST", ""),
        "root": environ["SCRIPT_NAME"],
        "path": environ["SCRIPT_NAME"] + environ["PATH_INFO"],
        "names": sorted(n[5:].lower().replace("_", "-") for n in names),
        "server": f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}",
    }
    start_response("200 OK", [])
    return [json.dumps(told).encode()]


def native(*, around: bool = False) -> App:
    """A native app that tells what its requests and WebSockets say."""
    app = App(openapi_url=None)

    def tell(request: Any) -> dict[str, Any]:
        return {
            "client": request.client and request.client.host,
            "scheme": request.url.scheme,
            "host": request.headers.get("host", ""),
            "root": request.scope["root_path"],
            "path": request.url.path,
            "names": sorted(request.headers),
            "for": str(request.url_for("tell")),
        }

    @app.get("/tell", name="tell")
    async def tell_all(request: Request) -> dict[str, Any]:
        return tell(request)

    @app.websocket("/tell")
    async def tell_socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(json.dumps(tell(websocket)))

    app.get("/slash/")(lambda: 1)

    @app.get("/away")
    async def away(request: Request) -> RedirectResponse:
        return RedirectResponse(request.url_for("tell"))

    app.mount("/asgi", asgi)
    app.mount("/wsgi", wsgi, interface="wsgi")
    if around:
        app.add_middleware(Around)
    return app


# The app, and the path of what tells.
KINDS: dict[str, tuple[Any, str]] = {
    "native": (native, "/tell"),
    "behind middleware": (lambda: native(around=True), "/tell"),
    "ASGI": (lambda: asgi, "/tell"),
    "WSGI": (lambda: wsgi, "/tell"),
    "mounted ASGI": (native, "/asgi/x"),
    "mounted WSGI": (native, "/wsgi/x"),
    "mounted ASGI behind middleware": (lambda: native(around=True), "/asgi/x"),
    "mounted WSGI behind middleware": (lambda: native(around=True), "/wsgi/x"),
}


def ask(served: Any, path: str, *fields: str, host: str | None = "a.example") -> dict[str, Any]:
    """What the app tells of a request with these header fields, as they stand."""
    lines = [f"GET {path} HTTP/1.{0 if host is None else 1}", "Connection: close", *fields]
    lines += [] if host is None else [f"Host: {host}"]
    head, _, body = served.exchange("\r\n".join([*lines, "", ""]).encode()).partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], head
    body = body if body[:1] == b"{" else body[body.index(b"{") : body.rindex(b"}") + 1]
    return dict(json.loads(body))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unix", [False, True], ids=["TCP", "Unix"])
def test_every_kind_of_app_sees_the_client(serve, tmp_path, kind, unix) -> None:
    make, path = KINDS[kind]
    options = {"uds": str(tmp_path / "s")} if unix else {}
    served = serve(make(), **options)
    told = ask(
        *(served, path, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"),
        *("X-Forwarded-Host: b.example", "X-Forwarded-Prefix: /api/"),
    )
    mount = path.removesuffix("/x") if path.endswith("/x") else ""
    assert told["client"] == "192.0.2.7"
    assert told["scheme"] == "https"
    assert told["host"] == "b.example"
    assert told["root"] == f"/api{mount}"
    assert told["path"] == f"/api{path}"
    if "for" in told:
        assert told["for"] == "https://b.example/api/tell"
    if "server" in told and "behind" not in kind:
        assert told["server"] == "b.example:443"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unix", [False, True], ids=["TCP", "Unix"])
def test_others_are_not_believed(serve, tmp_path, kind, unix) -> None:
    make, path = KINDS[kind]
    options = {"uds": str(tmp_path / "s")} if unix else {}
    served = serve(make(), forwarded_allow_ips=("10.0.0.0/8", "::1"), **options)
    told = ask(
        *(served, path, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"),
        *("X-Forwarded-Host: b.example", "X-Forwarded-Prefix: /api", "X-Forwarded-Port: 81"),
        *("Forwarded: for=192.0.2.8;proto=https;host=c.example",),
    )
    mount = path.removesuffix("/x") if path.endswith("/x") else ""
    assert told["client"] == (None if unix else LOCAL)
    assert told["scheme"] == "http"
    assert told["host"] == "a.example"
    assert told["root"] == mount
    assert told["path"] == path


@pytest.mark.parametrize("kind", KINDS)
def test_names_with_underscores_count_for_nothing(serve, kind) -> None:
    make, path = KINDS[kind]
    served = serve(make())
    told = ask(
        *(served, path, "X_Forwarded_For: 192.0.2.7", "X-Forwarded_Proto: https"),
        *("X_FORWARDED_HOST: b.example", "X_Forwarded-Prefix: /api", "X_Forwarded_Port: 1"),
        "X-Other: 1",
    )
    assert (told["client"], told["scheme"], told["host"]) == (LOCAL, "http", "a.example")
    assert not [name for name in told["names"] if "forwarded" in name]
    assert "x-other" in told["names"]
    told = ask(served, path, "X_Forwarded_For: 192.0.2.7", "X-Forwarded-For: 192.0.2.8")
    assert told["client"] == "192.0.2.8"


# Lines of X-Forwarded-For, and the client; 10.0.0.0/8 and 2001:db8:1::/48 are trusted, too.
CHAINS = {
    ("192.0.2.1",): "192.0.2.1",
    ("192.0.2.1, 192.0.2.2",): "192.0.2.2",
    ("192.0.2.1, 10.0.0.1",): "192.0.2.1",
    ("192.0.2.1, 192.0.2.2, 10.0.0.1, 10.1.1.1",): "192.0.2.2",
    ("192.0.2.1", "10.0.0.1"): "192.0.2.1",
    ("10.0.0.1", "192.0.2.1"): "192.0.2.1",
    ("10.0.0.2, 10.0.0.1",): "10.0.0.2",
    ("192.0.2.1:5050",): "192.0.2.1",
    ("2001:db8::1",): "2001:db8::1",
    ("[2001:db8::1]",): "2001:db8::1",
    ("[2001:db8::1]:443, [2001:db8:1::5]:80",): "2001:db8::1",
    ("::ffff:192.0.2.1",): "192.0.2.1",
    ("192.0.2.1, ::ffff:10.0.0.1",): "192.0.2.1",
    ("192.0.2.1,",): "192.0.2.1",
    (" , ,192.0.2.1 ,\t",): "192.0.2.1",
    ("unknown, 10.0.0.1",): "10.0.0.1",
    ("192.0.2.1, unknown, 10.0.0.1",): "10.0.0.1",
    ("192.0.2.1, _hidden",): LOCAL,
    ("unknown",): LOCAL,
    ("",): LOCAL,
    ("192.0.2.256",): LOCAL,
    ("192.0.2.01",): LOCAL,
    ("192.0.2.1:x",): LOCAL,
    ("192.0.2.1:65536",): LOCAL,
    ("192.0.2.1:",): LOCAL,
    ("[192.0.2.1]",): LOCAL,
    ("[2001:db8::1",): LOCAL,
    ("2001:db8::1]",): LOCAL,
    ("[2001:db8::1]x",): LOCAL,
    ("fe80::1%eth0",): LOCAL,
    ('"192.0.2.1"',): LOCAL,
    ("192.0.2.1 192.0.2.2",): LOCAL,
    ("localhost",): LOCAL,
    ("a" * 500,): LOCAL,
    (",".join(["192.0.2.1"] + ["10.0.0.1"] * 3000),): "192.0.2.1",
    (",".join(["192.0.2.1"] * 3000 + ["192.0.2.9"]),): "192.0.2.9",
}


@pytest.fixture
def behind(serve: Any) -> Any:
    """A native app that believes more proxies than the local ones."""
    return serve(native(), forwarded_allow_ips="127.0.0.1, 10.0.0.0/8,2001:db8:1::/48")


@pytest.mark.parametrize("lines", CHAINS, ids=lambda lines: "|".join(lines)[:40])
def test_the_last_untrusted_hop_is_the_client(behind, lines) -> None:
    told = ask(behind, "/tell", *(f"X-Forwarded-For: {line}" for line in lines))
    assert told["client"] == CHAINS[lines]


# Lines of Forwarded; client, scheme, host.
FORWARDED = {
    ("for=192.0.2.1",): ("192.0.2.1", "http", "a.example"),
    ("For=192.0.2.1;Proto=HTTPS;Host=b.example",): ("192.0.2.1", "https", "b.example"),
    ('for="[2001:db8::1]:4711";host="b.example:81"',): ("2001:db8::1", "http", "b.example:81"),
    ("for=[2001:db8::1]",): ("2001:db8::1", "http", "a.example"),
    ('for="192.0.2.1:_port"',): ("192.0.2.1", "http", "a.example"),
    ("for=192.0.2.1;proto=https, for=10.0.0.1;proto=http",): ("192.0.2.1", "https", "a.example"),
    ("for=192.0.2.9;proto=https, for=192.0.2.1",): ("192.0.2.1", "http", "a.example"),
    ("for=192.0.2.1;proto=https", "for=10.0.0.1"): ("192.0.2.1", "https", "a.example"),
    ('for=192.0.2.1 ; by="a, b" ; proto=https',): ("192.0.2.1", "https", "a.example"),
    ("for=192.0.2.1;;proto=https;",): ("192.0.2.1", "https", "a.example"),
    ("for=_hidden;proto=https",): (LOCAL, "https", "a.example"),
    ("for=unknown;proto=https, for=10.0.0.1",): ("10.0.0.1", "https", "a.example"),
    ("proto=https",): (LOCAL, "https", "a.example"),
    ("",): (LOCAL, "http", "a.example"),
    # What isn't well-formed ends it, and what stands before it was sent by somebody else.
    ("for=192.0.2.1;proto=https;x",): (LOCAL, "http", "a.example"),
    ("for=192.0.2.1;for=192.0.2.2",): (LOCAL, "http", "a.example"),
    ('for="192.0.2.1',): (LOCAL, "http", "a.example"),
    ("for=192.0.2.9;proto=https", 'for="192.0.2.1'): (LOCAL, "http", "a.example"),
    ('for=192.0.2.9;x=", for=192.0.2.1',): (LOCAL, "http", "a.example"),
    ('for=192.0.2.9;x=", for="[2001:db8::1]"',): (LOCAL, "http", "a.example"),
    ('for=192.0.2.9;proto=https;x="\\", for=192.0.2.1',): (LOCAL, "http", "a.example"),
    ("for = 192.0.2.1",): (LOCAL, "http", "a.example"),
    ("for=192.0.2.1;host=b.example/x",): (LOCAL, "http", "a.example"),
    ('for=192.0.2.1;host="b.example/x"',): ("192.0.2.1", "http", "a.example"),
    ("for=192.0.2.1;proto=ftp",): ("192.0.2.1", "http", "a.example"),
}


@pytest.mark.parametrize("lines", FORWARDED, ids=lambda lines: "|".join(lines)[:40])
def test_forwarded(behind, lines) -> None:
    told = ask(behind, "/tell", *(f"Forwarded: {line}" for line in lines))
    assert (told["client"], told["scheme"], told["host"]) == FORWARDED[lines]


# Other fields, beside X-Forwarded-For: 192.0.2.1, 10.0.0.1; what the app's URL is.
URLS = {
    ("X-Forwarded-Proto: https",): "https://a.example/tell",
    ("X-Forwarded-Proto: wss",): "https://a.example/tell",
    ("X-Forwarded-Proto: gopher",): "http://a.example/tell",
    ("X-Forwarded-Proto: https, http",): "https://a.example/tell",
    ("X-Forwarded-Proto: ftp, https, http",): "https://a.example/tell",
    ("X-Forwarded-Host: b.example, c.example",): "http://b.example/tell",
    ("X-Forwarded-Host: evil, b.example, c.example",): "http://b.example/tell",
    ("X-Forwarded-Host: b.example",): "http://b.example/tell",
    ("X-Forwarded-Host: b.example/x",): "http://a.example/tell",
    ("X-Forwarded-Host: b@c",): "http://a.example/tell",
    ("X-Forwarded-Host: [2001:db8::1]:81",): "http://[2001:db8::1]:81/tell",
    ("X-Forwarded-Port: 8443",): "http://a.example:8443/tell",
    ("X-Forwarded-Port: 80",): "http://a.example/tell",
    ("X-Forwarded-Port: 443", "X-Forwarded-Proto: https"): "https://a.example/tell",
    ("X-Forwarded-Port: 80", "X-Forwarded-Proto: https"): "https://a.example:80/tell",
    ("X-Forwarded-Port: 81", "X-Forwarded-Host: b:82"): "http://b:82/tell",
    ("X-Forwarded-Port: 81", "X-Forwarded-Host: [::1]"): "http://[::1]:81/tell",
    ("X-Forwarded-Port: 65536",): "http://a.example/tell",
    ("X-Forwarded-Port: -1",): "http://a.example/tell",
    ("X-Forwarded-Prefix: /a",): "http://a.example/a/tell",
    ("X-Forwarded-Prefix: /",): "http://a.example/tell",
    ("X-Forwarded-Prefix: /a/b/",): "http://a.example/a/b/tell",
    ("X-Forwarded-Prefix: /a, /b",): "http://a.example/a/b/tell",
    ("X-Forwarded-Prefix: /a", "X-Forwarded-Prefix: /b"): "http://a.example/a/b/tell",
    ("X-Forwarded-Prefix: a",): "http://a.example/tell",
    ("X-Forwarded-Prefix: //evil",): "http://a.example/tell",
    ("X-Forwarded-Prefix: /a//b",): "http://a.example/tell",
    ("X-Forwarded-Prefix: /\\evil",): "http://a.example/tell",
    ("X-Forwarded-Prefix: /a?b",): "http://a.example/tell",
    ("X-Forwarded-Prefix: /%2f",): "http://a.example/tell",
    # Where both are sent, Forwarded may be the client's own, which a proxy has passed on.
    ("Forwarded: for=192.0.2.5;host=evil;proto=https",): "http://a.example/tell",
}


@pytest.mark.parametrize("lines", URLS, ids=lambda lines: "|".join(lines)[:50])
def test_the_urls_that_an_app_makes(behind, lines) -> None:
    told = ask(behind, "/tell", "X-Forwarded-For: 192.0.2.1, 10.0.0.1", *lines)
    assert told["client"] == "192.0.2.1"
    assert told["for"] == URLS[lines]


def test_http_1_0_without_host(behind) -> None:
    told = ask(behind, "/tell", "X-Forwarded-Host: b.example", "X-Forwarded-Port: 81", host=None)
    assert told["for"] == "http://b.example:81/tell"


def test_only_chosen_fields_count(serve) -> None:
    served = serve(native(), forwarded_fields=("X-Forwarded-For", "forwarded"))
    told = ask(
        *(served, "/tell", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: b.example"),
        *("X-Forwarded-Proto: https", "X-Forwarded-Prefix: /a"),
    )
    assert (told["client"], told["for"]) == ("192.0.2.1", "http://a.example/tell")
    told = ask(served, "/tell", "Forwarded: for=192.0.2.2;proto=https", "X-Forwarded-Host: b")
    assert (told["client"], told["for"]) == ("192.0.2.2", "https://a.example/tell")


def test_everybody_may_be_believed(serve) -> None:
    served = serve(native(), forwarded_allow_ips="*")
    told = ask(served, "/tell", "X-Forwarded-For: 192.0.2.1, 192.0.2.2, 2001:db8::1")
    assert told["client"] == "192.0.2.1"


@pytest.mark.parametrize("around", [False, True], ids=["native", "asgi"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "configured"])
def test_redirects_lead_back_through_the_proxy(serve, told, around) -> None:
    served = serve(native(around=around), **({} if told else {"root_path": "/api"}))
    headers = {"x-forwarded-proto": "https", "host": "b.example"}
    headers |= {"x-forwarded-prefix": "/api"} if told else {}
    # A proxy may leave a configured prefix in the path; one that it tells has been removed.
    for sent in ("/slash",) if told else ("/slash", "/api/slash"):
        location = served.client.get(sent, headers=headers).headers["location"]
        assert location.removeprefix("https://b.example") == "/api/slash/"
    away = served.client.get("/away", headers=headers)
    assert away.headers["location"] == "https://b.example/api/tell"


@pytest.mark.parametrize("around", [False, True], ids=["native", "asgi"])
def test_a_prefix_that_is_told_is_not_removed(serve, around) -> None:
    """Otherwise clients whose field a proxy passes on would get past its rules for paths."""
    served = serve(native(around=around))
    assert served.client.get("/tell").status_code == 200
    answer = served.client.get("/x/tell", headers={"x-forwarded-prefix": "/x"})
    assert answer.status_code == 404


@pytest.mark.parametrize("kind", ["native", "behind middleware", "ASGI", "mounted ASGI"])
def test_websockets(serve, kind) -> None:
    make, path = KINDS[kind]
    served = serve(make())
    told = ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /api"]
    with connect(served) as ws:
        assert ws.open(path, told).status == 101
        said = json.loads(ws.read().payload)
    assert (said["client"], said["scheme"]) == ("192.0.2.7", "wss")
    assert said["path"] == f"/api{path}"


def test_each_request_of_a_connection_has_its_own_client(serve) -> None:
    served = serve(native())
    with served.connect() as sock, sock.makefile("rb") as answers:
        for n in range(1, 20):
            sock.sendall(
                f"GET /tell HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.{n}\r\n\r\n".encode()
            )
            assert _read_json(answers)["client"] == f"192.0.2.{n}"
        sock.sendall(b"GET /tell HTTP/1.1\r\nHost: a\r\n\r\n")
        assert _read_json(answers)["client"] == LOCAL


def _read_json(answers: Any) -> dict[str, Any]:
    length = 0
    while (line := answers.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return dict(json.loads(answers.read(length)))


def test_tls_stays_what_it_is_unless_the_proxy_says_otherwise(serve, certificate) -> None:
    files = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    served = serve(native(), **files)
    headers = {"host": "a.example", "x-forwarded-for": "192.0.2.1"}
    told = served.client.get("/tell", headers=headers).json()
    assert (told["client"], told["for"]) == ("192.0.2.1", "https://a.example/tell")
    headers["x-forwarded-proto"] = "http"
    assert served.client.get("/tell", headers=headers).json()["for"] == "http://a.example/tell"
