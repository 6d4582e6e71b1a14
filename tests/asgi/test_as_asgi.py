"""Fluvial apps as ASGI apps: under uvicorn, inside Starlette, and below another Fluvial app."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fluvial import (
    App,
    BackgroundTasks,
    Depends,
    FileResponse,
    HTTPException,
    Request,
    StreamingResponse,
)
from support.asgi import Notes
from support.gateways import below_starlette, under_uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from conftest import Serve

JSON = {"content-type": "application/json"}


def make_app(notes: Notes) -> App:
    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[dict[str, str]]:
        notes.add("started")
        yield {"name": "state"}
        notes.add("stopped")

    app = App(lifespan=lifespan)

    def link() -> Iterator[str]:
        yield "link"
        notes.add("link closed")

    @app.get("/items/{number}")
    async def item(number: int, request: Request, q: str | None = None) -> Any:
        client = request.client
        assert client is not None
        return {
            "number": number,
            "q": q,
            "host": client.host,
            "name": getattr(request.state, "name", None),
            "path": request.url.path,
            "agent": request.headers["user-agent"].partition("/")[0],
        }

    @app.get("/sync")
    def sync(used: str = Depends(link)) -> str:
        return f"{used} in {threading.current_thread() is not threading.main_thread()}"

    @app.post("/json")
    async def json(request: Request, body: dict[str, int]) -> Any:
        return {**body, "sum": sum(body.values())}

    @app.post("/stream")
    async def stream(request: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            async for piece in request.stream():
                yield piece.upper()

        return StreamingResponse(pieces())

    @app.get("/file")
    async def file() -> FileResponse:
        return FileResponse(__file__)

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> str:
        async def later() -> None:
            await asyncio.sleep(0)
            notes.add("background")

        tasks.add_task(later)
        return "soon"

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short")

    @app.get("/broken")
    async def broken() -> None:
        raise KeyError("mine")

    @app.get("/empty", status_code=204)
    async def empty() -> None:
        return None

    @app.middleware("http")
    async def around(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-around"] = "yes"
        return response

    return app


@pytest.fixture(params=["uvicorn", "starlette", "fluvial"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def client(kind: str, notes: Notes, serve: Serve) -> Iterator[httpx.Client]:
    app = make_app(notes)
    with contextlib.ExitStack() as stack:
        if kind == "uvicorn":
            url = stack.enter_context(under_uvicorn(app)).url
        elif kind == "starlette":
            url = stack.enter_context(under_uvicorn(below_starlette(app, "/sub"))).url + "/sub"
        else:
            outer = App()
            outer.mount("/sub", app)
            url = serve(outer).url + "/sub"
        yield stack.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False))


def test_handlers(client: httpx.Client, kind: str) -> None:
    answer = client.get("/items/3?q=x%20y")
    assert answer.json() == {
        "number": 3,
        "q": "x y",
        "host": "127.0.0.1",
        "name": None if kind == "starlette" else "state",
        "path": "/items/3" if kind == "uvicorn" else "/sub/items/3",
        "agent": "python-httpx",
    }
    assert answer.headers["x-around"] == "yes"
    assert client.get("/items/x").status_code == 422
    assert client.get("/nowhere").json() == {"detail": "Not Found"}
    refused = client.delete("/sync")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert client.get("/teapot").json() == {"detail": "short"}
    assert client.get("/empty").status_code == 204


def test_threads_and_dependencies(client: httpx.Client, notes: Notes) -> None:
    assert client.get("/sync").json() == "link in True"
    while notes.next() != "link closed":
        pass


def test_bodies(client: httpx.Client) -> None:
    assert client.post("/json", json={"a": 1, "b": 2}).json() == {"a": 1, "b": 2, "sum": 3}
    assert client.post("/json", content=b"{", headers=JSON).status_code == 422
    content = b"abc" * 300_000
    assert client.post("/stream", content=content).content == content.upper()
    assert client.post("/json", content=b" " * (17 * 1024 * 1024), headers=JSON).status_code == 413


def test_files(client: httpx.Client) -> None:
    with open(__file__, "rb") as file:
        assert client.get("/file").content == file.read()
    answer = client.get("/file", headers={"range": "bytes=0-2"})
    assert (answer.status_code, answer.text) == (206, '"""')


def test_what_follows_an_answer(client: httpx.Client, notes: Notes) -> None:
    assert client.get("/background").json() == "soon"
    while notes.next() != "background":
        pass


def test_failures(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    assert client.get("/broken").status_code == 500
    assert "KeyError: 'mine'" in caplog.text


def test_the_lifespan(notes: Notes, serve: Serve) -> None:
    with under_uvicorn(make_app(notes)):
        assert notes.next() == "started"
    assert notes.next() == "stopped"
    outer = App()
    outer.mount("/sub", make_app(notes))
    served = serve(outer)
    assert notes.next() == "started"
    served.finish()
    assert notes.next() == "stopped"


def test_a_server_that_repeats_the_end_of_the_body() -> None:
    """At once, and for ever, as a hand-written `receive` of a test does."""

    async def pieces() -> AsyncIterator[str]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield "x"

    app = App()
    app.get("/")(lambda: StreamingResponse(pieces()))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asked = 0

    async def receive() -> Any:
        nonlocal asked
        asked += 1
        if asked > 100:  # else a loop that is kept busy never ends
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "server": ("test", 80)}
    asyncio.run(app(scope, receive, send))
    assert asked < 5
    assert b"".join(message.get("body", b"") for message in sent) == b"xxx"
