"""The database: a session for each request, by a dependency with `yield`."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.pool import StaticPool
from sqlmodel import Session, SQLModel, create_engine

# In memory, and so one connection for all threads.
engine = create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)


def create_tables() -> None:
    """Makes the tables that aren't there."""
    SQLModel.metadata.create_all(engine)


def get_session() -> Iterator[Session]:
    """A session, which is committed unless the request fails."""
    with Session(engine) as session:
        yield session
        session.commit()


Database = Annotated[Session, Depends(get_session)]
