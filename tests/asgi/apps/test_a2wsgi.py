"""a2wsgi, unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.skips import need

if TYPE_CHECKING:
    from .conftest import Client

need("a2wsgi", "flask")


def test_requests(client: Client) -> None:
    assert client.get("/items/3?q=x").json() == {"number": 3, "q": "x", "root": ""}
    assert client.get("/stream").text == "".join(f"{n}," for n in range(100))


def test_bodies(client: Client) -> None:
    content = b"x" * 1_000_000
    assert client.post("/echo", content=content).content == content
    form = client.post("/form", data={"note": "hi"}, files={"file": ("f", b"12345")})
    assert form.json() == {"note": "hi", "size": 5}
