"""SQLModel's async session: the same app on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.command import serving


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(
    request: pytest.FixtureRequest, app_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if request.param == "sqlite":
        database = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('heroes')}/heroes.db"
    else:
        database = request.getfixturevalue("postgres").url("postgresql+asyncpg")
    env = {"DATABASE_URL": database}
    with serving("heroes_sqlmodel:app", app_dir=app_dir, env=env) as server:
        yield server.url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    """The app with no heroes in it."""
    with httpx.Client(base_url=url) as client:
        for hero in client.get("/heroes?limit=100").json():
            assert client.delete(f"/heroes/{hero['id']}").status_code == 204
        yield client


def test_a_hero_comes_back(client: httpx.Client) -> None:
    created = client.post("/heroes", json={"name": "Deadpond", "age": 48})
    assert created.status_code == 201
    hero = created.json()
    assert hero == {"id": hero["id"], "name": "Deadpond", "age": 48}
    assert client.get(f"/heroes/{hero['id']}").json() == hero
    assert client.delete(f"/heroes/{hero['id']}").status_code == 204
    missing = client.get(f"/heroes/{hero['id']}")
    assert missing.status_code == 404
    assert missing.json() == {"detail": f"no hero {hero['id']}"}


def test_the_model_validates(client: httpx.Client) -> None:
    response = client.post("/heroes", json={"name": "", "age": -1})
    assert response.status_code == 422
    assert [problem["loc"] for problem in response.json()["detail"]] == [
        ["body", "name"],
        ["body", "age"],
    ]
    assert client.get("/heroes?limit=1000").status_code == 422


def test_pages(client: httpx.Client) -> None:
    for name in ("a", "b", "c"):
        client.post("/heroes", json={"name": name})
    page = client.get("/heroes", params={"offset": 1, "limit": 1}).json()
    assert [hero["name"] for hero in page] == ["b"]


def test_a_thread_gets_what_async_dependencies_found(client: httpx.Client) -> None:
    hero = client.post("/heroes", json={"name": "Rusty-Man"}).json()
    response = client.get(f"/heroes/{hero['id']}/portrait")
    assert response.headers["content-type"] == "image/svg+xml"
    assert response.text.startswith("<svg")
    assert response.text.endswith("</svg>")
    assert client.get("/heroes/0/portrait").status_code == 404


def test_many_at_once(client: httpx.Client, url: str) -> None:
    hero = client.post("/heroes", json={"name": "Tarantula"}).json()

    async def write_and_read() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as many:
            writes = (many.post("/heroes", json={"name": f"hero {n}"}) for n in range(30))
            reads = (many.get(f"/heroes/{hero['id']}/portrait") for _ in range(30))
            return await asyncio.gather(*writes, *reads)

    responses = asyncio.run(write_and_read())
    assert [response.status_code for response in responses] == [201] * 30 + [200] * 30
    names = sorted(hero["name"] for hero in client.get("/heroes?limit=100").json())
    assert names == sorted(["Tarantula", *(f"hero {n}" for n in range(30))])
