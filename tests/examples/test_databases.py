"""Encode's `databases` on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.command import serving


@pytest.fixture(scope="module")
def url(app_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("notes") / "notes.db"
    with serving("notes_databases:app", app_dir=app_dir, env={"NOTES_PATH": str(path)}) as server:
        yield server.url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    """The app with no notes in it."""
    with httpx.Client(base_url=url) as client:
        for note in client.get("/notes").json():
            assert client.delete(f"/notes/{note['id']}").status_code == 204
        yield client


def test_a_note_comes_back(client: httpx.Client) -> None:
    created = client.post("/notes", json={"text": "buy milk"})
    assert created.status_code == 201
    note = created.json()
    assert note == {"text": "buy milk", "done": False, "id": note["id"]}
    assert client.get(f"/notes/{note['id']}").json() == note
    assert client.delete(f"/notes/{note['id']}").status_code == 204
    missing = client.get(f"/notes/{note['id']}")
    assert missing.status_code == 404
    assert missing.json() == {"detail": f"no note {note['id']}"}


def test_filters(client: httpx.Client) -> None:
    notes = [{"text": "a", "done": True}, {"text": "b"}]
    assert client.post("/notes/import", json=notes).status_code == 201
    assert [note["text"] for note in client.get("/notes").json()] == ["a", "b"]
    assert [note["text"] for note in client.get("/notes?done=true").json()] == ["a"]
    assert [note["text"] for note in client.get("/notes?done=no").json()] == ["b"]


def test_a_failed_transaction_leaves_nothing(client: httpx.Client) -> None:
    assert client.post("/notes/import", json=[{"text": "a"}, {"text": ""}]).status_code == 400
    assert client.get("/notes").json() == []


def test_bad_body(client: httpx.Client) -> None:
    response = client.post("/notes", json={"done": True})
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", "text"]


def test_export_from_a_thread(client: httpx.Client) -> None:
    client.post("/notes/import", json=[{"text": "a, b", "done": True}, {"text": "ü"}])
    response = client.get("/notes.csv")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert [line.split(",", 1)[1] for line in response.text.splitlines()] == ['"a, b",1', "ü,0"]


def test_many_at_once(client: httpx.Client, url: str) -> None:
    async def write_and_read() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as many:
            writes = (many.post("/notes", json={"text": f"note {n}"}) for n in range(30))
            reads = (many.get("/notes") for _ in range(10))
            return await asyncio.gather(*writes, *reads)

    responses = asyncio.run(write_and_read())
    assert [response.status_code for response in responses] == [201] * 30 + [200] * 10
    texts = sorted(note["text"] for note in client.get("/notes").json())
    assert texts == sorted(f"note {n}" for n in range(30))
