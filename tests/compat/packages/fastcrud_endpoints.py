"""fastcrud: endpoints that it makes of a model."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.testclient import TestClient
from fastcrud import crud_router
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import StaticPool


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class ItemCreate(BaseModel):
    name: str


class ItemUpdate(BaseModel):
    name: str | None = None


engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
make_session = async_sessionmaker(engine, expire_on_commit=False)


async def get_session() -> AsyncIterator[AsyncSession]:
    async with make_session() as session:
        yield session


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
app.include_router(
    crud_router(
        session=get_session,
        model=Item,
        create_schema=ItemCreate,
        update_schema=ItemUpdate,
        path="/items",
        tags=["Items"],
    )
)

with TestClient(app) as client:
    made = client.post("/items", json={"name": "one"})
    assert made.status_code in (200, 201), made.text
    assert client.get("/items/1").json()["name"] == "one"
    assert client.patch("/items/1", json={"name": "two"}).status_code == 200
    assert client.get("/items").json()["data"][0]["name"] == "two"
    assert client.post("/items", json={}).status_code == 422
    assert client.delete("/items/1").status_code == 200
    assert client.get("/items/1").status_code == 404
    assert "/items/{id}" in client.get("/openapi.json").json()["paths"]
