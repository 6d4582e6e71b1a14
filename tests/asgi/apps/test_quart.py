"""Quart, unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.skips import need

if TYPE_CHECKING:
    from .conftest import Client

need("quart")


def test_handlers(client: Client) -> None:
    answer = client.get("/items/3?q=x")
    assert answer.json() == {"number": 3, "q": "x", "noted": ["started"]}
    assert client.get("/sync").text == "by a thread"
    assert client.get("/broken").text == "handled 'broken'"
    assert client.get("/nowhere").status_code == 404


def test_bodies(client: Client) -> None:
    content = b"x" * 1_000_000
    assert client.post("/echo", content=content).content == content
    form = client.post("/form", data={"note": "hi"}, files={"file": ("f", b"12345")})
    assert form.json() == {"note": "hi", "size": 5}
    assert client.get("/stream").text == "".join(f"{n}," for n in range(100))


def test_websockets(client: Client) -> None:
    with client.websocket("/ws") as websocket:
        websocket.send("hi")
        assert websocket.recv(30) == "echo hi"
