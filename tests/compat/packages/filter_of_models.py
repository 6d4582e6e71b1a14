"""fastapi-filter: a filter of SQLAlchemy's models from the query."""

from fastapi import FastAPI
from fastapi.testclient import TestClient
from fastapi_filter import FilterDepends
from fastapi_filter.contrib.sqlalchemy import Filter
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    age: Mapped[int]


class UserFilter(Filter):
    name: str | None = None
    age__gte: int | None = None
    name__in: list[str] | None = None
    order_by: list[str] | None = None

    class Constants(Filter.Constants):
        model = User


engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add_all([User(name="a", age=20), User(name="b", age=30), User(name="c", age=40)])
    session.commit()
app = FastAPI()


@app.get("/users")
def users(user_filter: UserFilter = FilterDepends(UserFilter)) -> list[str]:  # noqa: B008
    query = user_filter.sort(user_filter.filter(select(User)))
    with Session(engine) as session:
        return [user.name for user in session.scalars(query)]


client = TestClient(app)
assert client.get("/users", params={"age__gte": 30}).json() == ["b", "c"]
assert client.get("/users", params={"name": "a"}).json() == ["a"]
assert client.get("/users", params={"name__in": "a,c", "order_by": "-age"}).json() == ["c", "a"]
assert client.get("/users", params={"age__gte": "x"}).status_code == 422
assert client.get("/users", params={"order_by": "nothing"}).status_code == 422
engine.dispose()
