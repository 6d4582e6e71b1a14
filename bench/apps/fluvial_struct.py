"""A POST of a msgspec Struct in Fluvial: the model of frameworks_app.py."""

import msgspec
from fluvial import App

app = App()


class Address(msgspec.Struct):
    street: str
    city: str


class Order(msgspec.Struct):
    name: str
    price: float
    tags: list[str] = []
    address: Address | None = None


@app.post("/struct")
async def echo_struct(order: Order) -> Order:
    return order
