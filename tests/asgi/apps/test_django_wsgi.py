"""Django by its WSGI handler, unchanged, with its ORM on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.django_checks import (
    check_bodies,
    check_requests,
    check_the_orm,
    environment_with,
)
from support.skips import need

if TYPE_CHECKING:
    from support.postgres import Postgres

    from .conftest import Client

need("django", "psycopg")

APP = "django_app:wsgi"
OPTIONS = ["--root-path", "/below"]


@pytest.fixture(scope="module")
def environment(postgres: Postgres) -> dict[str, str]:
    return environment_with(postgres)


def test_the_orm(client: Client) -> None:
    check_the_orm(client)


def test_requests(client: Client) -> None:
    check_requests(client, "WSGIRequest", root_path="/below")


def test_bodies(client: Client) -> None:
    check_bodies(client, "/sync-stream")


def test_files(client: Client) -> None:
    content = Path(__file__).with_name("django_app.py").read_bytes()
    assert client.get("/file").content == content
    answer = client.get("/file", headers={"accept-encoding": "identity"})
    assert answer.content == content
    assert answer.headers["content-length"] == str(len(content))
