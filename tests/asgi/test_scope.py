"""What an HTTP scope holds, to the letter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import Notes, body, http_only, start
from support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Serve
    from support.serving import Served


class Recorder:
    """A served app that keeps its scopes."""

    def __init__(self) -> None:
        self.notes = Notes()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        self.notes.add(scope)
        await send(start())
        await send(body())

    served: Served

    def scope_of(self, request: str) -> Any:
        """The scope that a request with these lines gets."""
        raw = "\r\n".join([*request.splitlines(), "connection: close", "", ""])
        answer = self.served.exchange(raw.encode())
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return self.notes.next()


@pytest.fixture
def app(serve: Serve) -> Recorder:
    recorder = Recorder()
    recorder.served = serve(recorder)
    return recorder


def test_every_entry(app: Recorder) -> None:
    scope = app.scope_of("GET /caf%C3%A9/%2Fx?a=%20b&c HTTP/1.1\nHost: Example.org\nX-Two: 2")
    client = scope.pop("client")
    assert list(scope) == [
        *("type", "asgi", "http_version", "server", "scheme", "method", "root_path", "path"),
        *("raw_path", "query_string", "headers", "extensions"),
    ]
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": app.served.address,
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": "/café//x",
        "raw_path": b"/caf%C3%A9/%2Fx",
        "query_string": b"a=%20b&c",
        "headers": [
            (b"host", b"Example.org"),
            (b"x-two", b"2"),
            (b"connection", b"close"),
        ],
        "extensions": {},
    }
    host, port = client
    assert host == "127.0.0.1"
    assert type(port) is int
    assert port > 0
    assert type(scope["server"][1]) is int


def test_old_clients(app: Recorder) -> None:
    scope = app.scope_of("HEAD / HTTP/1.0")
    assert (scope["http_version"], scope["method"]) == ("1.0", "HEAD")
    assert scope["headers"] == [(b"connection", b"close")]
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/", b"/", b"")


def test_fields_keep_their_order_and_repetitions(app: Recorder) -> None:
    scope = app.scope_of("GET / HTTP/1.1\nHost: x\nB: 1\nA: 2\nB: \xff\nCookie: a=1\nCookie: b=2")
    assert scope["headers"][1:-1] == [
        *((b"b", b"1"), (b"a", b"2"), (b"b", "\xff".encode())),
        *((b"cookie", b"a=1"), (b"cookie", b"b=2")),
    ]


def test_names_that_collide_in_the_cache(app: Recorder) -> None:
    names = [f"x-{n:03}" for n in range(90)] * 1
    for _ in range(2):
        request = "GET / HTTP/1.1\nhost: x\n" + "\n".join(f"{name}: {name}" for name in names)
        fields = app.scope_of(request)["headers"][1:-1]
        assert fields == [(name.encode(), name.encode()) for name in names]


@pytest.mark.parametrize(
    ("target", "path", "raw_path"),
    [
        ("/%zz%4", "/%zz%4", b"/%zz%4"),
        ("/%FF", "/\ufffd", b"/%FF"),
        ("http://other:81/a%20b?q", "/a b", b"/a%20b"),
        ("//x", "//x", b"//x"),
    ],
)
def test_paths(app: Recorder, target: str, path: str, raw_path: bytes) -> None:
    scope = app.scope_of(f"GET {target} HTTP/1.1\nhost: x")
    assert (scope["path"], scope["raw_path"]) == (path, raw_path)


def test_the_asterisk(app: Recorder) -> None:
    scope = app.scope_of("OPTIONS * HTTP/1.1\nhost: x")
    assert (scope["path"], scope["raw_path"]) == ("*", b"*")


def test_what_one_app_changes_no_other_request_sees(app: Recorder) -> None:
    first = app.scope_of("GET / HTTP/1.1\nhost: x")
    first["extensions"]["mine"] = 1
    first["headers"].clear()
    first["new"] = 1
    second = app.scope_of("GET / HTTP/1.1\nhost: x")
    assert second["extensions"] == {}
    assert len(second["headers"]) == 2
    assert "new" not in second


def test_many_clients_at_once(app: Recorder) -> None:
    seen = set()
    for _ in range(2):
        with app.served.connect() as one, app.served.connect() as two:
            for sock in (one, two, one, two):
                sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
                client = app.notes.next()["client"]
                assert client == sock.getsockname()
                seen.add(client)
    assert len(seen) == 4


def test_root_path(serve: Serve) -> None:
    recorder = Recorder()
    recorder.served = serve(recorder, root_path="/api")
    scope = recorder.scope_of("GET /x%20y HTTP/1.1\nhost: x")
    assert scope["root_path"] == "/api"
    assert scope["path"] == "/api/x y"
    assert scope["raw_path"] == b"/api/x%20y"


@pytest.fixture
def unix(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder()
    with serving(recorder, uds=str(tmp_path / "s")) as recorder.served:
        yield recorder


def test_unix_sockets(unix: Recorder) -> None:
    scope = unix.scope_of("GET / HTTP/1.1\nhost: x")
    assert scope["client"] is None
    assert scope["server"] == (unix.served.address, None)


@pytest.mark.parametrize("takes", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_what_changes_responses_is_offered_on_request(
    serve: Serve, asked: bool, takes: bool
) -> None:
    """Trailers only to clients that take them."""
    recorder = Recorder()
    recorder.served = serve(recorder, asgi_extensions=asked)
    te = "\nTE: gzip, trailers" if takes else ""
    names = ["pathsend", "zerocopysend", "early_hint"] + ["trailers"] * takes
    expected = {f"http.response.{name}": {} for name in names} if asked else {}
    assert recorder.scope_of(f"GET / HTTP/1.1\nhost: x{te}")["extensions"] == expected


def test_state_is_a_copy_for_each_request(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["pool"] = shared
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        notes.add(dict(scope["state"]))
        scope["state"]["mine"] = True
        await send(start())
        await send(body())

    shared: list[int] = []
    client = serve(app).client
    client.get("/")
    client.get("/")
    for _ in range(2):
        state = notes.next()
        assert state == {"pool": shared}


def test_asgi_2(serve: Serve) -> None:
    class Old:
        def __init__(self, scope: Any) -> None:
            self.scope = scope

        async def __call__(self, receive: Any, send: Any) -> None:
            assert self.scope["type"] == "http"
            await send(start())
            await send(body(self.scope["path"].encode()))

    assert serve(Old).client.get("/old").text == "/old"


def test_classes_and_partials_are_apps(serve: Serve) -> None:
    assert serve(http_only(Recorder().__call__)).client.get("/").status_code == 200
