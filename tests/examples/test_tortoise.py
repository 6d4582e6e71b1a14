"""Tortoise ORM on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.command import serving


@pytest.fixture(scope="module")
def url(app_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    database = f"sqlite://{tmp_path_factory.mktemp('todos')}/todos.db"
    env = {"DATABASE_URL": database}
    with serving("todos_tortoise:app", app_dir=app_dir, env=env) as server:
        yield server.url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url) as client:
        yield client


def test_a_todo_is_made_and_done(client: httpx.Client) -> None:
    created = client.post("/todos", json={"text": "pay rent", "due": "2030-01-31"})
    assert created.status_code == 201
    todo = created.json()
    assert todo == {"id": todo["id"], "text": "pay rent", "due": "2030-01-31", "done": False}
    assert todo in client.get("/todos").json()
    done = client.put(f"/todos/{todo['id']}/done")
    assert done.json() == {**todo, "done": True}
    assert todo not in client.get("/todos").json()
    assert done.json() in client.get("/todos?done=true").json()
    assert client.put("/todos/0/done").status_code == 404


def test_dates_in_the_query(client: httpx.Client) -> None:
    for day in ("2001-01-01", "2001-01-03", "2001-01-02"):
        client.post("/todos", json={"text": day, "due": day})
    todos = client.get("/todos", params={"before": "2001-01-03"}).json()
    assert [todo["text"] for todo in todos] == ["2001-01-01", "2001-01-02"]
    wrong = client.get("/todos", params={"before": "soon"})
    assert wrong.status_code == 422
    assert wrong.json()["detail"][0]["loc"] == ["query", "before"]


def test_the_model_validates(client: httpx.Client) -> None:
    response = client.post("/todos", json={"text": "x" * 201})
    assert response.status_code == 422
    assert response.json()["detail"][0]["type"] == "string_too_long"


def test_a_plain_def_beside(client: httpx.Client) -> None:
    response = client.get("/calendar/2024/2")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert "February 2024" in response.text
    assert "29" in response.text


def test_many_at_once(client: httpx.Client, url: str) -> None:
    async def write_and_read() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as many:
            writes = (many.post("/todos", json={"text": f"many {n}"}) for n in range(30))
            reads = (many.get("/calendar/2024/2") for _ in range(10))
            return await asyncio.gather(*writes, *reads)

    responses = asyncio.run(write_and_read())
    assert [response.status_code for response in responses] == [201] * 30 + [200] * 10
    texts = {todo["text"] for todo in client.get("/todos").json()}
    assert {f"many {n}" for n in range(30)} <= texts
