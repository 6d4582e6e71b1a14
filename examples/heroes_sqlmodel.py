"""Heroes in SQLModel's async session, on SQLite or PostgreSQL: only the URL differs.

fluvial run heroes_sqlmodel:app --app-dir examples
DATABASE_URL=postgresql+asyncpg://me@localhost/heroes fluvial run heroes_sqlmodel:app ...
"""

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

from fluvial import App, Depends, HTTPException, Query, Response
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import Field, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

engine = create_async_engine(os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///heroes.db"))


class NewHero(SQLModel):
    name: str = Field(min_length=1, index=True)
    age: int | None = Field(default=None, ge=0)


class Hero(NewHero, table=True):
    id: int | None = Field(default=None, primary_key=True)


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    yield
    await engine.dispose()


app = App(lifespan=lifespan)


async def open_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


Session = Annotated[AsyncSession, Depends(open_session)]


async def find_hero(hero_id: int, session: Session) -> Hero:
    hero = await session.get(Hero, hero_id)
    if hero is None:
        raise HTTPException(404, f"no hero {hero_id}")
    return hero


KnownHero = Annotated[Hero, Depends(find_hero)]


@app.post("/heroes", status_code=201)
async def create_hero(new: NewHero, session: Session) -> Hero:
    hero = Hero.model_validate(new)
    session.add(hero)
    await session.commit()
    await session.refresh(hero)
    return hero


@app.get("/heroes")
async def list_heroes(
    session: Session, offset: int = 0, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Sequence[Hero]:
    found = await session.exec(select(Hero).order_by(Hero.id).offset(offset).limit(limit))
    return found.all()


@app.get("/heroes/{hero_id}")
async def read_hero(hero: KnownHero) -> Hero:
    return hero


@app.delete("/heroes/{hero_id}", status_code=204)
async def delete_hero(hero: KnownHero, session: Session) -> None:
    await session.delete(hero)
    await session.commit()


@app.get("/heroes/{hero_id}/portrait")
def draw_portrait(hero: KnownHero) -> Response:
    """Work for the processor goes to a thread: just write `def`, the dependencies stay async."""
    bits = int.from_bytes(hashlib.sha256(hero.name.encode()).digest())
    squares = [(x, y) for y in range(8) for x in range(4) if bits >> (4 * y + x) & 1]
    path = "".join(f"M{x} {y}h1v1h-1zM{7 - x} {y}h1v1h-1z" for x, y in squares)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><path d="{path}"/></svg>'
    return Response(svg, media_type="image/svg+xml")
