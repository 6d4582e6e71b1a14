"""Middleware sees the app's lifespan, as any ASGI app around another one does."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fluvial import App, Request
from fluvial.testclient import TestClient
from support.gateways import under_uvicorn

seen: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    seen.clear()


class Heeding:
    """Opens something for as long as the app runs."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def noting(message: Any) -> None:
            seen.append(message["type"])
            await send(message)

        scope["state"]["opened"] = "by the layer"
        seen.append("layer")
        await self.app(scope, receive, noting)
        seen.append("end")


class Returning(Heeding):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.app(scope, receive, send)


class Raising(Heeding):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["path"]
        await self.app(scope, receive, send)


@contextlib.asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[dict[str, str]]:
    seen.append("app begins")
    yield {"own": "of the app"}
    seen.append("app ends")


def make(*layers: Any) -> App:
    app = App(lifespan=lifespan)
    for layer in layers:
        app.add_middleware(layer)

    @app.get("/")
    async def read(request: Request) -> dict[str, Any]:
        return dict(request.state._state)

    return app


EVENTS = ["layer", "app begins", "lifespan.startup.complete"]
END = ["app ends", "lifespan.shutdown.complete", "end"]


def test_a_layer_that_heeds_it() -> None:
    with TestClient(make(Heeding)) as client:
        assert seen == EVENTS
        assert client.get("/").json() == {"opened": "by the layer", "own": "of the app"}
    assert seen == EVENTS + END


def test_mounted() -> None:
    app = App()
    app.mount("/sub", make(Heeding))
    with TestClient(app) as client:
        assert seen == EVENTS
        assert client.get("/sub/").json() == {"opened": "by the layer", "own": "of the app"}
    assert seen == EVENTS + END


def test_under_another_server() -> None:
    with under_uvicorn(make(Heeding), lifespan="on") as served, served.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert b"by the layer" in sock.makefile("rb").read()
    assert seen == EVENTS + END


@pytest.mark.parametrize("layer", [Returning, Raising])
def test_a_layer_that_knows_requests_alone(layer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The app's own lifespan is run all the same."""
    with TestClient(make(layer)) as client:
        assert client.get("/").json() == {"own": "of the app"}
    assert seen == ["app begins", "app ends"]
    assert ("Middleware raised an exception in the lifespan" in caplog.text) == (layer is Raising)


def test_what_the_startup_raises_is_raised() -> None:
    class Failing(Heeding):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await receive()
                raise LookupError("no database")

    with pytest.raises(LookupError, match="no database"), TestClient(make(Failing)):
        raise AssertionError

    @contextlib.asynccontextmanager
    async def failing(app: App) -> AsyncIterator[None]:
        raise LookupError("no cache")
        yield

    app = make(Heeding)
    app.lifespan = failing
    with pytest.raises(LookupError, match="no cache"), TestClient(app):
        raise AssertionError


def test_what_the_shutdown_raises_is_raised() -> None:
    @contextlib.asynccontextmanager
    async def failing(app: App) -> AsyncIterator[None]:
        yield
        raise LookupError("left open")

    app = make(Heeding)
    app.lifespan = failing
    with pytest.raises(LookupError, match="left open"), TestClient(app):
        pass
