"""The database, and the session of a request."""

import os
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends
from sqlmodel import Session, SQLModel, create_engine, select

from .models import Hero, Team

engine = create_engine(
    f"sqlite:///{os.environ['HEROES']}", connect_args={"check_same_thread": False}
)


def get_session() -> Iterator[Session]:
    """One for each request."""
    with Session(engine) as session:
        yield session


CurrentSession = Annotated[Session, Depends(get_session)]


def fill(count: int = 100) -> None:
    """Makes the tables anew, with so many heroes of ten teams."""
    SQLModel.metadata.drop_all(engine)
    SQLModel.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Team(name=f"Team {n}", headquarters="Paris") for n in range(10))
        session.commit()
        teams = session.exec(select(Team)).all()
        for n in range(count):
            team = teams[n % len(teams)]
            session.add(Hero(name=f"Hero {n}", age=n, secret_name="?", team_id=team.id))
        session.commit()
