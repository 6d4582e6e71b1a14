"""Starlette's application and router: apps whose routes are functions of the request."""

from __future__ import annotations

from abc import ABC
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import applications, routing
from ._application.manners import STARLETTE
from ._application.plain_handlers import router_makers
from ._calling.callables import is_async
from ._messages.framing import BODYLESS
from .applications import App
from .concurrency import run_in_threadpool
from .exceptions import HTTPException
from .middleware import Middleware
from .middleware.body_limit import RequestBodyLimitMiddleware
from .middleware.errors import traceback_of
from .requests import Request
from .responses import PlainTextResponse, Response
from .routing import Host, Mount, Route, WebSocketRoute
from .websockets import WebSocket

if TYPE_CHECKING:
    from ._application.events import Lifespan
    from ._application.exception_handlers import Handler
    from ._asgi.protocol import Asgi3, Message, Receive, Send

__all__ = ["Router", "Starlette"]


def answer_in_text(request: Request, exc: HTTPException) -> Response:
    """The response to an HTTPException: its detail as text."""
    if exc.status_code in BODYLESS:
        return Response(status_code=exc.status_code, headers=exc.headers)
    return PlainTextResponse(str(exc.detail), exc.status_code, exc.headers)


class Debugged(App):
    """An app that may show tracebacks to its clients."""

    @property
    def debug(self) -> bool:
        """Whether the response to an exception that nothing handles is the traceback."""
        return self._errors.debug is not None

    @debug.setter
    def debug(self, debug: bool) -> None:
        self._errors.debug = traceback_of if debug else None


class Router(Debugged):
    """Routes, WebSockets, mounts and hosts without a document or pages; an ASGI app.

    `default` is an ASGI app for what fits none. Errors get responses of text.
    """

    manners = STARLETTE
    is_part = True

    def __init__(
        self,
        routes: Sequence[Any] | None = None,
        redirect_slashes: bool = True,
        default: Any = None,
        on_startup: Sequence[Callable[[], Any]] | None = None,
        on_shutdown: Sequence[Callable[[], Any]] | None = None,
        lifespan: Lifespan | None = None,
        *,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Mapping[Any, Handler] | None = None,
        max_body_size: int | None = None,
    ) -> None:
        if max_body_size is not None:
            limit = Middleware(RequestBodyLimitMiddleware, max_body_size=max_body_size)
            middleware = [limit, *(middleware or ())]
        handlers = {HTTPException: answer_in_text, **(exception_handlers or {})}
        super().__init__(
            openapi_url=None,
            routes=routes,
            redirect_slashes=redirect_slashes,
            on_startup=on_startup,
            on_shutdown=on_shutdown,
            lifespan=lifespan,
            middleware=middleware,
            exception_handlers=handlers,
        )
        if default is not None:
            self.mount("", default)


class Starlette(Router):
    """A web application of functions of the request.

    With `debug`, the response to an exception that nothing handles is the traceback.
    `max_body_size`, in bytes, is around the middleware; a Route's or Mount's replaces it there.
    """

    is_part = False

    def __init__(
        self,
        debug: bool = False,
        routes: Sequence[Any] | None = None,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Mapping[Any, Handler] | None = None,
        on_startup: Sequence[Callable[[], Any]] | None = None,
        on_shutdown: Sequence[Callable[[], Any]] | None = None,
        lifespan: Lifespan | None = None,
        *,
        max_body_size: int | None = None,
    ) -> None:
        super().__init__(
            routes,
            on_startup=on_startup,
            on_shutdown=on_shutdown,
            lifespan=lifespan,
            middleware=middleware,
            exception_handlers=exception_handlers,
            max_body_size=max_body_size,
        )
        self.debug = debug


router_makers.append(Router)


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


def websocket_session(func: Callable[[WebSocket], Awaitable[None]]) -> Asgi3:
    """An ASGI app of a function that gets a WebSocket."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        socket: Any = WebSocket(scope, receive, send)
        await func(socket)

    return app


routing.later.update(
    Router=Router,
    BaseRoute=BaseRoute,
    request_response=request_response,
    websocket_session=websocket_session,
)
applications.later["Starlette"] = Starlette
