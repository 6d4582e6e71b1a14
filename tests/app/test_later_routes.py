"""Routes that a router gets after it was included."""

import gc
import weakref

from fluvial import APIRouter, App, Depends, WebSocket
from fluvial.testclient import TestClient


def note(seen: list[str], name: str):
    return Depends(lambda: seen.append(name))


def test_whoever_has_included_the_router_gets_them_too() -> None:
    seen: list[str] = []
    inner = APIRouter(prefix="/inner", dependencies=[note(seen, "inner")])
    outer, app, other = APIRouter(prefix="/outer"), App(), App()
    outer.include_router(inner, dependencies=[note(seen, "including")])
    app.include_router(outer, prefix="/v1", tags=["all"])
    other.include_router(inner)

    @inner.get("/item/{number}", name="item")
    async def item(number: int) -> int:
        return number

    @inner.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("late")

    outer.mount("/below", App())
    with TestClient(app) as client:
        assert client.get("/v1/outer/inner/item/3").json() == 3
        assert seen == ["including", "inner"]
        with client.websocket_connect("/v1/outer/inner/ws") as websocket:
            assert websocket.receive_text() == "late"
        assert client.get("/openapi.json").json()["paths"].keys() == {
            "/v1/outer/inner/item/{number}"
        }
    assert app.url_path_for("item", number=3) == "/v1/outer/inner/item/3"
    assert TestClient(other).get("/inner/item/4").json() == 4


def test_also_while_the_app_runs() -> None:
    router, app = APIRouter(), App()
    app.include_router(router, prefix="/late")
    with TestClient(app) as client:
        assert client.get("/late/x").status_code == 404
        router.get("/x")(lambda: "there")
        assert client.get("/late/x").json() == "there"


def test_a_router_does_not_keep_its_apps() -> None:
    router, app = APIRouter(), App()
    app.include_router(router)
    known = weakref.ref(app)
    del app
    gc.collect()
    assert known() is None
    router.get("/x")(lambda: "nobody gets it")
