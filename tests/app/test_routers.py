"""APIRouter and include_router: prefixes, what is shared, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import fastapi
import pytest
from fluvial import APIRouter, App, Depends, HTMLResponse, Request, RouteWarning, WebSocket
from fluvial.responses import PlainTextResponse
from websockets.sync.client import connect

if TYPE_CHECKING:
    from conftest import Serve


def test_prefixes_add_up(serve: Serve) -> None:
    inner = APIRouter(prefix="/items")
    outer = APIRouter(prefix="/v1")
    app = App()

    @inner.get("")
    def all_items() -> str:
        return "all"

    @inner.get("/{item}")
    async def one(team: str, item: int) -> dict[str, Any]:
        return {"team": team, "item": item}

    @outer.get("/here")
    def here(request: Request) -> str:
        return request.url.path

    outer.include_router(inner, prefix="/teams/{team}")
    app.include_router(outer, prefix="/api")
    client = serve(app).client
    assert client.get("/api/v1/teams/red/items").json() == "all"
    assert client.get("/api/v1/teams/red/items/7").json() == {"team": "red", "item": 7}
    assert client.get("/api/v1/here").json() == "/api/v1/here"
    assert client.get("/items").status_code == 404
    assert [route.path for route in app.routes[4:]] == [
        "/api/v1/here",
        "/api/v1/teams/{team}/items",
        "/api/v1/teams/{team}/items/{item}",
    ]


def test_every_method_has_its_decorator(serve: Serve) -> None:
    router = APIRouter()
    methods = ("get", "post", "put", "patch", "delete", "options", "head", "trace")
    for method in methods:
        getattr(router, method)(f"/{method}")(lambda: None)
    router.api_route("/both", methods=["GET", "POST"])(lambda: "both")
    app = App()
    app.include_router(router)
    client = serve(app).client
    for method in methods:
        assert client.request(method, f"/{method}").status_code == 200
    assert client.post("/both").json() == "both"


def test_dependencies_run_from_the_outside_inwards(serve: Serve) -> None:
    def note(name: str) -> Any:
        def dependency(request: Request) -> None:
            request.state.steps = [*getattr(request.state, "steps", []), name]

        return Depends(dependency)

    router = APIRouter(dependencies=[note("router")])
    outer = APIRouter(dependencies=[note("outer")])
    app = App(dependencies=[note("app")])

    @router.get("/steps", dependencies=[note("route")])
    async def steps(request: Request) -> list[str]:
        found: list[str] = request.state.steps
        return found

    outer.include_router(router, dependencies=[note("inclusion")])
    app.include_router(outer, prefix="/a", dependencies=[note("last")])
    served = serve(app)
    expected = ["app", "last", "outer", "inclusion", "router", "route"]
    assert served.client.get("/a/steps").json() == expected


def test_websockets_have_prefixes_and_dependencies(serve: Serve) -> None:
    def note(name: str) -> Any:
        def dependency(websocket: WebSocket) -> None:
            websocket.state.steps = [*getattr(websocket.state, "steps", []), name]

        return Depends(dependency)

    router = APIRouter(prefix="/rooms", dependencies=[note("router")])
    app = App()

    @router.websocket("/{room}", dependencies=[note("route")])
    async def socket(websocket: WebSocket, room: int) -> None:
        await websocket.accept()
        await websocket.send_json([room, *websocket.state.steps])

    app.include_router(router, prefix="/ws", dependencies=[note("inclusion")])
    url = serve(app).url.replace("http", "ws", 1)
    with connect(f"{url}/ws/rooms/7", proxy=None) as client:
        assert client.recv() == '[7,"inclusion","router","route"]'


def test_the_nearest_response_class_wins(serve: Serve) -> None:
    router = APIRouter(default_response_class=HTMLResponse)
    plain = APIRouter()
    app = App()
    router.get("/router")(lambda: "x")
    router.get("/route", response_class=PlainTextResponse)(lambda: "x")
    plain.get("/inclusion")(lambda: "x")
    app.include_router(router, default_response_class=PlainTextResponse)
    app.include_router(plain, default_response_class=PlainTextResponse)
    client = serve(app).client
    found = {
        path: client.get(f"/{path}").headers["content-type"].partition(";")[0]
        for path in ("router", "route", "inclusion")
    }
    assert found == {"router": "text/html", "route": "text/plain", "inclusion": "text/plain"}


def test_what_describes_routes_is_combined() -> None:
    router = APIRouter(tags=["router"], responses={404: {"description": "router"}})
    app = App()
    router.get("/a", tags=["route"], responses={410: {"description": "route"}})(lambda: None)
    app.include_router(
        router,
        tags=["inclusion"],
        responses={404: {"description": "inclusion"}, 418: {"description": "inclusion"}},
        deprecated=True,
        include_in_schema=False,
    )
    options = app.routes[-1].options
    assert options.get("tags") == ["inclusion", "router", "route"]
    assert options.get("responses") == {
        404: {"description": "router"},
        410: {"description": "route"},
        418: {"description": "inclusion"},
    }
    assert options.get("deprecated") is True
    assert options.get("include_in_schema") is False
    assert router.routes[0].path == "/a"  # as it was


def test_one_router_may_be_included_twice_and_by_several_apps(serve: Serve) -> None:
    router = APIRouter()
    router.get("/x")(lambda: "x")
    first, second = App(), App()
    first.include_router(router, prefix="/a")
    first.include_router(router, prefix="/b")
    second.include_router(router)
    router.get("/late")(lambda: "late")
    client = serve(first).client
    assert [client.get(path).status_code for path in ("/a/x", "/b/x", "/a/late")] == [200, 200, 200]
    assert serve(second).client.get("/x").json() == "x"


def test_a_route_of_a_router_that_the_app_has_already() -> None:
    router = APIRouter()
    router.get("/x")(lambda: "second")
    app = App()
    app.get("/x")(lambda: "first")
    with pytest.warns(RouteWarning, match="GET /x has a handler already"):
        app.include_router(router)


@pytest.mark.parametrize("prefix", ["a", "/a/", "/"])
def test_a_malformed_prefix(prefix: str) -> None:
    with pytest.raises(ValueError, match="a prefix begins with '/' and ends without"):
        APIRouter(prefix=prefix)
    with pytest.raises(ValueError, match="a prefix begins with '/' and ends without"):
        App().include_router(APIRouter(), prefix=prefix)


def test_an_empty_path_needs_a_prefix() -> None:
    def root() -> None: ...

    router = APIRouter()
    router.get("")(root)
    with pytest.raises(ValueError, match=r"root: prefix and path can't both be empty"):
        App().include_router(router)


def test_errors_name_the_whole_path() -> None:
    def handler(value: Annotated[str, fastapi.Query()]) -> None: ...

    router = APIRouter(prefix="/inner")
    router.get("/x")(handler)
    with pytest.raises(TypeError, match=r"route GET /outer/inner/x .*handler.*fastapi"):
        App().include_router(router, prefix="/outer")


MISUSES: list[tuple[Any, str]] = [
    (lambda: APIRouter(prefixx="/a"), "APIRouter.. has no option 'prefixx'; did you mean 'prefix'"),
    (lambda: APIRouter(prefix=7), "prefix must be a str, not 7"),
    (lambda: APIRouter(dependencies=[len]), "write Depends"),
    (
        lambda: APIRouter(default_response_class=dict),
        r"^APIRouter\(\): default_response_class must be a class of fluvial's",
    ),
    (lambda: APIRouter().get(len), r"write @router\.get\("),
    (lambda: APIRouter().get("/", statuscode=1), r"@router\.get\(\) has no option 'statuscode'"),
    (lambda: APIRouter().websocket(len), r"write @router\.websocket\("),
    (lambda: App().include_router(App()), r"takes an APIRouter, not .*: mount\(\) takes apps"),
    (lambda: App().include_router(fastapi.APIRouter()), "fastapi"),
    (lambda: App().include_router(APIRouter(), dependencies=[len]), "write Depends"),
    (
        lambda: App().include_router(APIRouter(), dependencies=Depends(len)),
        r"^app\.include_router\(\): write dependencies=\[",
    ),
    (
        lambda: App().include_router(APIRouter(), default_response_class=dict),
        r"^app\.include_router\(\): default_response_class must be",
    ),
    (lambda: App().include_router(APIRouter(), tag=["a"]), "did you mean 'tags'"),
]


@pytest.mark.parametrize(("misuse", "message"), MISUSES)
def test_misuse(misuse: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        misuse()


def test_a_router_does_not_include_itself() -> None:
    router = APIRouter()
    with pytest.raises(ValueError, match="can't include itself"):
        router.include_router(router)


def test_a_router_may_begin_with_routes() -> None:
    first = APIRouter()
    first.get("/a")(lambda: "a")
    app = App()
    app.include_router(APIRouter(prefix="/b", routes=first.routes, redirect_slashes=False))
    assert [route.path for route in app.routes][-1] == "/b/a"
    with pytest.raises(TypeError, match="default is the including app's affair"):
        APIRouter(default=print)
