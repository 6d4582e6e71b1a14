"""SQLAlchemy's asynchronous sessions: a greenlet that leaves the loop's tasks and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.schema import ForeignKey

Sessions = async_sessionmaker[AsyncSession]


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    books: Mapped[list[Book]] = relationship(back_populates="author")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")


@pytest.fixture
def with_database(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> Callable[[Callable[[Sessions], Awaitable[None]]], None]:
    """Runs a coroutine function on the loop, with a database of its own."""

    async def run(test: Callable[[Sessions], Awaitable[None]], engine: AsyncEngine) -> None:
        try:
            async with engine.begin() as connection:
                await connection.execute(text("PRAGMA journal_mode=WAL"))
                await connection.run_sync(Base.metadata.create_all)
            await test(async_sessionmaker(engine, expire_on_commit=False))
        finally:
            await engine.dispose()

    def call(test: Callable[[Sessions], Awaitable[None]]) -> None:
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{tmp_path / 'books.db'}", connect_args={"timeout": 60}
        )
        loop.run_until_complete(run(test, engine))

    return call


async def add(sessions: Sessions, name: str, *, books: int = 2) -> None:
    async with sessions.begin() as session:
        author = Author(name=name, books=[Book(title=f"{name} {n}") for n in range(books)])
        session.add(author)


async def count(sessions: Sessions, table: type[Base]) -> int:
    async with sessions() as session:
        return (await session.execute(select(func.count()).select_from(table))).scalar_one()


Database = Callable[[Callable[[Sessions], Awaitable[None]]], None]


def test_many_sessions_at_once(with_database: Database) -> None:
    async def main(sessions: Sessions) -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(40):
                group.create_task(add(sessions, f"author {n}"))
        assert await count(sessions, Author) == 40
        assert await count(sessions, Book) == 80

        async def titles(name: str) -> list[str]:
            async with sessions() as session:
                author = (await session.scalars(select(Author).filter_by(name=name))).one()
                # Loading inside run_sync leaves the greenlet where the attribute is read.
                books = await session.run_sync(lambda _session: list(author.books))
                return sorted(book.title for book in books)

        found = await asyncio.gather(*(titles(f"author {n}") for n in range(40)))
        assert found == [[f"author {n} 0", f"author {n} 1"] for n in range(40)]

    with_database(main)


def test_exceptions_pass_through(with_database: Database) -> None:
    async def main(sessions: Sessions) -> None:
        await add(sessions, "one")
        results = await asyncio.gather(
            *(add(sessions, "one" if n % 2 else f"author {n}") for n in range(20)),
            return_exceptions=True,
        )
        kinds = [type(result) for result in results]
        assert kinds == [type(None), IntegrityError] * 10
        assert await count(sessions, Author) == 11

        async def fail() -> None:
            async with sessions.begin() as session:
                session.add(Author(name="never"))
                await session.flush()
                await session.run_sync(lambda _session: 1 / 0)

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await count(sessions, Author) == 11

    with_database(main)


def test_cancelled_at_any_await(with_database: Database) -> None:
    """Whatever a session waits for when its task is cancelled, nothing is half done after."""

    async def main(sessions: Sessions) -> None:
        tasks = [asyncio.ensure_future(add(sessions, f"author {n}")) for n in range(30)]
        for turns, task in enumerate(tasks):
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        done = [result for result in results if result is None]
        others = [result for result in results if result is not None]
        assert all(isinstance(result, asyncio.CancelledError) for result in others)
        assert others
        assert await count(sessions, Author) >= len(done)
        assert await count(sessions, Book) == 2 * await count(sessions, Author)
        await add(sessions, "after")

    with_database(main)


def test_a_timeout_inside_a_session(with_database: Database) -> None:
    async def main(sessions: Sessions) -> None:
        async def never_ends(session: AsyncSession) -> None:
            await session.execute(select(Author))
            await asyncio.Event().wait()

        async with sessions() as session:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(never_ends(session), 0.01)
            await session.rollback()
            assert (await session.execute(text("select 1"))).scalar_one() == 1

    with_database(main)
