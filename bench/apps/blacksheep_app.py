"""The cases of bench/frameworks.py that BlackSheep has, as its users write them."""

# No `from __future__ import annotations`: BlackSheep would resolve them by name.

from collections.abc import Awaitable, Callable

from blacksheep import Application, FromJSON, Request, Response, Router, json
from pydantic import BaseModel


class Address(BaseModel):
    street: str
    city: str


class Order(BaseModel):
    name: str
    price: float
    tags: list[str] = []
    address: Address | None = None


app = Application()


@app.router.get("/items/{item_id}")
async def read_item(item_id: int, q: str | None = None):
    return json({"item_id": item_id, "q": q})


@app.router.post("/model")
async def echo_model(data: FromJSON[Order]):
    return json(data.value.model_dump())


with_middleware = Application(router=Router())


async def stamp(request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await handler(request)
    response.add_header(b"X-Stamp", b"1")
    return response


with_middleware.middlewares.append(stamp)

with_cors = Application(router=Router())
with_cors.use_cors(allow_methods="GET", allow_origins="https://shop.example")


@with_middleware.router.get("/plain")
async def plain():
    return json({"type": "plain"})


@with_cors.router.get("/plain")
async def plain_with_cors():
    return json({"type": "plain"})
