"""Registration and login: OAuth 2 with a password, and JSON Web Tokens."""

import hashlib
import hmac
import os
from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
from fastapi import APIRouter, Depends, HTTPException, Security, status
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm, SecurityScopes
from sqlmodel import select

from .database import Database
from .models import Token, User, UserCreate, UserRead

SECRET = os.environ.get("SHOP_SECRET", "only for trying it out, of 32 bytes")
LIFETIME = timedelta(hours=1)
SCOPES = {"orders": "Order items.", "stock": "Change what is sold."}
KEEPER = "keeper@shop.example"  # may change what is sold

router = APIRouter(tags=["users"])
oauth2 = OAuth2PasswordBearer(tokenUrl="token", scopes=SCOPES)


def hash_password(password: str, salt: bytes | None = None) -> str:
    """The salt and the hash, in hexadecimal digits."""
    salt = salt or os.urandom(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=2**10, r=8, p=1)
    return f"{salt.hex()}:{digest.hex()}"


def is_password(password: str, stored: str) -> bool:
    """Whether the stored hash is this password's."""
    salt = bytes.fromhex(stored.partition(":")[0])
    return hmac.compare_digest(hash_password(password, salt), stored)


def find_user(database: Database, email: str) -> User | None:
    """The user with this address."""
    return database.exec(select(User).where(User.email == email)).first()


def get_user(
    needed: SecurityScopes, token: Annotated[str, Depends(oauth2)], database: Database
) -> User:
    """The user that the token names, if it has the scopes that the route needs."""
    challenge = f'Bearer scope="{needed.scope_str}"' if needed.scopes else "Bearer"
    headers = {"WWW-Authenticate": challenge}
    refused = HTTPException(status.HTTP_401_UNAUTHORIZED, "Not a valid token", headers)
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise refused from None
    user = find_user(database, claims["sub"])
    if user is None:
        raise refused
    if not set(needed.scopes) <= set(claims["scopes"]):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Not permitted", headers)
    return user


CurrentUser = Annotated[User, Security(get_user)]
Buyer = Annotated[User, Security(get_user, scopes=["orders"])]
Keeper = Annotated[User, Security(get_user, scopes=["stock"])]


@router.post("/users", response_model=UserRead, status_code=status.HTTP_201_CREATED)
def register(user: UserCreate, database: Database):
    """Registers a user."""
    if find_user(database, user.email) is not None:
        raise HTTPException(status.HTTP_409_CONFLICT, "The address is registered already")
    made = User(email=user.email, password_hash=hash_password(user.password))
    database.add(made)
    database.flush()
    return made


@router.post("/token")
def login(form: Annotated[OAuth2PasswordRequestForm, Depends()], database: Database) -> Token:
    """Gives a token with the scopes that were asked for and may be had."""
    user = find_user(database, form.username)
    if user is None or not is_password(form.password, user.password_hash):
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "Wrong name or password")
    allowed = set(SCOPES) if user.email == KEEPER else {"orders"}
    claims = {
        "sub": user.email,
        "scopes": sorted(allowed & set(form.scopes or allowed)),
        "exp": datetime.now(UTC) + LIFETIME,
    }
    return Token(access_token=jwt.encode(claims, SECRET, algorithm="HS256"))


@router.get("/users/me")
def read_me(user: CurrentUser) -> UserRead:
    """The user whose token it is."""
    return UserRead(id=user.id, email=user.email)
