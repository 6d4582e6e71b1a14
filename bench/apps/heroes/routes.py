"""Heroes and items."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from sqlmodel import select

from .database import CurrentSession
from .dependencies import get_token_header
from .models import Hero, HeroCreate, HeroPublic, HeroPublicWithTeam, HeroUpdate

heroes = APIRouter(prefix="/heroes", tags=["heroes"])
items = APIRouter(
    prefix="/items",
    tags=["items"],
    dependencies=[Depends(get_token_header)],
    responses={404: {"description": "Not found"}},
)
ITEMS = {"plumbus": {"name": "Plumbus"}, "gun": {"name": "Portal Gun"}}


@heroes.post("/", response_model=HeroPublic)
def create_hero(hero: HeroCreate, session: CurrentSession):
    made = Hero.model_validate(hero)
    session.add(made)
    session.commit()
    session.refresh(made)
    return made


@heroes.get("/", response_model=list[HeroPublic])
def read_heroes(
    session: CurrentSession, offset: int = 0, limit: Annotated[int, Query(le=100)] = 100
):
    return session.exec(select(Hero).offset(offset).limit(limit)).all()


@heroes.get("/{hero_id}", response_model=HeroPublicWithTeam)
def read_hero(hero_id: int, session: CurrentSession):
    hero = session.get(Hero, hero_id)
    if not hero:
        raise HTTPException(status_code=404, detail="Hero not found")
    return hero


@heroes.patch("/{hero_id}", response_model=HeroPublic)
def update_hero(hero_id: int, hero: HeroUpdate, session: CurrentSession):
    found = session.get(Hero, hero_id)
    if not found:
        raise HTTPException(status_code=404, detail="Hero not found")
    found.sqlmodel_update(hero.model_dump(exclude_unset=True))
    session.add(found)
    session.commit()
    session.refresh(found)
    return found


@items.get("/")
async def read_items():
    return ITEMS


@items.get("/{item_id}")
async def read_item(item_id: str):
    if item_id not in ITEMS:
        raise HTTPException(status_code=404, detail="Item not found")
    return {"name": ITEMS[item_id]["name"], "item_id": item_id}
