"""WSGI apps below a path of a Fluvial app: called by C, or with middleware around them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App
from support.asgi import Notes
from support.gateways import under_uvicorn
from support.wsgi import TEXT, Result, checked, errors

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from conftest import Serve

    Mounted = Callable[[Any], httpx.Client]


@pytest.fixture(params=[False, True], ids=["plain", "with middleware"])
def mounted(request: pytest.FixtureRequest, serve: Serve) -> Mounted:
    """Serves a WSGI app below /old, and gives a client."""

    def mount(wsgi: Any) -> httpx.Client:
        app = App()
        app.mount("/old", wsgi)
        if request.param:

            @app.middleware("http")
            async def mark(request: Any, call_next: Any) -> Any:
                response = await call_next(request)
                response.headers["x-mark"] = "1"
                return response

        return serve(app, root_path="/root").client

    return mount


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/old", ""),
        ("/old/", "/"),
        ("/old/a%2Fb", "/a/b"),
        ("/old/caf%C3%A9?x=/old", "/caf\xc3\xa9"),
    ],
)
def test_the_path_is_split(mounted: Mounted, target: str, path: str) -> None:
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        notes.add((environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]))
        start_response("200 OK", [TEXT])
        return [b"well"]

    client = mounted(checked(app))
    assert client.get(target).text == "well"
    assert notes.next() == ("/root/old", path, target.partition("?")[2])
    assert client.get("/older").status_code == 404


REQUEST = (
    b"PUT /old/caf%C3%A9?a=b%20c HTTP/1.1\r\nhost: test\r\nx-twice: 1\r\nx-twice: 2\r\n"
    b"x_low: no\r\ncookie: a=1\r\ncookie: b=2\r\ncontent-type: text/plain\r\n"
    b"content-length: 2\r\nconnection: close\r\n\r\nhi"
)


def test_the_environ_is_the_same_everywhere(serve: Serve) -> None:
    """Called by C, behind middleware, and under another server."""
    notes = Notes()

    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        notes.add(environ)
        start_response("200 OK", [TEXT])
        return [environ["wsgi.input"].read()]

    async def around(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    plain, behind = App(), App()
    behind.middleware("http")(around)
    environs = []
    with under_uvicorn(plain) as other:
        for app in (plain, behind):
            app.mount("/old", wsgi)
        for served in (serve(plain), serve(behind), other):
            with served.connect() as sock:
                sock.sendall(REQUEST)
                assert b"hi" in b"".join(iter(lambda: sock.recv(1000), b""))
                address = sock.getsockname()
            environ = notes.next()
            assert (environ.pop("REMOTE_ADDR"), environ.pop("REMOTE_PORT")) == (
                address[0],
                str(address[1]),
            )
            assert environ.pop("SERVER_PORT") == str(served.address[1])
            del environ["wsgi.input"], environ["wsgi.errors"]
            environs.append(environ)
    first, *others = environs
    assert first["HTTP_X_TWICE"] == "1, 2"
    assert first["HTTP_COOKIE"] == "a=1; b=2"
    assert first["REQUEST_URI"] == "/old/caf%C3%A9?a=b%20c"
    assert others == [first, first]


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_bodies(mounted: Mounted, size: int) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        content = environ["wsgi.input"].read()
        start_response("200 OK", [TEXT])
        return [content]

    client = mounted(app)
    assert client.post("/old/x", content=b"x" * size).content == b"x" * size
    assert client.post("/old/x", content=iter([b"x" * size])).content == b"x" * size


def test_pieces(mounted: Mounted) -> None:
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        write = start_response("201 Made", [TEXT, ("X-A", "b")])
        write(b"one ")
        return Result(notes, b"two ", b"three")

    answer = mounted(app).get("/old")
    assert (answer.status_code, answer.text) == (201, "one two three")
    assert answer.headers["x-a"] == "b"
    assert [notes.next() for _ in range(3)] == [b"two ", b"three", "closed"]


def test_files(mounted: Mounted) -> None:
    path = Path(__file__)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        file = path.open("rb")
        file.read(3)
        start_response("200 OK", [TEXT])
        return environ["wsgi.file_wrapper"](file)

    assert mounted(app).get("/old").content == path.read_bytes()[3:]


def test_errors(mounted: Mounted, caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise ValueError("mine")

    assert mounted(app).get("/old").status_code == 500
    assert "ValueError('mine')" in errors(caplog)
