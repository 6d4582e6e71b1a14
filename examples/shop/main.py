"""The shop's app: `fluvial run --as-fastapi shop.main:app --app-dir examples`, or by uvicorn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.templating import Jinja2Templates
from sqlalchemy.exc import IntegrityError
from sqlmodel import select
from starlette.middleware.sessions import SessionMiddleware

from . import auth, chat, items, orders
from .database import Database, create_tables
from .models import Item

HERE = Path(__file__).parent


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    create_tables()
    yield


app = FastAPI(title="Shop", version="1.0", lifespan=lifespan)
app.add_middleware(GZipMiddleware, minimum_size=1000)
app.add_middleware(SessionMiddleware, secret_key=auth.SECRET)
app.add_middleware(
    CORSMiddleware,
    allow_origins=["https://shop.example"],
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
)
for module in (auth, items, orders, chat):
    app.include_router(module.router)
templates = Jinja2Templates(directory=HERE / "templates")


@app.exception_handler(IntegrityError)
async def refused_by_database(request: Request, exc: IntegrityError) -> JSONResponse:
    return JSONResponse({"detail": "The database refused it"}, status_code=409)


@app.get("/", response_class=HTMLResponse, include_in_schema=False)
def front_page(request: Request, database: Database):
    found = database.exec(select(Item).order_by(Item.name)).all()
    return templates.TemplateResponse(request, "front.html", {"items": found})
