"""The shop's tables, and what clients send and get."""

from decimal import Decimal

from pydantic import BaseModel
from sqlmodel import Field, Relationship, SQLModel


class User(SQLModel, table=True):
    """Whoever has registered."""

    id: int | None = Field(default=None, primary_key=True)
    email: str = Field(index=True, unique=True)
    password_hash: str
    orders: list["Order"] = Relationship(back_populates="user")


class ItemBase(SQLModel):
    """What an item has, in the table and outside."""

    name: str = Field(min_length=2, max_length=60)
    price: Decimal = Field(gt=0, max_digits=8, decimal_places=2)
    stock: int = Field(default=0, ge=0)


class Item(ItemBase, table=True):
    """What is sold."""

    id: int | None = Field(default=None, primary_key=True)


class ItemRead(ItemBase):
    """An item, as clients get it."""

    id: int


class Order(SQLModel, table=True):
    """So many pieces of an item."""

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user.id")
    item_id: int = Field(foreign_key="item.id")
    quantity: int
    user: User | None = Relationship(back_populates="orders")


class OrderRead(BaseModel):
    """An order, as clients get it."""

    id: int
    item: ItemRead
    quantity: int
    total: Decimal


class UserCreate(BaseModel):
    """A registration."""

    email: str
    password: str


class UserRead(BaseModel):
    """A user, without the password's hash."""

    id: int
    email: str


class Token(BaseModel):
    """What a login gives."""

    access_token: str
    token_type: str = "bearer"
