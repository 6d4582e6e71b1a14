"""route.matches(scope): what a route says of a request is what the server does with it."""

from typing import Any

from conftest import Serve
from fluvial import App, Request, WebSocket
from fluvial._application.matching import Match

PATHS = [
    "/",
    "/items/{number:int}",
    "/prices/{amount:float}",
    "/users/{name}",
    "/users/{name}/files/{rest:path}",
    "/keys/{key:uuid}",
    "/a.b/{x}-{y}.json",
]
ASKED = [
    "/",
    "/items/12",
    "/items/-1",
    "/items/x",
    "/prices/1.5",
    "/prices/7",
    "/prices/1.",
    "/users/ann",
    "/users/a/b",
    "/users/ann/files/x/y.txt",
    "/keys/01234567-89ab-cdef-0123-456789abcdef",
    "/keys/0123456789abcdef0123456789abcdef",
    "/a.b/1-2.json",
    "/aXb/1-2.json",
    "/nowhere",
]


def test_it_is_what_the_server_does(serve: Serve) -> None:
    app = App(docs_url=None, redoc_url=None, openapi_url=None)
    for path in PATHS:

        async def tell(request: Request, path: str = path) -> Any:
            fits = [
                (route.path, {n: str(v) for n, v in child["path_params"].items()})
                for route in app.routes
                for match, child in [route.matches(request.scope)]
                if match is Match.FULL
            ]
            return [fits, {name: str(value) for name, value in request.path_params.items()}]

        app.add_api_route(path, tell, name=path)
    client = serve(app).client
    for asked in ASKED:
        answer = client.get(asked)
        scope = {"type": "http", "method": "GET", "path": asked}
        fits = [r.path for r in app.routes if r.matches(scope)[0] is Match.FULL]
        if answer.status_code == 404:
            assert fits == [], asked
        else:
            [[path, params]], own = answer.json()
            assert (fits, params) == ([path], own), asked


def test_methods_root_paths_and_sockets() -> None:
    app = App(docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/x/{a}")
    @app.get("/x/{a}")
    async def here(a: int) -> None: ...

    @app.websocket("/x/{a}")
    async def socket(socket: WebSocket) -> None: ...

    get, post, _ = app.routes
    [talk] = app.websockets.routes

    def match(route: Any, method: str = "GET", kind: str = "http", **more: Any) -> Match:
        scope = {"type": kind, "path": "/x/1", "path_params": {"b": 2}, **more}
        found, child = route.matches(scope if kind != "http" else {**scope, "method": method})
        if found is not Match.NONE:
            assert child == {"endpoint": route.endpoint, "path_params": {"a": "1", "b": 2}}
        return found

    assert [match(get, method) for method in ("GET", "HEAD")] == [Match.FULL] * 2
    assert match(get, "POST") is Match.PARTIAL
    assert match(post, "POST") is Match.FULL
    assert match(post, "HEAD") is Match.PARTIAL
    assert match(get, root_path="/api", path="/api/x/1") is Match.FULL
    assert match(get, root_path="/api", path="/apix/1") is Match.NONE
    assert match(get, kind="websocket") is match(talk) is Match.NONE
    assert match(talk, kind="websocket") is Match.FULL
