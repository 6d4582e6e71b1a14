"""Other apps below a path of a Fluvial app, with and without middleware around them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App
from fluvial._asgi.foreign_app import InterfaceError
from support.asgi import Notes, body, read_body, start
from websockets.sync.client import connect

if TYPE_CHECKING:
    from conftest import Serve


class Other:
    """An ASGI app that tells where it is."""

    def __init__(self, name: str = "other") -> None:
        self.name = name
        self.notes = Notes()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await getattr(self, scope["type"])(scope, receive, send)

    async def lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        for phase in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{phase}"
            self.notes.add(phase)
            scope["state"]["name"] = self.name
            await send({"type": f"lifespan.{phase}.complete"})

    async def http(self, scope: Any, receive: Any, send: Any) -> None:
        content = await read_body(receive)
        here = f"{scope['state']['name']} {scope['root_path']} {scope['path']} ".encode()
        await send(start((b"x-a", b"1"), (b"x-a", b"2")))
        await send(body(here, more=True))
        await asyncio.sleep(0)
        await send(body(content))
        self.notes.add((await receive())["type"])

    async def websocket(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": scope["path"]})
        await receive()


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]


@pytest.fixture(params=[False, True], ids=["plain", "with middleware"])
def app(request: pytest.FixtureRequest) -> App:
    app = App()

    @app.get("/sub/route")
    async def route() -> str:
        return "the route"

    @app.post("/sub/only-post")
    async def only_post() -> str:
        return "the route"

    if request.param:

        @app.middleware("http")
        async def around(request: Any, call_next: Any) -> Any:
            response = await call_next(request)
            response.headers["x-around"] = "yes"
            return response

    return app


def test_what_is_whose(serve: Serve, app: App) -> None:
    other, inner = Other(), Other("inner")
    app.mount("/sub", other)
    app.mount("/sub/inner/", inner)
    app.mount("/wsgi", wsgi)
    client = serve(app).client
    assert client.get("/sub/route").json() == "the route"
    assert client.post("/sub/only-post").json() == "the route"
    for path, text in {
        "/sub": "other /sub /sub ",
        "/sub/": "other /sub /sub/ ",
        "/sub/caf%C3%A9?q": "other /sub /sub/café ",
        "/sub/only-post": "other /sub /sub/only-post ",
        "/sub/inner": "inner /sub/inner /sub/inner ",
        "/sub/innermost": "other /sub /sub/innermost ",
        "/wsgi/x": "/wsgi /x",
    }.items():
        answer = client.get(path)
        assert answer.text == text
        assert ("x-around" in answer.headers) == bool(app.middlewares)
    assert client.get("/other").status_code == 404
    answer = client.post("/sub/x", content=b"body" * 50_000)
    assert answer.content == b"other /sub /sub/x " + b"body" * 50_000
    assert answer.headers.get_list("x-a") == ["1", "2"]


def test_everything(serve: Serve, app: App) -> None:
    app.mount("/", Other())
    client = serve(app).client
    assert client.get("/sub/route").json() == "the route"
    assert client.get("/").text == "other  / "
    assert client.get("/any/thing").text == "other  /any/thing "


def test_lifespans_run_within_the_apps(serve: Serve, app: App) -> None:
    other = Other()
    app.mount("/sub", other)
    served = serve(app)
    assert other.notes.next() == "startup"
    served.client.get("/sub")
    assert other.notes.next() == "http.disconnect"
    served.finish()
    assert other.notes.next() == "shutdown"


def test_websockets(serve: Serve, app: App) -> None:
    app.mount("/sub", Other())
    url = serve(app).url.replace("http", "ws")
    with connect(f"{url}/sub/x", proxy=None) as client:
        assert client.recv(30) == "/sub/x"


@pytest.mark.parametrize("when", ["before", "within"])
def test_apps_that_raise(serve: Serve, app: App, when: str) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        if when == "within":
            await send(start())
            await send(body(b"part", more=True))
        raise ValueError("mine")

    app.mount("/broken", broken)
    raw = serve(app).exchange(b"GET /broken HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    if when == "before":
        assert raw.startswith(b"HTTP/1.1 500 ")
    else:
        assert b"part" in raw
        assert not raw.endswith(b"0\r\n\r\n")


def test_mistakes() -> None:
    app = App()
    with pytest.raises(ValueError, match="must begin with '/', not 'sub'"):
        app.mount("sub", Other())
    with pytest.raises(ValueError, match="plain text, not '/%78'"):
        app.mount("/%78", Other())
    with pytest.raises(InterfaceError, match="is not an app but an object of type int"):
        app.mount("/sub", 3)
