"""httpx and aiohttp call another server from handlers: many at once, streamed, failing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.command import ServerProcess, serving

GATEWAYS = ["httpx_gateway", "aiohttp_gateway"]


@pytest.fixture(scope="module")
def prices() -> Iterator[ServerProcess]:
    with serving("prices:app") as server:
        yield server


@pytest.fixture(scope="module", params=GATEWAYS)
def gateway(
    request: pytest.FixtureRequest, app_dir: Path, prices: ServerProcess
) -> Iterator[ServerProcess]:
    env = {"PRICES_URL": prices.url}
    with serving(f"{request.param}:app", app_dir=app_dir, env=env) as server:
        yield server


@pytest.fixture
def client(gateway: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url) as client:
        yield client


def test_asks_another_server(client: httpx.Client) -> None:
    response = client.get("/portfolio", params={"symbol": ["ACME", "GLOBEX"]})
    assert response.status_code == 200
    assert response.json() == {"prices": {"ACME": 12.5, "GLOBEX": 99.0}, "total": 111.5}


def test_asks_from_a_thread(client: httpx.Client) -> None:
    assert client.get("/price/ACME").json() == {"symbol": "ACME", "price": 12.5}


def test_passes_on_what_the_other_server_refuses(client: httpx.Client) -> None:
    response = client.get("/portfolio", params={"symbol": ["ACME", "NONE"]})
    assert response.status_code == 404
    assert response.json() == {"detail": "no price for NONE"}


def test_checks_its_own_parameters(client: httpx.Client) -> None:
    response = client.get("/portfolio")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "symbol"]


def test_many_clients_at_once(gateway: ServerProcess) -> None:
    async def ask() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=gateway.url, limits=limits, timeout=60) as client:
            both = (
                client.get(path)
                for _ in range(10)
                for path in ("/portfolio?symbol=ACME&symbol=INITECH", "/price/GLOBEX")
            )
            return await asyncio.gather(*both)

    responses = asyncio.run(ask())
    assert [response.status_code for response in responses] == [200] * 20
    assert responses[0].json()["total"] == 15.75
    assert responses[1].json()["price"] == 99.0


def test_streams_through(client: httpx.Client) -> None:
    with client.stream("GET", "/ticker") as response:
        assert list(response.iter_lines()) == ["ACME 12.5", "GLOBEX 99.0", "INITECH 3.25"]


@pytest.mark.parametrize("name", GATEWAYS)
def test_other_server_is_down(name: str) -> None:
    with socket.socket() as unused:  # bound and not listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        env = {"PRICES_URL": f"http://127.0.0.1:{unused.getsockname()[1]}"}
        with serving(f"{name}:app", env=env) as gateway:
            response = httpx.get(f"{gateway.url}/portfolio?symbol=ACME")
    assert response.status_code == 502
    assert response.json() == {"detail": "the prices server can't be reached"}
