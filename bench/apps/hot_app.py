"""What bench/callgrind.py takes apart: a route of each kind that programs mostly consist of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fluvial import App, Depends, PlainTextResponse
from pydantic import BaseModel

app = App()


class Order(BaseModel):
    name: str
    price: float
    tags: list[str] = []


class Session:
    """As a database's: opened for each request, closed after it."""

    def __init__(self) -> None:
        self.closed = False

    def get(self, key: int) -> dict[str, Any]:
        return {"id": key, "name": "river"}

    def close(self) -> None:
        self.closed = True


def open_session() -> Iterator[Session]:
    session = Session()
    try:
        yield session
    finally:
        session.close()


ITEMS = [{"id": i, "name": f"item {i}", "price": i * 1.5, "tags": ["a", "b"]} for i in range(50)]


@app.get("/async")
async def read_async():
    return {"type": "async"}


@app.get("/baseline")
async def baseline(a: int, b: int):
    return PlainTextResponse(str(a + b))


@app.get("/baseline-text", response_class=PlainTextResponse)
async def baseline_text(a: int, b: int):
    return str(a + b)


@app.get("/json/{count}")
async def some_items(count: int):
    return {"items": ITEMS[:count], "count": count}


@app.post("/model")
async def echo_model(order: Order) -> Order:
    return order


@app.get("/session/{key}")
def with_session(key: int, session: Annotated[Session, Depends(open_session)]):
    return session.get(key)
