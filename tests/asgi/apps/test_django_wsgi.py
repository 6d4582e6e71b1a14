"""Django by its WSGI handler, unchanged, with its ORM on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.postgres import Postgres

    from .conftest import Client

pytest.importorskip("django")
pytest.importorskip("psycopg")

APP = "django_app:wsgi"
OPTIONS = ["--root-path", "/below"]


@pytest.fixture(scope="module")
def environment(postgres: Postgres) -> dict[str, str]:
    return {"DATABASE_URL": postgres.url(), "DJANGO_SETUP": "migrate"}


def test_the_orm(client: Client) -> None:
    for name in ("bob", "ann"):
        assert client.post("/users", data={"name": name}).status_code == 200
    assert client.get("/users").json() == ["ann", "bob"]
    assert client.get("/async-users").json() == ["ann", "bob"]


def test_requests(client: Client) -> None:
    found = client.get("/where/caf%C3%A9?a=1&b=%20").json()
    assert found["path"] == "/below/where/café"
    assert found["query"] == {"a": "1", "b": " "}
    assert found["address"] == "127.0.0.1"
    assert found["url"] == f"{client.base_url}/below/where/caf%C3%A9?a=1&b=%20"
    assert found["kind"] == "WSGIRequest"
    assert client.get("/nowhere").status_code == 404
    assert client.get("/big").text == "compress me " * 1000


def test_bodies(client: Client) -> None:
    content = b"x" * 5_000_000
    answer = client.post("/upload", files={"file": ("f", content)}, data={"note": "hi"})
    assert answer.json() == {"size": len(content), "note": "hi"}
    numbers = "".join(f"{n}," for n in range(100))
    assert client.get("/sync-stream", headers={"accept-encoding": "identity"}).text == numbers


def test_files(client: Client) -> None:
    content = Path(__file__).with_name("django_app.py").read_bytes()
    assert client.get("/file").content == content
    answer = client.get("/file", headers={"accept-encoding": "identity"})
    assert answer.content == content
    assert answer.headers["content-length"] == str(len(content))
