"""The cases of bench/frameworks.py in FastAPI's grammar; FRAMEWORK says whether FastAPI runs it."""

# No `from __future__ import annotations`: FastAPI would resolve them by name.

import os
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from pydantic import BaseModel

if os.environ.get("FRAMEWORK") == "fastapi":
    from fastapi import Depends, FastAPI, Header, Query, Request, Response, UploadFile
    from fastapi.middleware.cors import CORSMiddleware
    from fastapi.middleware.gzip import GZipMiddleware
else:
    from fluvial import Depends, FastAPI, Header, Query, Request, Response, UploadFile
    from fluvial.middleware.cors import CORSMiddleware
    from fluvial.middleware.gzip import GZipMiddleware


class Address(BaseModel):
    street: str
    city: str


class Order(BaseModel):
    name: str
    price: float
    tags: list[str] = []
    address: Address | None = None


app = FastAPI()


@app.get("/items/{item_id}")
async def read_item(item_id: int, q: str | None = None):
    return {"item_id": item_id, "q": q}


@app.post("/model")
async def echo_model(order: Order) -> Order:
    return order


async def get_page(page: int = 1) -> int:
    return page


async def get_agent(user_agent: Annotated[str | None, Header()] = None) -> str | None:
    return user_agent


async def get_both(
    page: Annotated[int, Depends(get_page)], agent: Annotated[str | None, Depends(get_agent)]
) -> dict[str, Any]:
    return {"page": page, "agent": agent}


@app.get("/async-dependencies")
async def three_async(found: Annotated[dict[str, Any], Depends(get_both)]):
    return found


def take_page(page: int = 1) -> int:
    return page


def take_agent(user_agent: Annotated[str | None, Header()] = None) -> str | None:
    return user_agent


def take_both(
    page: Annotated[int, Depends(take_page)], agent: Annotated[str | None, Depends(take_agent)]
) -> dict[str, Any]:
    return {"page": page, "agent": agent}


@app.get("/def-dependencies")
def three_def(found: Annotated[dict[str, Any], Depends(take_both)]):
    return found


@app.post("/file")
async def take_file(file: UploadFile) -> int | None:
    """How large the file is, once it is on the disk."""
    return file.size


@app.post("/def-file")
def take_file_in_thread(file: UploadFile) -> int | None:
    return file.size


with_middleware = FastAPI()


@with_middleware.middleware("http")
async def stamp(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers["X-Stamp"] = "1"
    return response


with_cors = FastAPI()
with_cors.add_middleware(GZipMiddleware)
with_cors.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"])


@with_middleware.get("/plain")
@with_cors.get("/plain")
async def plain():
    return {"type": "plain"}


def make_many(count: int = 1000) -> FastAPI:
    """An app with so many routes."""
    many = FastAPI()

    def add(number: int) -> None:
        @many.get(f"/things{number}/{{thing_id}}", name=f"read_{number}")
        async def read(thing_id: int, q: Annotated[str | None, Query()] = None):
            return {"thing_id": thing_id, "q": q}

    for number in range(count):
        add(number)
    return many


if os.environ.get("ROUTES"):
    many = make_many(int(os.environ["ROUTES"]))
