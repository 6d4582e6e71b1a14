"""An app whose class has a __call__ of its own: requests go through it, as on any ASGI server."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, Request, WebSocket
from fluvial._compat.fastapi import FastAPI
from fluvial.testclient import TestClient
from support.gateways import HOSTS, hosting, text_of

if TYPE_CHECKING:
    from conftest import Serve

seen: list[str] = []


@contextlib.asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, int]]:
    seen.append("begun")
    yield {"number": 5}
    seen.append("ended")


async def read(request: Request) -> str:
    return f"{request.scope['found']} {request.state.number}"


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.scope["found"])


def make(base: type[App]) -> App:
    class Own(base):  # type: ignore[misc, valid-type]
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["found"] = f"by its own {scope['type']}"
            await super().__call__(scope, receive, send)

    app = Own(lifespan=lifespan)
    app.get("/")(read)
    app.websocket("/talk")(talk)
    seen.clear()
    return app


@pytest.mark.parametrize("base", [App, FastAPI])
@pytest.mark.parametrize("kind", HOSTS[:3])
def test_requests_websockets_and_lifespan(serve: Serve, kind: str, base: type[App]) -> None:
    with hosting(kind, serve) as host:
        served = host(make(base))
        with served.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert sock.makefile("rb").read().endswith(b'"by its own http 5"')
        assert text_of(served, "/talk") == "by its own websocket"
        assert seen == ["begun"]


def test_with_middleware_that_heeds_the_lifespan() -> None:
    class Heeding:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                seen.append(scope["found"])
            await self.app(scope, receive, send)

    app = make(App)
    app.add_middleware(Heeding)
    with TestClient(app) as client:
        assert client.get("/").json() == "by its own http 5"
    assert seen == ["by its own lifespan", "begun", "ended"]


def test_a_call_that_bears_the_name_of_ours(serve: Serve) -> None:
    """functools.wraps, and the packages that watch apps, copy __module__, too."""

    class Watched(App):
        @functools.wraps(App.__call__)
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["type"])
            await super().__call__(scope, receive, send)

    app = Watched()
    app.get("/")(lambda: "here")
    seen.clear()
    assert serve(app).client.get("/").json() == "here"
    assert "http" in seen
