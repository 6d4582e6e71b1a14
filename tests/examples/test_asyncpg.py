"""asyncpg on a real PostgreSQL: over TCP, over TLS and over a Unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from support.command import EXAMPLES, serving

if TYPE_CHECKING:
    from support.postgres import Postgres


@pytest.fixture(scope="module", params=["tcp", "tcp, keywords switched", "tls", "unix"])
def url(request: pytest.FixtureRequest, switched: Path, postgres: Postgres) -> Iterator[str]:
    way, _, variant = request.param.partition(", ")
    database = {
        "tcp": postgres.url(query="?sslmode=disable"),
        "tls": postgres.url(query="?sslmode=require"),
        "unix": postgres.unix_url,
    }[way]
    app_dir = switched if variant else EXAMPLES
    with serving("bank_asyncpg:app", app_dir=app_dir, env={"DATABASE_URL": database}) as server:
        yield server.url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url) as client:
        yield client


def open_account(client: httpx.Client, balance: int) -> int:
    response = client.post("/accounts", json={"owner": "ada", "balance": balance})
    assert response.status_code == 201, response.text
    account = response.json()
    assert account == {"id": account["id"], "owner": "ada", "balance": balance}
    return int(account["id"])


def balance(client: httpx.Client, account: int) -> int:
    return int(client.get(f"/accounts/{account}").json()["balance"])


def test_money_moves(client: httpx.Client) -> None:
    ada, bob = open_account(client, 100), open_account(client, 0)
    order = {"source": ada, "target": bob, "amount": 30}
    assert client.post("/transfers", json=order).status_code == 204
    assert (balance(client, ada), balance(client, bob)) == (70, 30)


def test_a_failed_transfer_changes_nothing(client: httpx.Client) -> None:
    ada, bob = open_account(client, 10), open_account(client, 0)
    too_much = client.post("/transfers", json={"source": ada, "target": bob, "amount": 30})
    assert too_much.status_code == 409
    nobody = client.post("/transfers", json={"source": ada, "target": 0, "amount": 5})
    assert nobody.status_code == 404
    negative = client.post("/transfers", json={"source": ada, "target": bob, "amount": -5})
    assert negative.status_code == 422
    assert (balance(client, ada), balance(client, bob)) == (10, 0)


def test_transfers_at_once_keep_the_sum(client: httpx.Client, url: str) -> None:
    ada, bob = open_account(client, 1000), open_account(client, 1000)

    async def transfer() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as many:
            there = ({"source": ada, "target": bob, "amount": 3} for _ in range(30))
            back = ({"source": bob, "target": ada, "amount": 2} for _ in range(30))
            orders = (many.post("/transfers", json=order) for order in (*there, *back))
            return await asyncio.gather(*orders)

    assert {response.status_code for response in asyncio.run(transfer())} == {204}
    assert (balance(client, ada), balance(client, bob)) == (970, 1030)


def test_a_statement_streams(client: httpx.Client) -> None:
    ada, bob = open_account(client, 100), open_account(client, 0)
    for amount in (30, 20):
        client.post("/transfers", json={"source": ada, "target": bob, "amount": amount})
    text = client.get(f"/accounts/{ada}/statement").text
    assert [line.split()[-1] for line in text.splitlines()] == ["-30", "-20"]


def test_a_plain_def_beside(client: httpx.Client) -> None:
    plan = client.get("/loan", params={"amount": 1200, "rate": 0.12, "months": 12}).json()
    assert plan["payment"] == 106.62
    assert len(plan["rest"]) == 12
    assert plan["rest"][-1] == 0
