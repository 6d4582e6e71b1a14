"""Routes of functions of the request, as Starlette's programs compose them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fluvial import (
    APIRouter,
    App,
    Depends,
    HTTPException,
    JSONResponse,
    Path,
    PlainTextResponse,
    Request,
    Response,
    Router,
    Starlette,
    WebSocket,
    _core,
)
from fluvial.convertors import Convertor, register_url_convertor
from fluvial.endpoints import HTTPEndpoint, WebSocketEndpoint
from fluvial.exceptions import NoMatchFound
from fluvial.middleware import Middleware
from fluvial.routing import Host, Mount, Route, WebSocketRoute
from fluvial.testclient import TestClient
from support.middleware import Passing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def told(request: Any) -> Response:
    return JSONResponse({"params": request.path_params, "app": type(request.app).__name__})


async def urls(request: Any) -> Response:
    return JSONResponse([str(request.url_for("root")), str(request.url_for("inner:urls"))])


class Page(HTTPEndpoint):
    async def get(self, request: Request) -> Response:
        return PlainTextResponse("got")

    def post(self, request: Request) -> Response:
        return PlainTextResponse("posted")


class Echo(WebSocketEndpoint):
    encoding = "text"

    async def on_receive(self, websocket: WebSocket, data: str) -> None:
        await websocket.send_text(data + websocket.path_params["name"])


async def plain(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse(f"asgi {scope['path']}")(scope, receive, send)


class Plain:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await plain(scope, receive, send)


class Stamp:
    def __init__(self, app: Any, text: str) -> None:
        self.app, self.text = app, text

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def stamped(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"stamp", self.text.encode())]
            await send(message)

        await self.app(scope, receive, stamped)


def stamp(text: str) -> list[Middleware]:
    return [Middleware(Stamp, text=text)]


def make_app() -> Starlette:
    return Starlette(
        routes=[
            Route("/", told, name="root"),
            Route("/page", Page),
            Route("/asgi", Plain()),
            Route("/stamped", told, middleware=stamp("route")),
            WebSocketRoute("/echo/{name}", Echo),
            Mount(
                "/inner",
                routes=[Route("/urls", urls, name="urls"), Route("/{n:int}", told)],
                name="inner",
                middleware=stamp("mount"),
            ),
            Mount("/of/{tenant:int}", routes=[Route("/at/{place}", told, name="at")], name="of"),
            Host("{shop}.example.org", Router([Route("/", told)])),
        ]
    )


@pytest.mark.parametrize("mounted", [False, True])
def test_every_kind_of_route(mounted: bool) -> None:
    app: Any = make_app()
    if mounted:
        outer = App()
        outer.mount("/below", app)
        app = outer
    at = "/below" if mounted else ""
    client = TestClient(app)
    own = {"params": {}, "app": "Starlette"}
    assert client.get(f"{at}/").json() == own
    assert client.get(f"{at}/page").text == "got"
    assert client.head(f"{at}/page").status_code == 200
    assert client.post(f"{at}/page").text == "posted"
    refused = client.put(f"{at}/page")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, POST")
    assert client.get(f"{at}/asgi").text == f"asgi {at}/asgi"
    assert client.get(f"{at}/stamped").headers["stamp"] == "route"
    inner = client.get(f"{at}/inner/7")
    assert inner.json() == {**own, "params": {"n": 7}}
    assert inner.headers["stamp"] == "mount"
    below = client.get(f"{at}/of/3/at/home")
    assert below.json() == {**own, "params": {"tenant": 3, "place": "home"}}
    assert client.get(f"{at}/of/x/at/home").status_code == 404
    shop = client.get(f"{at}/", headers={"host": "shoes.example.org"})
    assert shop.json()["params"] == {"shop": "shoes"}
    with client.websocket_connect(f"{at}/echo/b") as socket:
        socket.send_text("a")
        assert socket.receive_text() == "ab"


def test_names_are_those_of_the_whole_app() -> None:
    base = "http://testserver"
    assert TestClient(make_app()).get("/inner/urls").json() == [f"{base}/", f"{base}/inner/urls"]
    app = make_app()
    assert app.url_path_for("of:at", tenant=3, place="x") == "/of/3/at/x"
    assert app.url_path_for("inner", path="a") == "/inner/a"
    with pytest.raises(NoMatchFound):
        app.url_path_for("of:at", tenant=3)
    # An app that is mounted finds its own names first, and then those of the app around it.
    outer = App()
    outer.add_route("/outer", lambda request: PlainTextResponse(), name="outer")

    async def links(request: Request) -> Response:
        return JSONResponse([str(request.url_for(name)) for name in ("own", "outer", "sub:own")])

    outer.mount("/sub", Starlette(routes=[Route("/own", links, name="own")]), name="sub")
    found = TestClient(outer).get("/sub/own").json()
    assert found == [f"{base}/sub/own", f"{base}/outer", f"{base}/sub/own"]


def test_errors_are_text_here_and_json_there() -> None:
    def fail(request: Any) -> Response:
        raise HTTPException(418, "short and stout")

    assert TestClient(Starlette(routes=[Route("/", fail)])).get("/").text == "short and stout"
    assert TestClient(Router([Route("/", fail)])).get("/nowhere").text == "Not Found"
    assert TestClient(App(routes=[Route("/", fail)])).get("/").json() == {
        "detail": "short and stout"
    }


def test_the_list_of_routes_can_be_changed() -> None:
    app = App(openapi_url=None)

    @app.get("/kept")
    async def kept() -> str:
        return "kept"

    @app.get("/dropped")
    async def dropped() -> str:
        return "dropped"

    app.routes.append(Mount("/mounted", plain))
    app.router.routes.insert(0, Route("/kept", lambda request: PlainTextResponse("first")))
    app.routes.remove(next(route for route in app.routes if route.path == "/dropped"))
    client = TestClient(app)
    assert client.get("/kept").text == "first"
    assert client.get("/dropped").status_code == 404
    assert client.get("/mounted/x").text == "asgi /mounted/x"
    app.routes.append(Route("/late", told))
    assert client.get("/late").status_code == 200
    with pytest.raises(RuntimeError, match="has started"):
        app.routes.pop()
    assert len(app.routes) == 4
    app = Starlette()
    app.routes = [Route("/only", told)]
    assert TestClient(app).get("/only").status_code == 200
    with pytest.raises(TypeError, match="routes are Route"):
        app.routes.append(3)


def test_routers_pass_on_all_kinds() -> None:
    router = APIRouter(prefix="/api")
    router.mount("/files", plain)
    router.add_route("/plain", told)
    router.add_websocket_route("/echo/{name}", Echo)
    app = App()
    app.include_router(router, prefix="/v1")
    for client, at in ((TestClient(app), "/v1/api"), (TestClient(router), "/api")):
        assert client.get(f"{at}/files/a").text == f"asgi {at}/files/a"
        assert client.get(f"{at}/plain").status_code == 200
        with client.websocket_connect(f"{at}/echo/d") as socket:
            socket.send_text("c")
            assert socket.receive_text() == "cd"


class Hex(Convertor[int]):
    regex = "[0-9a-f]+"

    def convert(self, value: str) -> int:
        return int(value, 16)

    def to_string(self, value: int) -> str:
        return f"{value:x}"


def test_kinds_of_parameters_can_be_added() -> None:
    register_url_convertor("hex", Hex())
    app = App()
    app.add_route("/plain/{n:hex}", told, name="plain")

    @app.get("/read/{n:hex}")
    async def read(n: str) -> str:
        return n

    client = TestClient(app)
    assert client.get("/plain/ff").json()["params"] == {"n": 255}
    assert client.get("/read/ff").json() == "ff"
    for path in ("/plain/xyz", "/read/xyz", "/plain/f/f"):
        assert client.get(path).status_code == 404
    assert app.url_path_for("plain", n=255) == "/plain/ff"


class Day(Convertor[datetime.date]):
    regex = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"

    def convert(self, value: str) -> datetime.date:
        return datetime.datetime.strptime(value, "%Y-%m-%d").date()

    def to_string(self, value: datetime.date) -> str:
        return value.isoformat()


class Pair(Convertor[list[str]]):
    regex = "[a-z]+/[a-z]+"

    def convert(self, value: str) -> list[str]:
        return value.split("/")

    def to_string(self, value: list[str]) -> str:
        return "/".join(value)


@pytest.mark.parametrize("before", [(), (Depends(lambda: None),)])
def test_declared_parameters_get_what_a_converter_makes(before: Any) -> None:
    register_url_convertor("hex", Hex())
    register_url_convertor("day", Day())
    app = App(dependencies=before)

    @app.get("/number/{n:hex}")
    async def number(n: int) -> Any:
        return [type(n).__name__, n]

    @app.get("/bounded/{n:hex}")
    async def bounded(n: Annotated[int, Path(lt=256)]) -> Any:
        return n

    @app.get("/any/{n:hex}")
    async def unannotated(n) -> Any:  # type: ignore[no-untyped-def]
        return [type(n).__name__, n]

    @app.get("/day/{d:day}")
    async def day(d: datetime.date) -> Any:
        return [type(d).__name__, d]

    client = TestClient(app)
    assert client.get("/number/ff").json() == ["int", 255]
    assert client.get("/any/ff").json() == ["int", 255]
    assert client.get("/bounded/ff").json() == 255
    problem = client.get("/bounded/100").json()["detail"][0]
    assert (problem["type"], problem["input"]) == ("less_than", 256)
    assert client.get("/day/2024-02-29").json() == ["date", "2024-02-29"]
    assert client.get("/day/2024-02-30").status_code == 422
    assert client.get("/day/tomorrow").status_code == 404


@pytest.mark.parametrize("around", [False, True])
def test_a_converter_leaves_deeper_paths_to_later_routes(around: bool) -> None:
    register_url_convertor("hex", Hex())
    register_url_convertor("pair", Pair())
    register_url_convertor("segment", type("Segment", (Hex,), {"regex": r"[^/]+\.[^/x]+"})())
    app = App()
    if around:

        @app.middleware("http")
        async def pass_on(request: Request, call_next: Any) -> Response:
            return await call_next(request)

    app.add_route("/a/{n:hex}", told, name="first")
    app.add_route("/a/{n}/b", lambda request: PlainTextResponse("later"))
    app.add_route("/s/{n:segment}", lambda request: PlainTextResponse("segment"))
    app.add_route("/s/{n:path}", lambda request: PlainTextResponse("path"))
    app.add_route("/p/{n:pair}", lambda request: PlainTextResponse(str(request.path_params["n"])))
    client = TestClient(app)
    assert client.get("/a/ff").json()["params"] == {"n": 255}
    assert client.get("/a/ff/b").text == "later"
    assert client.get("/s/deep/er").text == "path"
    assert client.get("/p/one/two").text == "['one', 'two']"
    assert client.get("/p/one").status_code == 404


@pytest.mark.parametrize("around", [None, "function", "layer"])
def test_texts_that_do_not_fit_a_converter_are_left_to_later_routes(around: Any) -> None:
    """Also those of other methods and with another slash, and of WebSockets."""
    register_url_convertor("hex", Hex())
    app = App()
    if around == "function":

        @app.middleware("http")
        async def pass_on(request: Request, call_next: Any) -> Response:
            return await call_next(request)

    if around == "layer":
        app.add_middleware(Passing)

    @app.get("/x/{n:hex}")
    async def number(n: int) -> int:
        return n

    app.add_route("/x/{name}", lambda request: PlainTextResponse("later"), methods=["GET", "PUT"])
    app.add_route("/only/{n:hex}", told)
    app.add_route("/{a:hex}-{b:hex}", told)
    app.add_route("/slash/{n:hex}/", told)
    app.add_route("/below/{n:hex}/{rest:path}", told)
    app.mount("/only", plain)

    @app.websocket("/ws/{n:hex}")
    async def numbers(websocket: WebSocket, n: int) -> None:
        await websocket.accept()
        await websocket.send_text(f"number {n}")

    @app.websocket("/ws/{name}")
    async def names(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        await websocket.send_text(f"name {name}")

    with TestClient(app, follow_redirects=False) as client:
        assert client.get("/x/ff").json() == 255
        assert client.get("/x/fig").text == "later"
        assert client.head("/x/fig").status_code == 200
        assert client.put("/x/ff").text == "later"
        assert client.put("/x/fig").text == "later"
        refused = client.post("/x/ff")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, PUT")
        assert client.post("/x/fig").headers["allow"] == "GET, HEAD, PUT"
        assert client.get("/only/fig").text == "asgi /only/fig"
        assert client.get("/a-b").json()["params"] == {"a": 10, "b": 11}
        assert client.get("/a-g").status_code == client.post("/a-g").status_code == 404
        assert client.get("/slash/a").status_code == 307
        assert client.get("/slash/g").status_code == 404
        assert client.get("/below/a/b/c").json()["params"] == {"n": 10, "rest": "b/c"}
        for path, said in (("/ws/1f", "number 31"), ("/ws/fig", "name fig")):
            with client.websocket_connect(path) as socket:
                assert socket.receive_text() == said


def test_routes_stay_as_they_are_while_one_is_looked_up() -> None:
    table = _core.Router()
    plan = _core.Plan(lambda: None, kind=_core.INLINE)
    refused: list[str] = []

    def change(text: str) -> bool:
        for call in (lambda: table.add(("GET",), "/b", plan), lambda: table.replace(plan, plan)):
            with pytest.raises(RuntimeError, match="while one is being looked up") as caught:
                call()
            refused.append(str(caught.value))
        assert table.find("GET", "/c")[0] == "not_found"
        return True

    table.add(("GET",), "/a/{x}", plan, (change,))
    assert table.find("GET", "/a/ä") == ("found", plan, ("ä",))
    assert len(refused) == 2
    table.add(("GET",), "/b/{x}/{y}", plan, (None, {}.__getitem__))
    assert table.find("GET", "/b/1/2") == ("not_found", None, ())
    with pytest.raises(ValueError, match="fits must have 1 items, not 2"):
        table.add(("GET",), "/d/{x}", plan, (None, None))
    with pytest.raises(ValueError, match="fits must have 0 items, not 1"):
        table.add(("GET",), "/d", plan, len)


@pytest.mark.parametrize("offsets", [None, 1, (), (0,), (0, 4), (-1, 2), (2, 1), ("0", "1")])
def test_a_split_that_leads_out_of_the_path_is_none(offsets: Any) -> None:
    table = _core.Router()
    plan = _core.Plan(lambda: None, kind=_core.INLINE)
    table.add(("GET",), "/a/{x}", plan, lambda text: offsets)
    assert table.find("GET", "/a/abc") == ("not_found", None, ())
    table.add(("GET",), "/b/{x}", plan, lambda text: (1, 2))
    assert table.find("GET", "/b/abc") == ("found", plan, ("b",))


class Letters(Hex):
    regex = "[a-zé]+"
    convert = to_string = staticmethod(str)


@pytest.mark.parametrize("around", [None, "layer"])
def test_parameters_of_one_segment_are_split_in_every_way(around: Any) -> None:
    register_url_convertor("hex", Hex())
    register_url_convertor("letters", Letters())
    register_url_convertor("pair", Pair())
    app = App()
    if around == "layer":
        app.add_middleware(Passing)
    app.add_route("/{a:letters}-{b}", told)
    app.add_route("/two/{a:letters}{b:hex}.txt", told)
    app.add_route("/three/{a}{b:letters}{c:int}/end", told)
    app.add_route("/slash/{a:pair}.{b:letters}", told)

    @app.websocket("/ws/{a:letters}-{b}")
    async def socket(websocket: WebSocket, a: str, b: str) -> None:
        await websocket.accept()
        await websocket.send_json([a, b])

    with TestClient(app) as client:

        def params(path: str) -> Any:
            response = client.get(path)
            return response.json()["params"] if response.status_code == 200 else None

        assert params("/a-b-c") == {"a": "a", "b": "b-c"}
        assert params("/1-b-c") is None
        assert params("/two/éa1.txt") == {"a": "éa", "b": 1}
        assert params("/two/é1.txt") == {"a": "é", "b": 1}
        assert params("/two/11.txt") is None
        assert params("/three/12ab3/end") == {"a": "12a", "b": "b", "c": 3}
        assert params("/slash/a/b.c.d") is None
        assert params("/slash/a/b.c") == {"a": ["a", "b"], "b": "c"}
        with client.websocket_connect("/ws/a-b-c") as websocket:
            assert websocket.receive_json() == ["a", "b-c"]


def test_parts_are_apps_by_themselves() -> None:
    for part in (Route("/", told), Mount("/", plain), Router([Route("/", told)])):
        assert TestClient(part).get("/").status_code == 200
    assert TestClient(Router(default=plain)).get("/any").text == "asgi /any"


def test_what_nothing_handles_is_raised_to_other_servers() -> None:
    """After the 500, as Starlette's apps do; an App of Fluvial's own logs it."""

    def fail(request: Any) -> Response:
        raise ValueError("it is wrong")

    async def call() -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request"}

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        with pytest.raises(ValueError, match="it is wrong"):
            await Starlette(routes=[Route("/", fail)])(scope, receive, send)
        return sent

    assert asyncio.run(call())[0]["status"] == 500


def test_a_refused_change_of_the_routes_changes_nothing() -> None:
    app = App()
    app.get("/a")(lambda: "a")
    app.get("/b")(lambda: "b")
    app.mount("/m", App())
    listed = list(app.routes)
    with pytest.raises(TypeError):
        app.routes.insert(1, object())
    assert list(app.routes) == listed
    with TestClient(app) as client:
        assert (client.get("/a").json(), client.get("/b").json()) == ("a", "b")


def test_the_document_follows_a_change_of_the_routes() -> None:
    app = App()
    app.get("/old")(lambda: "old")
    other = App()
    other.get("/new")(lambda: "new")
    assert "/old" in app.openapi()["paths"]
    at = [getattr(route, "path", "") for route in app.routes].index("/old")
    app.routes[at] = next(each for each in other.routes if getattr(each, "path", "") == "/new")
    assert list(app.openapi()["paths"]) == ["/new"]


@pytest.mark.parametrize("kind", ["host", "mount"])
def test_lifespans_follow_a_change_of_the_routes(kind: str) -> None:
    events: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        events.append("start")
        yield
        events.append("stop")

    inner = App(lifespan=lifespan)

    def compose() -> App:
        app = App()
        if kind == "host":
            app.host("api.example.org", inner)
        else:
            app.mount("/p/{name}", inner)
        return app

    app = compose()
    app.routes.insert(0, Route("/told", told))
    with TestClient(app):
        assert events == ["start"]
    assert events == ["start", "stop"]
    app = compose()
    app.routes.pop()
    with TestClient(app):
        pass
    assert events == ["start", "stop"]


def test_parameters_of_a_prefix_are_converted() -> None:
    router = APIRouter()
    router.add_route("/x/{m:int}", told)
    app = App()
    app.include_router(router, prefix="/{n:int}")
    assert TestClient(app).get("/5/x/6").json()["params"] == {"n": 5, "m": 6}


def test_a_failure_after_the_call_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A task that a request has started may ask an app when the request is over."""

    def fail(request: Any) -> Response:
        raise ValueError("it failed late")

    inner = Starlette(routes=[Route("/", fail)])

    async def main() -> None:
        ended, tasks = asyncio.Event(), []

        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            pass

        def scope() -> Any:
            return {"type": "http", "method": "GET", "path": "/", "headers": []}

        async def later() -> None:
            await ended.wait()
            await inner(scope(), receive, send)

        async def start(request: Any) -> Response:
            tasks.append(asyncio.create_task(later()))
            return PlainTextResponse("started")

        await Starlette(routes=[Route("/", start)])(scope(), receive, send)
        ended.set()
        await tasks[0]

    asyncio.run(main())
    assert "it failed late" in caplog.text
