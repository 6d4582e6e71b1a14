"""Apps on databases, for tests of what becomes of them without these."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import asyncpg
from fluvial import App

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def asyncpg_app(port: int) -> App:
    """`/one` asks PostgreSQL at this port, by a pool of asyncpg's."""
    pool: Any = None

    @contextlib.asynccontextmanager
    async def lifespan(_: App) -> AsyncIterator[None]:
        nonlocal pool
        pool = await asyncpg.create_pool(
            host="127.0.0.1", port=port, user="postgres", min_size=1, max_size=4
        )
        yield
        pool.terminate()

    app = App(lifespan=lifespan)

    @app.get("/one")
    async def one() -> int:
        async with pool.acquire() as connection:
            return int(await connection.fetchval("select 1"))

    return app
