"""The app: for uvicorn, or for `fluvial run --as-fastapi`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from .database import fill
from .dependencies import get_query_token
from .routes import heroes, items


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    fill()
    yield


app = FastAPI(lifespan=lifespan, dependencies=[Depends(get_query_token)])
app.include_router(heroes)
app.include_router(items)


@app.get("/")
async def root():
    return {"message": "Hello Bigger Applications!"}
