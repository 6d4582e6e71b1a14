"""What is sold, and pictures of it."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, HTTPException, Query, UploadFile, status
from sqlmodel import col, select

from .auth import Keeper
from .database import Database
from .models import Item, ItemBase, ItemRead

router = APIRouter(prefix="/items", tags=["items"])
pictures: dict[int, dict[str, str | int]] = {}


def get_item(item_id: int, database: Database) -> Item:
    """The item of the path. Raises: HTTPException 404."""
    item = database.get(Item, item_id)
    if item is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "No such item")
    return item


CurrentItem = Annotated[Item, Depends(get_item)]


@router.get("/", response_model=list[ItemRead])
def list_items(
    database: Database,
    q: Annotated[str | None, Query(min_length=2, description="A part of the name")] = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
):
    """The items, by name."""
    query = select(Item).order_by(Item.name).offset(offset).limit(limit)
    if q is not None:
        query = query.where(col(Item.name).contains(q))
    return database.exec(query).all()


@router.post("/", response_model=ItemRead, status_code=status.HTTP_201_CREATED)
def create_item(item: ItemBase, database: Database, keeper: Keeper):
    """Adds an item."""
    made = Item.model_validate(item)
    database.add(made)
    database.flush()
    return made


@router.get("/{item_id}", response_model=ItemRead)
def read_item(item: CurrentItem):
    """One item."""
    return item


@router.delete("/{item_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_item(item: CurrentItem, database: Database, keeper: Keeper) -> None:
    """Takes an item away."""
    database.delete(item)


@router.post("/{item_id}/picture")
async def upload_picture(
    item: CurrentItem,
    keeper: Keeper,
    picture: Annotated[UploadFile, File(description="A picture of the item")],
    caption: Annotated[str, Form(max_length=80)] = "",
):
    """Takes a picture; keeps what it is, not the picture."""
    digest, size = hashlib.sha256(), 0
    while piece := await picture.read(65536):
        digest.update(piece)
        size += len(piece)
    pictures[item.id] = {
        "name": picture.filename or "",
        "caption": caption,
        "size": size,
        "sha256": digest.hexdigest(),
    }
    return pictures[item.id]
