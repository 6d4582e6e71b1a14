"""BlackSheep, unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.skips import need

if TYPE_CHECKING:
    from .conftest import Client

need("blacksheep")


def test_handlers(client: Client) -> None:
    assert client.get("/items/3?q=x").json() == {"number": 3, "q": "x", "started": [True]}
    item = {"name": "a", "price": 2.5}
    assert client.post("/items", json=item).json() == item
    assert client.post("/items", content=b"{").status_code == 400
    assert client.get("/nowhere").status_code == 404


def test_bodies(client: Client) -> None:
    content = b"x" * 1_000_000
    assert client.post("/echo", content=content).content == content
    assert client.get("/stream").text == "".join(f"{n}," for n in range(100))


def test_websockets(client: Client) -> None:
    with client.websocket("/ws") as websocket:
        websocket.send("hi")
        assert websocket.recv(30) == "HI"
