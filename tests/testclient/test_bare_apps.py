"""ASGI apps that aren't Fluvial's, in a test client."""

from typing import Any

import pytest
from fluvial import App, HTTPException
from fluvial.testclient import TestClient


async def fail(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        raise HTTPException(418, "short and stout")


def test_an_exception_of_a_bare_app_is_raised() -> None:
    """Also one that an App would answer: nothing handles it here."""
    with pytest.raises(HTTPException) as raised:
        TestClient(fail).get("/")
    assert raised.value.status_code == 418


def test_it_is_a_response_where_the_test_takes_none() -> None:
    response = TestClient(fail, raise_server_exceptions=False).get("/")
    assert (response.status_code, response.json()) == (418, {"detail": "short and stout"})


def test_a_mounted_one_has_the_handlers_of_the_app_around_it() -> None:
    app = App()
    app.mount("", fail)
    assert TestClient(app).get("/").status_code == 418
