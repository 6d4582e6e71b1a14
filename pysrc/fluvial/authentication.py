"""What AuthenticationMiddleware sets, and `requires`, which checks it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import urlencode

from ._calling.callables import callable_name, is_async
from .exceptions import HTTPException
from .responses import RedirectResponse

if TYPE_CHECKING:
    from .requests import HTTPConnection

__all__ = [
    "AuthCredentials",
    "AuthenticationBackend",
    "AuthenticationError",
    "BaseUser",
    "SimpleUser",
    "UnauthenticatedUser",
    "has_required_scope",
    "requires",
]

P = ParamSpec("P")
R = TypeVar("R")


class AuthenticationError(Exception):
    """The client's credentials are wrong or malformed."""


class AuthCredentials:
    """What the client may do: names of scopes."""

    def __init__(self, scopes: Sequence[str] | None = None) -> None:
        self.scopes = [] if scopes is None else list(scopes)


class BaseUser:
    """A user; derive your own class from it."""

    @property
    def is_authenticated(self) -> bool:
        """Whether it is known who the client is."""
        raise NotImplementedError

    @property
    def display_name(self) -> str:
        """A name for people to read."""
        raise NotImplementedError

    @property
    def identity(self) -> str:
        """What identifies the user uniquely."""
        raise NotImplementedError


class SimpleUser(BaseUser):
    """A user who is known by name."""

    def __init__(self, username: str) -> None:
        self.username = username

    @property
    def is_authenticated(self) -> bool:
        """True."""
        return True

    @property
    def display_name(self) -> str:
        """The name."""
        return self.username

    @property
    def identity(self) -> str:
        """The name."""
        return self.username


class UnauthenticatedUser(BaseUser):
    """The user of a client that isn't authenticated."""

    @property
    def is_authenticated(self) -> bool:
        """False."""
        return False

    @property
    def display_name(self) -> str:
        """Empty."""
        return ""

    @property
    def identity(self) -> str:
        """Empty."""
        return ""


class AuthenticationBackend:
    """Identifies the client; see AuthenticationMiddleware."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, Any] | None:
        """Returns (credentials, user), or None. Raises: AuthenticationError for wrong
        credentials."""
        raise NotImplementedError


def has_required_scope(conn: HTTPConnection, scopes: Sequence[str]) -> bool:
    """Whether the client has all of the scopes."""
    return all(scope in conn.auth.scopes for scope in scopes)


def requires(
    scopes: str | Sequence[str], status_code: int = 403, redirect: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of handlers, which must have a parameter `request` or `websocket`.

    A client that lacks one of `scopes` gets a response with `status_code`, or is redirected to the
    route named `redirect` with the URL as the query's `next`; its WebSocket is closed.
    """
    wanted = (scopes,) if isinstance(scopes, str) else tuple(scopes)

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        names = [name for name in inspect.signature(func).parameters]
        name = next((each for each in names if each in ("request", "websocket")), None)
        if name is None:
            raise TypeError(
                f"@requires needs a parameter 'request' or 'websocket' of {callable_name(func)}"
            )
        place = names.index(name)

        def refusal(args: Any, kwargs: Any) -> Any:
            conn = kwargs[name] if name in kwargs else args[place]
            if has_required_scope(conn, wanted):
                return None
            return conn if name == "websocket" else _refuse(conn, status_code, redirect)

        guarded: Callable[P, R] = _guarded(func, refusal, is_websocket=name == "websocket")
        return guarded

    return decorate


def _refuse(conn: HTTPConnection, status_code: int, redirect: str | None) -> Any:
    if redirect is None:
        raise HTTPException(status_code)
    query = urlencode({"next": str(conn.url)})
    return RedirectResponse(f"{conn.url_for(redirect)}?{query}", 303)


def _guarded(func: Any, refusal: Callable[[Any, Any], Any], *, is_websocket: bool) -> Any:
    if not is_async(func):

        @functools.wraps(func)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            refused = refusal(args, kwargs)
            return func(*args, **kwargs) if refused is None else refused

        return guarded

    @functools.wraps(func)
    async def guarded_async(*args: Any, **kwargs: Any) -> Any:
        refused = refusal(args, kwargs)
        if refused is None:
            return await func(*args, **kwargs)
        return await refused.close() if is_websocket else refused

    return guarded_async
