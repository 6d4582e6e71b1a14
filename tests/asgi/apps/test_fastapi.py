"""FastAPI, unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from support.command import serving
from support.skips import need
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

need("fastapi", "python_multipart")
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("fastapi_app:app", app_dir=HERE) as server:
        yield server.url
    assert "app stopped" in server.log


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        yield client


def wait_for(client: httpx.Client, item: str) -> None:
    """Returns when the app has noted `item`."""
    for _ in range(1000):
        if item in client.get("/done").json():
            return
    raise AssertionError(client.get("/done").json())


def test_handlers(client: httpx.Client) -> None:
    root = client.get("/").json()
    assert root["started"] is True
    assert root["client"][0] == "127.0.0.1"
    assert client.get("/sync/3?q=x").json() == {"number": 3, "q": "x"}
    assert client.get("/sync/x").status_code == 422
    assert client.get("/nowhere").json() == {"detail": "Not Found"}
    assert client.post("/").status_code == 405
    assert client.get("/teapot").json() == {"detail": "short and stout"}


def test_bodies_and_dependencies(client: httpx.Client) -> None:
    item = {"name": "a", "price": 2.5, "tags": ["x"]}
    assert client.post("/items", json=item).json() == {**item, "link": "connection"}
    assert client.post("/items", json={"name": "a"}).status_code == 422
    assert client.post("/items", content=b"{").status_code == 422
    wait_for(client, "close")


def test_uploads(client: httpx.Client) -> None:
    files = {"file": ("big.bin", b"x" * 3_000_000)}
    answer = client.post("/upload", files=files, data={"note": "hi"})
    assert answer.json() == {"name": "big.bin", "size": 3_000_000, "note": "hi"}


def test_streams(client: httpx.Client) -> None:
    assert client.get("/stream").text == "".join(f"{n}\n" for n in range(1000))
    assert client.get("/sync-stream").text == "".join(f"{n}," for n in range(100))


def test_server_sent_events(client: httpx.Client) -> None:
    with client.stream("GET", "/events") as answer:
        lines = [line for line, _ in zip(answer.iter_lines(), range(9), strict=False) if line]
    assert lines == [f"data: {n}" for n in range(5)]
    wait_for(client, "events closed")


def test_background_tasks(client: httpx.Client) -> None:
    assert client.get("/background").json() == "soon"
    wait_for(client, "async task")
    wait_for(client, "sync task")


def test_files(client: httpx.Client) -> None:
    assert client.get("/file").content == (HERE / "fastapi_app.py").read_bytes()
    assert client.get("/file", headers={"range": "bytes=0-2"}).text == '"""'
    assert client.head("/file").status_code == 405


def test_documentation(client: httpx.Client) -> None:
    assert "/items" in client.get("/openapi.json").json()["paths"]
    assert "swagger" in client.get("/docs").text


def test_websockets(client: httpx.Client, url: str) -> None:
    base = url.replace("http", "ws")
    with connect(f"{base}/ws/ann", proxy=None) as websocket:
        assert websocket.recv(30) == '{"hello":"ann"}'
        websocket.send("hi")
        assert websocket.recv(30) == "ann: hi"
        websocket.close(4001)
    wait_for(client, "left with 4001")
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"{base}/refused", proxy=None)
