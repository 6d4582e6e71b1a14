"""Options of apps, routers, routes and parameters that FastAPI has: each means something."""

import functools
import re
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fluvial import APIRouter, App, Body, Cookie, File, Form, Header, Path, Query
from pydantic import BaseModel
from support.openapi_names import names_of

if TYPE_CHECKING:
    from conftest import Serve


class Item(BaseModel):
    name: str


def test_bodies_without_content_type(serve: "Serve") -> None:
    app = App(strict_content_type=False)
    strict = APIRouter(strict_content_type=True)

    async def one(item: Item) -> str:
        return item.name

    async def member(item: Annotated[Item, Body(embed=True)]) -> str:
        return item.name

    app.post("/one")(one)
    app.post("/member")(member)
    app.post("/told", strict_content_type=True)(one)
    strict.post("/router")(one)
    app.include_router(strict)
    client = serve(app).client
    assert client.post("/one", content=b'{"name": "a"}').json() == "a"
    assert client.post("/member", content=b'{"item": {"name": "b"}}').json() == "b"
    text = {"content-type": "text/plain"}
    assert client.post("/one", content=b'{"name": "a"}', headers=text).status_code == 422
    for path in ("/told", "/router"):
        assert client.post(path, content=b'{"name": "a"}').status_code == 415


def test_the_nearest_limit_of_bodies_counts(serve: "Serve") -> None:
    app, router = App(max_body_size=20), APIRouter(max_body_size=30)

    async def length(item: Item) -> int:
        return len(item.name)

    app.post("/app")(length)
    app.post("/route", max_body_size=60)(length)
    app.post("/ours", body_limit=60)(length)
    router.post("/router")(length)
    app.include_router(router)
    client = serve(app).client

    def status(path: str, size: int) -> int:
        content = b'{"name":"%s"}' % (b"x" * (size - 11))
        headers = {"content-type": "application/json"}
        return client.post(path, content=content, headers=headers).status_code

    for path, limit in {"/app": 20, "/router": 30, "/route": 60, "/ours": 60}.items():
        assert status(path, limit) == 200
        assert status(path, limit + 1) == 413


class Endpoint:
    """What it says of itself isn't the route's."""

    def __call__(self, q: int) -> None: ...


def test_endpoints_that_are_no_functions() -> None:
    def named(a: int, q: int = 0) -> None: ...

    def make(framework: str) -> dict[str, Any]:
        app = names_of(framework).App(title="x")
        app.get("/partial")(functools.partial(named, 1))
        app.get("/object")(Endpoint())
        app.get("/method")(Endpoint().__call__)
        found: dict[str, Any] = app.openapi()
        return found

    assert make("fluvial") == make("fastapi")


@pytest.mark.filterwarnings("ignore:.*example.*")
def test_examples_as_they_were_before() -> None:
    def make(framework: str) -> dict[str, Any]:
        of = names_of(framework)
        app = of.App(title="x")

        @app.post("/a")
        def a(
            q: Annotated[int | str, of.Query(example=5, union_mode="left_to_right")],
            item: Annotated[Item, of.Body(example={"name": "b"})],
            many: Annotated[list[int], of.Header(fail_fast=True)] = [],  # noqa: B006
            word: Annotated[str, of.Cookie(pattern=re.compile("^a"))] = "a",
        ) -> None: ...

        found: dict[str, Any] = app.openapi()
        return found

    assert make("fluvial") == make("fastapi")


@pytest.mark.parametrize("marker", [Body, Cookie, File, Form, Header, Path, Query])
def test_unknown_options_of_parameters_are_refused_by_name(marker: Any) -> None:
    with pytest.raises(TypeError, match=rf"{marker.__name__}\(\) has no option 'maxlength'"):
        marker(maxlength=3)


def include_router(**options: Any) -> None:
    App().include_router(APIRouter(), **options)


@pytest.mark.parametrize("call", [App, APIRouter, include_router])
def test_unknown_options_of_apps_are_refused_by_name(call: Any) -> None:
    with pytest.raises(TypeError, match="has no option 'telemetry'"):
        call(telemetry=True)
