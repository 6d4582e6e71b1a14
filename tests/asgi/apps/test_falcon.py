"""Falcon's ASGI flavour, unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.skips import need
from websockets.exceptions import InvalidStatus

if TYPE_CHECKING:
    from .conftest import Client

need("falcon")


def test_handlers(client: Client) -> None:
    assert client.get("/items/3?q=x").json() == {"number": 3, "q": "x"}
    answer = client.post("/items/3", json={"a": [1]})
    assert (answer.status_code, answer.json()) == (201, {"a": [1]})
    assert client.put("/items/3").status_code == 405


def test_bodies(client: Client) -> None:
    content = b"x" * 1_000_000
    assert client.post("/echo", content=content).content == content
    assert client.get("/echo").text == "".join(f"{n}," for n in range(100))
    lines = client.get("/events").text.splitlines()
    assert [line for line in lines if line.startswith("data")] == [
        "data: 0",
        "data: 1",
        "data: 2",
    ]


def test_websockets(client: Client) -> None:
    with client.websocket("/echo") as websocket:
        websocket.send("hi")
        assert websocket.recv(30) == "hi"
    with pytest.raises(InvalidStatus, match="403"):
        client.websocket("/echo?no=1")
