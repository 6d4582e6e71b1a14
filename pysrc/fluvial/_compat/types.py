"""Names of types in annotations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Any, TypeVar

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
