"""A bank in PostgreSQL through asyncpg: transactions, and a statement that streams.

DATABASE_URL=postgresql://me@localhost/bank fluvial run bank_asyncpg:app --app-dir examples
curl -d '{"owner": "ada", "balance": 100}' http://127.0.0.1:8000/accounts
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import asyncpg
from fluvial import App, Depends, HTTPException, Request, StreamingResponse
from msgspec import Meta, Struct

DATABASE_URL = os.environ.get("DATABASE_URL", "postgresql://localhost/postgres")

TABLES = """
CREATE TABLE IF NOT EXISTS accounts (
    id serial PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL CHECK (balance >= 0)
);
CREATE TABLE IF NOT EXISTS transfers (
    id serial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), amount bigint NOT NULL,
    source int NOT NULL REFERENCES accounts, target int NOT NULL REFERENCES accounts
);
"""

Cents = Annotated[int, Meta(gt=0)]


class NewAccount(Struct):
    owner: Annotated[str, Meta(min_length=1)]
    balance: Annotated[int, Meta(ge=0)] = 0


class Account(NewAccount, kw_only=True):
    id: int


class Transfer(Struct):
    source: int
    target: int
    amount: Cents


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[dict[str, object]]:
    async with asyncpg.create_pool(DATABASE_URL, min_size=2, max_size=10) as pool:
        await pool.execute(TABLES)
        yield {"pool": pool}


async def get_pool(request: Request) -> asyncpg.Pool:
    return request.state.pool


Pool = Annotated[asyncpg.Pool, Depends(get_pool)]

app = App(lifespan=lifespan)


@app.post("/accounts", status_code=201)
async def open_account(new: NewAccount, pool: Pool) -> Account:
    query = "INSERT INTO accounts (owner, balance) VALUES ($1, $2) RETURNING *"
    return Account(**await pool.fetchrow(query, new.owner, new.balance))


@app.get("/accounts/{account_id}")
async def read_account(account_id: int, pool: Pool) -> Account:
    row = await pool.fetchrow("SELECT * FROM accounts WHERE id = $1", account_id)
    if row is None:
        raise HTTPException(404, f"no account {account_id}")
    return Account(**row)


@app.post("/transfers", status_code=204)
async def transfer(order: Transfer, pool: Pool) -> None:
    """Both accounts change, or neither. Locked in the order of their ids: no deadlocks."""
    changes = sorted([(order.source, -order.amount), (order.target, order.amount)])
    try:
        async with pool.acquire() as connection, connection.transaction():
            for change in changes:
                await connection.execute(
                    "UPDATE accounts SET balance = balance + $2 WHERE id = $1", *change
                )
            await connection.execute(
                "INSERT INTO transfers (source, target, amount) VALUES ($1, $2, $3)",
                *(order.source, order.target, order.amount),
            )
    except asyncpg.CheckViolationError:
        raise HTTPException(409, "not enough money") from None
    except asyncpg.ForeignKeyViolationError:
        raise HTTPException(404, "no such account") from None


@app.get("/accounts/{account_id}/statement")
async def stream_statement(account_id: int, pool: Pool):
    """Rows go out as the database's cursor delivers them: any number of them fits in memory."""
    query = "SELECT * FROM transfers WHERE $1 IN (source, target) ORDER BY id"

    async def lines() -> AsyncIterator[str]:
        async with pool.acquire() as connection, connection.transaction():
            async for row in connection.cursor(query, account_id):
                sign = "-" if row["source"] == account_id else "+"
                yield f"{row['at']:%Y-%m-%d %H:%M} {sign}{row['amount']}\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/loan")
def plan_loan(amount: float, rate: float, months: int):
    """Computing goes to a thread with a plain `def`."""
    monthly = rate / 12
    payment = amount * monthly / (1 - (1 + monthly) ** -months)
    rest, plan = amount, []
    for _ in range(months):
        rest += rest * monthly - payment
        plan.append(round(abs(rest), 2))
    return {"payment": round(payment, 2), "rest": plan}
