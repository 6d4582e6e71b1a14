"""Starlette, unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.skips import need

if TYPE_CHECKING:
    from support.command import ServerProcess

    from .conftest import Client

need("starlette")


def test_routes_and_mounts(client: Client) -> None:
    answer = client.get("/sub/items/7")
    assert answer.json() == {"id": 7, "root": "/sub"}
    assert answer.headers["x-seen"] == "/sub/items/7"
    assert client.head("/sub/items/7").status_code == 200
    gone = client.delete("/sub/items/7")
    assert (gone.status_code, gone.content) == (204, b"")
    assert client.get("/sub/items/x").status_code == 404


def test_static_files(client: Client) -> None:
    content = Path(__file__).read_bytes()
    answer = client.get("/static/test_starlette.py")
    assert answer.content == content
    etag = {"if-none-match": answer.headers["etag"]}
    assert client.get("/static/test_starlette.py", headers=etag).status_code == 304
    assert client.get("/static/../nowhere").status_code == 404


def test_compression_and_cors(client: Client) -> None:
    answer = client.get("/big", headers={"origin": "https://example.org"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["access-control-allow-origin"] == "https://example.org"
    assert answer.text == "compress me " * 1000


def test_uploads(client: Client) -> None:
    pieces = (b"x" * 100_000 for _ in range(50))
    assert client.post("/upload", content=pieces).text == "5000000"


def test_exceptions_with_a_handler(client: Client) -> None:
    answer = client.get("/broken")
    assert (answer.status_code, answer.text) == (500, "handled broken on purpose")


def test_clients_that_leave(client: Client) -> None:
    with client.stream("GET", "/endless") as answer:
        next(answer.iter_raw())
    client.wait_for("/noted", "endless stopped")
    with pytest.raises(Exception, match="timed out"):
        client.get("/patient", timeout=0.3)
    client.wait_for("/noted", "patient alone")


def test_websockets(client: Client) -> None:
    with client.websocket("/ws") as websocket:
        websocket.send(json.dumps({"a": 1}))
        assert json.loads(websocket.recv(30)) == {"echo": {"a": 1}}
        websocket.close(4002)
    client.wait_for("/noted", "left 4002")


def test_lifespan(client: Client, server: ServerProcess) -> None:
    client.wait_for("/noted", "started")
    assert "app stopped" not in server.log
