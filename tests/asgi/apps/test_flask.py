"""Flask, unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from support.skips import need

if TYPE_CHECKING:
    from .conftest import Client

need("flask")


def test_handlers(client: Client) -> None:
    assert client.get("/items/3?q=x").json() == {"number": 3, "q": "x", "root": ""}
    assert client.get("/no").status_code == 403
    assert client.get("/nowhere").status_code == 404
    assert [client.get("/count").text for _ in range(3)] == ["1", "2", "3"]


def test_bodies(client: Client) -> None:
    content = b"x" * 1_000_000
    assert client.post("/echo", content=content).content == content
    assert client.post("/echo", content=iter([b"a", b"b"])).content == b"ab"
    form = client.post("/form", data={"note": "hi"}, files={"file": ("f", b"12345")})
    assert form.json() == {"note": "hi", "size": 5}


def test_streams_and_files(client: Client) -> None:
    assert client.get("/stream").text == "".join(f"{n}," for n in range(100))
    content = Path(__file__).with_name("flask_app.py").read_bytes()
    answer = client.get("/file")
    assert answer.content == content
    assert client.head("/file").headers["content-length"] == str(len(content))
    etag = {"if-none-match": answer.headers["etag"]}
    assert client.get("/file", headers=etag).status_code == 304
