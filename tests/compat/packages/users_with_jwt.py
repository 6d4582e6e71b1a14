"""fastapi-users: registration, login and protected routes, on SQLAlchemy."""

import uuid
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import StaticPool

SECRET = "s" * 32


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
make_session = async_sessionmaker(engine, expire_on_commit=False)


@asynccontextmanager
async def lifespan(app):
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


async def get_session():
    async with make_session() as session:
        yield session


async def get_user_db(session: Annotated[AsyncSession, Depends(get_session)]):
    yield SQLAlchemyUserDatabase(session, User)


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


async def get_user_manager(user_db: Annotated[SQLAlchemyUserDatabase, Depends(get_user_db)]):
    yield UserManager(user_db)


class UserRead(schemas.BaseUser[uuid.UUID]):
    pass


class UserCreate(schemas.BaseUserCreate):
    pass


class UserUpdate(schemas.BaseUserUpdate):
    pass


backend = AuthenticationBackend(
    name="jwt",
    transport=BearerTransport(tokenUrl="auth/login"),
    get_strategy=lambda: JWTStrategy(secret=SECRET, lifetime_seconds=3600),
)
users = FastAPIUsers[User, uuid.UUID](get_user_manager, [backend])
app = FastAPI(lifespan=lifespan)
app.include_router(users.get_auth_router(backend), prefix="/auth")
app.include_router(users.get_register_router(UserRead, UserCreate), prefix="/auth")
app.include_router(users.get_users_router(UserRead, UserUpdate), prefix="/users")


@app.get("/me")
async def read_me(user: Annotated[User, Depends(users.current_user(active=True))]):
    return user.email


with TestClient(app) as client:
    ann = {"email": "ann@example.org", "password": "correct horse"}
    assert client.post("/auth/register", json=ann).status_code == 201
    assert client.post("/auth/register", json=ann).status_code == 400
    login = {"username": ann["email"], "password": ann["password"]}
    assert client.post("/auth/login", data=login | {"password": "wrong"}).status_code == 400
    token = client.post("/auth/login", data=login).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    assert client.get("/me").status_code == 401
    assert client.get("/me", headers=headers).json() == ann["email"]
    changed = client.patch("/users/me", headers=headers, json={"email": "bob@example.org"})
    assert changed.json()["email"] == "bob@example.org"
    assert "/auth/login" in client.get("/openapi.json").json()["paths"]
