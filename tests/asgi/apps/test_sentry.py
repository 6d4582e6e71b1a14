"""Sentry's ASGI middleware, unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.skips import need

if TYPE_CHECKING:
    from .conftest import Client

need("sentry_sdk")


def test_requests(client: Client) -> None:
    assert client.get("/").text == "watched"
