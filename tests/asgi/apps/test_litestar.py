"""Litestar, unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.skips import need

if TYPE_CHECKING:
    from .conftest import Client

need("litestar")


def test_handlers(client: Client) -> None:
    assert client.get("/items/3?q=x").json() == {"number": 3, "q": "x", "started": True}
    assert client.get("/items/x").status_code == 404
    assert client.get("/sync").text == "by a thread"
    item = {"name": "a", "price": 2.5}
    assert client.post("/items", json=item).json() == item
    assert client.post("/items", json={"name": "a"}).status_code == 400


def test_uploads_and_streams(client: Client) -> None:
    assert client.post("/upload", files={"data": ("big", b"x" * 500_000)}).json() == 500_000
    assert client.get("/stream").text == "".join(f"{n}," for n in range(100))
    lines = client.get("/events").text.splitlines()
    assert [line for line in lines if line] == ["data: 0", "data: 1", "data: 2"]


def test_websockets(client: Client) -> None:
    with client.websocket("/ws") as websocket:
        websocket.send('{"a":1}')
        assert websocket.recv(30) in ('{"a":1}', b'{"a":1}')
