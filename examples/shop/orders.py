"""Orders, the shopping cart, and who hears of sales."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Body, HTTPException, Request, status
from fastapi.responses import StreamingResponse
from sqlmodel import Session, select

from .auth import Buyer
from .database import Database
from .items import CurrentItem
from .models import Item, ItemRead, Order, OrderRead

router = APIRouter(tags=["orders"])
sales: list[str] = []
sold = asyncio.Condition()


def as_read(order: Order, database: Session) -> OrderRead:
    """An order with its item and what it costs."""
    item = ItemRead.model_validate(database.get(Item, order.item_id), from_attributes=True)
    total = item.price * order.quantity
    return OrderRead(id=order.id, item=item, quantity=order.quantity, total=total)


async def tell_sale(text: str) -> None:
    """Tells all who listen to /sales."""
    async with sold:
        sales.append(text)
        sold.notify_all()


@router.post("/items/{item_id}/orders", status_code=status.HTTP_201_CREATED)
def order(
    item: CurrentItem,
    quantity: Annotated[int, Body(embed=True, ge=1)],
    buyer: Buyer,
    database: Database,
    background: BackgroundTasks,
) -> OrderRead:
    """Orders an item, if so much of it is there."""
    if item.stock < quantity:
        raise HTTPException(status.HTTP_409_CONFLICT, f"Only {item.stock} left")
    item.stock -= quantity
    made = Order(user_id=buyer.id, item_id=item.id, quantity=quantity)
    database.add(made)
    database.flush()
    background.add_task(tell_sale, f"{quantity} x {item.name}")
    return as_read(made, database)


@router.get("/orders")
def list_orders(buyer: Buyer, database: Database) -> list[OrderRead]:
    """What the user has ordered."""
    orders = database.exec(select(Order).where(Order.user_id == buyer.id)).all()
    return [as_read(each, database) for each in orders]


@router.put("/cart/{item_id}")
async def put_in_cart(item: CurrentItem, request: Request, quantity: int = 1) -> dict[str, int]:
    """Puts an item into the cart, which is kept in the session's cookie."""
    cart = {**request.session.get("cart", {}), str(item.id): quantity}
    request.session["cart"] = cart
    return cart


@router.get("/cart")
async def read_cart(request: Request) -> dict[str, int]:
    """What is in the cart."""
    return request.session.get("cart", {})


@router.get("/sales")
async def listen(count: int = 1) -> StreamingResponse:
    """The next sales, as server-sent events."""
    seen = len(sales)

    async def events() -> AsyncIterator[str]:
        yield ": listening\n\n"
        for number in range(seen, seen + count):
            async with sold:
                await sold.wait_for(lambda: len(sales) > number)  # noqa: B023
            yield f"id: {number}\ndata: {sales[number]}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")
