"""What an ASGI scope says of the route, when the response is one of 405, and of mounted apps."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fluvial import APIRouter, App, Depends, PlainTextResponse, Request, Response
from fluvial.routing import APIRoute, Mount, Route
from fluvial.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Mount as StarletteMount

Told = dict[str, Any]


class Noting:
    """A layer that keeps what the scope says in the end."""

    def __init__(self, app: Any, told: Told) -> None:
        self.app, self.told = app, told

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            if scope["type"] != "lifespan":
                route = scope.get("route")
                self.told["route"] = getattr(route, "path", None)
                self.told["endpoint"] = scope.get("endpoint")
                self.told["path_params"] = scope.get("path_params")


async def other(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("other")(scope, receive, send)


def make(told: Told, way: str) -> App:
    app, inner = App(), App()
    app.get("/items/{number}")(item)
    inner.get("/in/{name}")(item)
    app.mount("/other", other)
    app.mount("/inner", inner)
    app.mount("/by/{key}", other)
    if way == "layer":
        app.add_middleware(Noting, told=told)
        return app

    @app.middleware("http")
    async def note(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        scope = request.scope
        told["route"] = getattr(scope["route"], "path", None)
        told["endpoint"], told["path_params"] = scope["endpoint"], scope["path_params"]
        return response

    return app


def item(number: int = 0, name: str = "") -> int:
    return number


@pytest.mark.parametrize("way", ["layer", "function"])
def test_a_route_of_another_method_is_told(way: str) -> None:
    told: Told = {}
    with TestClient(make(told, way)) as client:
        assert client.post("/items/3").status_code == 405
        assert told == {
            "route": "/items/{number}",
            "endpoint": item,
            "path_params": {"number": "3"},
        }
        assert client.post("/nowhere").status_code == 404
        assert told["route"] is None


def test_a_mounted_app_is_told() -> None:
    told: Told = {}
    app = make(told, "layer")
    with TestClient(app) as client:
        assert client.get("/other/x").text == "other"
        assert told == {"route": None, "endpoint": other, "path_params": {}}
        assert client.get("/by/k/x").text == "other"
        assert told == {"route": None, "endpoint": other, "path_params": {"key": "k"}}
        assert client.post("/inner/in/a").status_code == 405
        assert told == {"route": "/in/{name}", "endpoint": item, "path_params": {"name": "a"}}
        assert client.get("/inner/none").status_code == 404
        assert told["route"] is None
        assert told["endpoint"] is next(m for m in app.routes if m.path == "/inner").app


def asked(app: Any, method: str, path: str) -> httpx.Response:
    """What the app responds as an ASGI app under another server."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
            return await client.request(method, path)

    return asyncio.run(ask())


def test_a_mount_keeps_the_parameters_of_the_apps_around() -> None:
    told: Told = {}
    app, inner = App(), App()
    inner.mount("/sub", Noting(other, told))
    outer = Starlette(routes=[StarletteMount("/{tenant}", inner)])
    assert asked(outer, "GET", "/acme/sub/x").text == "other"
    assert told["path_params"] == {"tenant": "acme"}
    app.mount("/by/{key}", Noting(other, told))
    assert asked(app, "GET", "/by/k/x").text == "other"
    assert told["path_params"]["key"] == "k"


@pytest.mark.parametrize("ours", [True, False])
def test_a_text_that_no_converter_takes_is_no_failure_with_another_method(ours: bool) -> None:
    app = App()
    app.get("/items/{number:int}")(item)

    @app.middleware("http")
    async def look(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        assert request.scope["type"] == "http"
        return response

    for number, statuses in (("9" * 5000, (404, 405)), ("9", (405,))):
        if ours:
            with TestClient(app) as client:
                response = client.post(f"/items/{number}")
        else:
            response = asked(app, "POST", f"/items/{number}")
        assert response.status_code in statuses


def test_methods_are_those_that_starlette_and_fastapi_say() -> None:
    def function(request: Request) -> Response:
        return Response()

    assert Route("/", function).methods == {"GET", "HEAD"}
    assert Route("/", function, methods=["put", "get"]).methods == {"GET", "HEAD", "PUT"}
    assert Route("/", function, methods=["POST"]).methods == {"POST"}
    assert APIRoute("/", item).methods == {"GET"}
    router, app = APIRouter(), App(docs_url=None, redoc_url=None, openapi_url=None)
    router.add_route("/plain", function)
    router.get("/read")(item)
    app.include_router(router, dependencies=[Depends(lambda: None)])
    assert [each.methods for each in app.http_routes] == [{"GET", "HEAD"}, {"GET"}]
    assert Mount("/", routes=[Route("/", function)]).routes[0].methods == {"GET", "HEAD"}
