"""Names of types in annotations, as Starlette's and FastAPI's programs import them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Any, TypeVar

__all__ = [
    "ASGIApp",
    "AppType",
    "DecoratedCallable",
    "ExceptionHandler",
    "HTTPExceptionHandler",
    "IncEx",
    "Lifespan",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "StatefulLifespan",
    "StatelessLifespan",
    "UnionType",
    "WebSocketExceptionHandler",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
AppType = TypeVar("AppType")
StatelessLifespan = Callable[[AppType], AbstractAsyncContextManager[None]]
StatefulLifespan = Callable[[AppType], AbstractAsyncContextManager[dict[str, Any]]]
Lifespan = StatelessLifespan[AppType] | StatefulLifespan[AppType]
HTTPExceptionHandler = Callable[[Any, Exception], Any]
WebSocketExceptionHandler = Callable[[Any, Exception], Awaitable[None]]
ExceptionHandler = HTTPExceptionHandler | WebSocketExceptionHandler
DecoratedCallable = TypeVar("DecoratedCallable", bound=Callable[..., Any])
IncEx = set[int] | set[str] | dict[int, Any] | dict[str, Any]
UnionType = type(int | str)
ModelNameMap = dict[type | type[Enum], str]
_MiddlewareFactory = Callable[..., ASGIApp]
ASGIInstance = Callable[[Receive, Send], Awaitable[None]]
