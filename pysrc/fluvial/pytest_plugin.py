"""Fixtures for tests of an app: `client` and `live_server`. pytest loads this by itself.

A test suite says which app it tests by a fixture `app`, usually in its conftest.py. With
`--as-fastapi` the tests and the app import Fluvial's modules as `fastapi` and `starlette`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ._testing.live_server import LiveServer
    from .testclient import TestClient

__all__ = ["client", "live_server"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --as-fastapi."""
    group = parser.getgroup("fluvial")
    group.addoption(
        "--as-fastapi",
        action="store_true",
        help="fastapi and starlette are Fluvial's modules (fluvial.compat)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Installs the map before any conftest.py imports what it maps."""
    if early_config.known_args_namespace.as_fastapi:
        from .compat import install

        install()


@pytest.fixture
def client(app: Any) -> Iterator[TestClient]:
    """A TestClient for the fixture `app`, within its lifespan."""
    from .testclient import TestClient

    with TestClient(app) as made:
        yield made


@pytest.fixture
def live_server(app: Any) -> Iterator[LiveServer]:
    """The fixture `app` on a free port of 127.0.0.1, for browsers and other programs.

    `live_server.url` is its address, without a slash at the end.
    """
    from ._testing.live_server import LiveServer

    with LiveServer(app) as made:
        yield made
