"""app.host(): other apps for other hosts."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import Serve
from fluvial import App, Request, WebSocket
from support.serving import serving
from websockets.sync.client import connect


def make_app(events: list[str] | None = None) -> App:
    events = [] if events is None else events

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[dict[str, str]]:
        events.append("in")
        yield {"from": "the shop's lifespan"}
        events.append("out")

    app, shop, plain = App(), App(lifespan=lifespan), App()

    @app.get("/")
    @app.get("/only-here")
    async def here(request: Request) -> dict[str, str]:
        return {
            "here": str(request.url_for("shop:item", shop="books", number=3)),
            "plain": str(request.url_for("named", path="/a b")),
        }

    @shop.get("/")
    async def front(request: Request) -> Any:
        return [request.path_params["shop"], request.state["from"]]

    @shop.get("/items/{number}", name="item")
    def item(number: int, request: Request) -> Any:
        return [number, str(request.url_for("item", number=number))]

    @shop.websocket("/talk")
    async def talk(talk: WebSocket) -> None:
        await talk.accept()
        await talk.send_text(talk.path_params["shop"])
        await talk.close()

    @plain.get("/")
    async def root() -> str:
        return "plain"

    app.host("{shop}.shops.example", shop, name="shop")
    app.host("Plain.example", plain, name="named")

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("content-type", "text/plain")])
        return [environ["PATH_INFO"].encode()]

    app.host("old.example:8000", wsgi)
    return app


def test_each_host_has_its_app(serve: Serve) -> None:
    client = serve(make_app()).client

    def get(host: str, path: str = "/") -> Any:
        return client.get(path, headers={"host": host})

    assert get("books.shops.example").json() == ["books", "the shop's lifespan"]
    assert get("TOYS.shops.example:1234").json()[0] == "toys"
    assert get("plain.EXAMPLE").json() == "plain"
    assert get("old.example:8000", "/x/y").text == "/x/y"
    assert get("books.shops.example", "/only-here").status_code == 404
    for other in ("example", "shops.example", "a.b.shops.example", "plainxexample", "old.example"):
        assert "here" in get(other).json(), other


def test_urls_of_hosts(serve: Serve) -> None:
    client = serve(make_app()).client
    assert client.get("/", headers={"host": "main.example"}).json() == {
        "here": "http://books.shops.example/items/3",
        "plain": "http://Plain.example/a%20b",
    }
    found = client.get("/items/7", headers={"host": "toys.shops.example"}).json()
    assert found == [7, "http://toys.shops.example/items/7"]


def test_websockets_of_hosts(serve: Serve) -> None:
    sock = serve(make_app()).connect_plain()
    with connect("ws://toys.shops.example/talk", sock=sock) as talk:
        assert list(talk) == ["toys"]


def test_the_lifespan_of_a_hosts_app() -> None:
    events: list[str] = []
    with serving(make_app(events)):
        assert events == ["in"]
    assert events == ["in", "out"]


@pytest.mark.parametrize("host", ["", "a b", "a/b", "{x}.{x}.example", "{a-b}.example", "http://a"])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        App().host(host, App())
