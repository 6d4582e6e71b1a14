"""Django by its ASGI handler, unchanged, with its ORM on PostgreSQL."""

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


@pytest.fixture(scope="module")
def environment(postgres: Postgres) -> dict[str, str]:
    return environment_with(postgres)


def test_the_orm(client: Client) -> None:
    check_the_orm(client)


def test_requests(client: Client) -> None:
    check_requests(client, "ASGIRequest")


def test_bodies(client: Client) -> None:
    check_bodies(client, "/stream")
    assert client.get("/file").content == Path(__file__).with_name("django_app.py").read_bytes()
