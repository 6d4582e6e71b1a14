"""Attributes of routes that are assigned after the registration, before the app starts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import APIRouter, App, Depends, PlainTextResponse, Request, WebSocket, _core
from fluvial.routing import Route
from fluvial.testclient import TestClient
from support.middleware import Passing

if TYPE_CHECKING:
    from conftest import Serve


async def item(number: int = 1) -> int:
    return number


async def other(word: str) -> str:
    return word


def only(app: App) -> Any:
    return app.routes[-1]


def change_methods(app: App) -> None:
    only(app).methods = {"post"}


def add_a_method(app: App) -> None:
    only(app).methods.add("POST")


@pytest.mark.parametrize(
    ("change", "get"), [(change_methods, 405), (add_a_method, 200)], ids=["assigned", "added"]
)
@pytest.mark.parametrize("layered", [False, True])
def test_methods(change: Callable[[App], None], get: int, layered: bool) -> None:
    app = App()
    app.get("/item")(item)
    if layered:
        app.add_middleware(Passing)
    change(app)
    with TestClient(app) as client:
        assert client.post("/item").json() == 1
        assert client.get("/item").status_code == get
        assert "post" in client.get("/openapi.json").json()["paths"]["/item"]


def test_the_path_and_the_endpoint() -> None:
    app = App()
    app.get("/item/{number:int}")(item)
    route = only(app)
    route.path, route.endpoint = "/word/{word}", other
    client = TestClient(app)
    assert client.get("/word/a").json() == "a"
    assert client.get("/item/3").status_code == 404
    assert app.url_path_for("item", word="b") == "/word/b"
    # Once more, after it was served.
    route.path = "/{word}/end"
    assert client.get("/c/end").json() == "c"
    assert client.get("/word/a").status_code == 404


def test_dependencies_and_options() -> None:
    seen: list[str] = []
    app = App()
    given = [Depends(lambda: seen.append("given"))]
    app.get("/a", dependencies=given)(item)
    app.get("/b", dependencies=given)(item)
    first, second = app.routes[-2:]
    first.dependencies.append(Depends(lambda: seen.append("added")))
    second.dependencies = []
    second.status_code = 202
    client = TestClient(app)
    assert client.get("/b").status_code == 202
    assert seen == []
    assert client.get("/a").status_code == 200
    assert seen == ["given", "added"]
    assert len(given) == 1


def test_a_change_that_cannot_be_meant_is_refused_at_the_start() -> None:
    app = App()
    app.get("/item")(item)
    only(app).path = "no slash"
    with pytest.raises(ValueError, match=r"route GET no slash .*must begin with '/'"):
        TestClient(app).get("/item")


def test_starlettes_routes_and_websockets() -> None:
    app = App()
    app.add_route("/plain", lambda request: PlainTextResponse(request.method))
    plain = only(app)
    assert plain.methods == {"GET", "HEAD"}
    plain.methods = ["PUT"]

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("here")

    only(app).path = "/moved"
    client = TestClient(app)
    assert client.put("/plain").text == "PUT"
    assert client.get("/plain").status_code == 405
    with client.websocket_connect("/moved") as websocket:
        assert websocket.receive_text() == "here"


@contextlib.asynccontextmanager
async def changing(app: App) -> AsyncIterator[None]:
    only(app).path = "/changed"
    yield


@pytest.mark.parametrize("layered", [False, True])
def test_at_the_startup_on_a_socket(serve: Serve, layered: bool) -> None:
    app = App(lifespan=changing)
    app.get("/item")(item)
    if layered:
        app.add_middleware(Passing)
    client = serve(app).client
    assert client.get("/changed").json() == 1
    assert client.get("/item").status_code == 404


def test_a_router_that_is_included() -> None:
    app, router = App(), APIRouter(prefix="/of")
    router.get("/item")(item)
    app.include_router(router, prefix="/v1")
    only(app).methods = {"DELETE"}
    assert TestClient(app).delete("/v1/of/item").json() == 1


def test_the_pages_stay_when_routes_are_removed() -> None:
    app = App()
    app.get("/item")(item)
    page = TestClient(app).get("/docs").text
    asset = page.partition('src="')[2].partition('"')[0]
    app = App()
    app.get("/item")(item)
    app.routes.pop()
    assert TestClient(app).get(asset).status_code == 200
    assert TestClient(app).get("/item").status_code == 404


def test_requests_keep_the_names_of_their_parameters() -> None:
    app, kept = App(), []

    @app.get("/item/{number}")
    async def keep(request: Request) -> None:
        kept.append(request)

    client = TestClient(app)
    client.get("/item/3")
    only(app).path = "/elsewhere/{other}"
    client.get("/elsewhere/4")
    assert [each.path_params for each in kept] == [{"number": "3"}, {"other": "4"}]


def test_the_context_of_the_lifespan_can_be_wrapped() -> None:
    seen: list[str] = []
    app = App(on_startup=[lambda: seen.append("startup")], on_shutdown=[lambda: seen.append("end")])
    before = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def around(given: App) -> AsyncIterator[None]:
        seen.append("before")
        async with before(given):
            yield
        seen.append("after")

    app.router.lifespan_context = around
    with TestClient(app):
        assert seen == ["before", "startup"]
    assert seen == ["before", "startup", "end", "after"]


def test_tables_exchange_their_routes() -> None:
    first, second = _core.Router(), _core.Router()
    plan = Route("/", lambda request: None).make_plan(App().dependencies)
    first.add(("GET",), "/a/{x}", plan)
    second.add(("GET",), "/b", plan)
    first.swap(second)
    assert first.find("GET", "/b")[0] == second.find("GET", "/a/1")[0] == "found"
    assert first.find("GET", "/a/1")[0] == second.find("GET", "/b")[0] == "not_found"
    with pytest.raises(TypeError, match="expected a Router"):
        first.swap(None)  # type: ignore[arg-type]

    def exchange(_: str) -> None:
        with pytest.raises(RuntimeError, match="being looked up"):
            first.swap(second)

    first.add(("GET",), "/c/{x}", plan, (exchange,))
    assert first.find("GET", "/c/1")[0] == "not_found"
