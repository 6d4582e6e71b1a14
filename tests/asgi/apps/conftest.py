"""What the tests of other frameworks' apps share: each app is served once for its module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from support.command import ServerProcess, serving
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


class Client(httpx.Client):
    """A client of a served app."""

    def wait_for(self, path: str, item: str) -> None:
        """Returns when the list at `path` has `item`."""
        for _ in range(2000):
            if item in (found := self.get(path).json()):
                return
        raise AssertionError(found)

    def websocket(self, path: str, **options: Any) -> Any:
        """A WebSocket."""
        url = str(self.base_url.join(path)).replace("http", "ws", 1)
        return connect(url, proxy=None, **options)


@pytest.fixture(scope="module")
def command(request: pytest.FixtureRequest) -> list[str]:
    """Arguments of `fluvial run`: the app of the module's name, and what OPTIONS adds."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    return [
        getattr(request.module, "APP", f"{name}_app:app"),
        *getattr(request.module, "OPTIONS", ()),
    ]


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Variables for the app's process."""
    return {}


@pytest.fixture(scope="module")
def server(command: list[str], environment: dict[str, str]) -> Iterator[ServerProcess]:
    with serving(*command, app_dir=HERE, env=environment) as server:
        yield server


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client
