"""A prefix that a proxy in front removes from paths, or leaves there."""

from typing import Any

import pytest
from fluvial import App, Request, WebSocket
from support.ws_client import connect


class Around:
    """ASGI middleware."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


async def tell_scope(scope: Any, receive: Any, send: Any) -> None:
    """An app to be mounted."""
    if scope["type"] != "http":
        raise NotImplementedError
    told = f"{scope['root_path']} {scope['path']} {scope['raw_path'].decode()}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told.encode()})


def make(around: bool, **options: Any) -> App:
    app = App(**options)
    app.get("/items/{name}", name="item")(_tell)
    app.get("/slash/")(lambda: 1)
    app.mount("/sub", tell_scope)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.url.path)

    if around:
        app.add_middleware(Around)
    return app


def _tell(request: Request, name: str) -> list[Any]:
    scope = request.scope
    return [
        name,
        str(request.url),
        str(request.url_for("item", name="x")),
        request.base_url.path,
        scope["root_path"],
        scope["path"],
        scope["raw_path"].decode(),
    ]


@pytest.mark.parametrize("around", [False, True], ids=["native", "asgi"])
@pytest.mark.parametrize("by_app", [False, True])
@pytest.mark.parametrize("prefix", ["", "/api/v1"], ids=["removed", "left"])
def test_routes_are_found_either_way(serve, prefix, by_app, around) -> None:
    root = {"root_path": "/api/v1"}
    served = serve(make(around, **root)) if by_app else serve(make(around), **root)
    host = {"host": "a.example"}
    url = "http://a.example/api/v1/items"
    assert served.client.get(f"{prefix}/items/a%20b", headers=host).json() == [
        "a b",
        f"{url}/a%20b",
        f"{url}/x",
        "/api/v1/",
        "/api/v1",
        "/api/v1/items/a b",
        "/api/v1/items/a%20b",
    ]
    mounted = served.client.get(f"{prefix}/sub/x%20y").text
    assert mounted == "/api/v1/sub /api/v1/sub/x y /api/v1/sub/x%20y"
    assert served.client.get(f"{prefix}/slash").status_code == 307
    assert served.client.get(f"{prefix}/nowhere").status_code == 404
    with connect(served) as ws:
        assert ws.open(f"{prefix}/ws").status == 101
        assert ws.read().payload == b"/api/v1/ws"


def test_only_whole_segments_are_the_prefix(serve) -> None:
    app = App()
    app.get("/apiary")(lambda: "bees")
    app.get("/")(lambda: "root")
    client = serve(app, root_path="/api").client
    assert client.get("/apiary").json() == "bees"
    assert client.get("/api").json() == client.get("/api/").json() == "root"
