"""TrustedHostMiddleware and HTTPSRedirectMiddleware: as Starlette's, also with hostile hosts."""

from types import SimpleNamespace
from typing import Any

import pytest
from fluvial import App
from fluvial._messages.hosts import split_host
from fluvial.middleware.trustedhost import TrustedHostMiddleware
from support.both import serve_both, tell

HOSTS = [
    "one.example",
    "ONE.example:8000",
    "sub.two.example",
    "two.example",
    "xtwo.example",
    "three.example",
    "www.three.example",
    "four.example",
    "onexexample",  # hosts are no patterns: the dot stands for a dot
    "one.example/.two.example",
    "one.example#.two.example",
    "one.example?.two.example",
    "evil.org@one.example",
    "one.example@evil.org",
    "one.example:pass@evil.org",
    "one.example\\.two.example",
    "[::1]",
    "[::1",
    "[one.example]",
    "one.example:port",
    "",
]


def make(names: SimpleNamespace) -> Any:
    app = names.App()
    app.get("/")(lambda: "in")
    allowed = ["one.example", "*.two.example", "www.three.example", "[::1]"]
    app.add_middleware(names.TrustedHostMiddleware, allowed_hosts=allowed)
    return app


def make_secure(names: SimpleNamespace) -> Any:
    app = names.App()
    app.get("/")(lambda: "in")
    app.add_middleware(names.HTTPSRedirectMiddleware)
    return app


@pytest.mark.parametrize("make", [make, make_secure])
def test_the_answers_are_those_of_starlette(serve, make) -> None:
    ours, theirs = serve_both(serve, make)
    for host in HOSTS:
        for path in ("/", "/nowhere?a=b", "/a%20b?c=%2F"):
            answers = [tell(each.get(path, headers={"host": host})) for each in (ours, theirs)]
            assert answers[0] == answers[1], (host, path)


def test_a_redirect_keeps_the_port_unless_it_is_a_usual_one(serve) -> None:
    import fluvial
    from fluvial.middleware.httpsredirect import HTTPSRedirectMiddleware

    names = SimpleNamespace(**vars(fluvial), HTTPSRedirectMiddleware=HTTPSRedirectMiddleware)
    client = serve(make_secure(names)).client
    for host, found in (("a.example:80", "a.example"), ("a.example:81", "a.example:81")):
        answer = client.get("/x?y", headers={"host": host})
        assert (answer.status_code, answer.headers["location"]) == (307, f"https://{found}/x?y")


@pytest.mark.parametrize("host", ["a.*.example", "*example", "www.*"])
def test_a_star_elsewhere_is_refused(host) -> None:
    app = App()
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[host])
    with pytest.raises(ValueError, match=r"like '\*\.example\.com'"):
        app.compile_middleware()


def test_a_websocket_needs_a_trusted_host_too(serve) -> None:
    from fluvial import WebSocket

    app = App()
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["one.example"])

    @app.websocket("/")
    async def echo(websocket: WebSocket):
        await websocket.accept()

    served = serve(app)
    for host, status in (("one.example", b"101"), ("two.example", b"400")):
        with served.connect() as sock:
            sock.sendall(
                b"GET / HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                % host.encode()
            )
            assert sock.recv(1000).split(b" ")[1] == status


def test_a_pattern_is_no_host(serve) -> None:
    """Starlette lets it in."""
    import fluvial

    names = SimpleNamespace(**vars(fluvial), TrustedHostMiddleware=TrustedHostMiddleware)
    client = serve(make(names)).client
    assert client.get("/", headers={"host": "*.two.example"}).status_code == 400


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a.example", ("a.example", "")),
        ("a.example:80", ("a.example", "80")),
        ("[::1]:80", ("[::1]", "80")),
        ("a.example/.b.example", None),
        ("a.example#b", None),
        ("user@a.example", None),
        ("[1]", None),
        ("", None),
        (None, None),
    ],
)
def test_what_a_host_is(value, found) -> None:
    """Our own server refuses most of the others; not every server does."""
    assert split_host(value) == found
