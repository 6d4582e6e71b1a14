"""url_path_for and url_for: routes by name, and the way back to their parameters."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import APIRouter, App, Request, WebSocket
from fluvial.datastructures import URLPath
from fluvial.routing import NoMatchFound

if TYPE_CHECKING:
    from conftest import Serve

ID = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
VALUES: list[tuple[str, Any, str]] = [
    ("text", "plain", "plain"),
    ("text", "a b", "a%20b"),
    ("text", "100%", "100%25"),
    ("text", "?&#=", "%3F&%23="),
    ("text", "Zoë", "Zo%C3%AB"),
    ("text", 7, "7"),
    ("number", 42, "42"),
    ("real", 0.5, "0.5"),
    ("real", 3.0, "3"),
    ("real", 1e-7, "0.0000001"),
    ("one", ID, str(ID)),
    ("rest", "a/b c", "a/b%20c"),
]


def make_app() -> App:
    app = App()
    kinds = {"text": "", "number": ":int", "real": ":float", "one": ":uuid", "rest": ":path"}
    for name, kind in kinds.items():

        async def read(request: Request) -> str:
            return str(request.path_params["value"])

        app.get(f"/{name}/{{value{kind}}}", name=name)(read)
    return app


@pytest.mark.parametrize(("name", "value", "text"), VALUES)
def test_a_path_leads_back_to_its_value(serve: Serve, name: str, value: Any, text: str) -> None:
    app = make_app()
    path = app.url_path_for(name, value=value)
    assert path == f"/{name}/{text}"
    found = type(value)(serve(app).client.get(str(path)).json())
    assert found == pytest.approx(value) if isinstance(value, float) else found == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("text", ""), ("text", "a/b"), ("number", -1), ("number", "1"), ("number", 1.5)),
        *(("real", -0.5), ("real", float("nan")), ("real", float("inf")), ("one", "no uuid")),
        ("rest", ""),
    ],
)
def test_a_value_that_the_route_would_not_match(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match="can't be the path's parameter 'value'"):
        make_app().url_path_for(name, value=value)


@pytest.mark.parametrize(
    ("name", "params"), [("nobody", {}), ("text", {}), ("text", {"value": 1, "more": 2})]
)
def test_no_route(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(NoMatchFound, match=f'No route exists for name "{name}"'):
        make_app().url_path_for(name, **params)


def test_the_first_route_of_the_name_with_these_parameters() -> None:
    app = App()
    app.get("/items", name="items")(lambda: None)
    app.get("/items/{item}", name="items")(lambda item: None)
    assert app.url_path_for("items") == "/items"
    assert app.url_path_for("items", item="a") == "/items/a"


def test_routes_have_the_names_of_their_handlers_and_the_prefixes_of_their_routers() -> None:
    router = APIRouter(prefix="/items")

    @router.get("/{item}")
    def read_item(item: str) -> None: ...

    app = App()
    app.include_router(router, prefix="/v1")
    assert app.url_path_for("read_item", item="a") == "/v1/items/a"


def test_url_for_in_a_request_and_in_a_websocket(serve: Serve) -> None:
    app = App()

    @app.get("/items/{item}")
    async def read_item(request: Request, item: str) -> list[str]:
        other = request.url_for("read_item", item="b c")
        return [str(other), str(request.url_for("socket", room=1)), other.path]

    @app.websocket("/rooms/{room}")
    async def socket(websocket: WebSocket, room: int) -> None: ...

    served = serve(app)
    host = served.url.removeprefix("http://")
    assert served.client.get("/items/a?q=1").json() == [
        f"http://{host}/items/b%20c",
        f"ws://{host}/rooms/1",
        "/items/b%20c",
    ]


def test_url_for_in_an_app_that_is_mounted(serve: Serve) -> None:
    inner, outer = App(), App()

    @inner.get("/here")
    async def here(request: Request) -> str:
        return str(request.url_for("here"))

    outer.mount("/below", inner)
    served = serve(outer)
    assert served.client.get("/below/here").json() == f"{served.url}/below/here"


def test_the_scheme_of_an_absolute_url() -> None:
    assert str(URLPath("/a").make_absolute_url("https://h/root/")) == "https://h/root/a"
    assert str(URLPath("/a").make_absolute_url("wss://h")) == "https://h/a"
    assert str(URLPath("/a", "websocket").make_absolute_url("http://h/")) == "ws://h/a"
