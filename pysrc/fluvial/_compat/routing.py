"""Names of Starlette's routing that programs use to tell routes apart."""

from __future__ import annotations

from abc import ABC
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .._calling.callables import is_async
from .._starlette import Router
from ..concurrency import run_in_threadpool
from ..requests import Request
from ..routing import Host, Mount, Route, WebSocketRoute
from ..websockets import WebSocket

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send


class BaseRoute(ABC):  # noqa: B024  # for isinstance() alone
    """Whatever has a path: routes, WebSockets' routes and mounted apps."""


for _kind in (Route, WebSocketRoute, Mount, Host):
    BaseRoute.register(_kind)


def request_response(func: Callable[[Request], Any]) -> Asgi3:
    """An ASGI app of a function that gets a request and returns its response."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        request: Any = Request(scope, receive, send)
        if is_async(func):
            response = await func(request)
        else:
            response = await run_in_threadpool(func, request)
        await response(scope, receive, send)

    return app


def get_request_handler(**_: Any) -> Callable[[Request], Any]:
    """Where packages that watch FastAPI put a function of their own. Plans in C don't call it.

    Raises: NotImplementedError, since the handler of a route is made otherwise here.
    """
    raise NotImplementedError("handlers are compiled into plans: override APIRoute instead")


def websocket_session(func: Callable[[WebSocket], Awaitable[None]]) -> Asgi3:
    """An ASGI app of a function that gets a WebSocket."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        socket: Any = WebSocket(scope, receive, send)
        await func(socket)

    return app


__all__ = [
    "BaseRoute",
    "Router",
    "get_request_handler",
    "request_response",
    "websocket_session",
]
