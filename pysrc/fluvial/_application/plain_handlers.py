"""What is called for routes whose signature isn't read: functions of the request or WebSocket, and
ASGI apps, with the middleware of one route around them.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import _core
from .._calling.callables import is_async, strip_partials
from .._calling.threads import call_handler_in_pool
from .timeouts import ends_of

if TYPE_CHECKING:
    from ..middleware import Middleware
    from ..responses import Response

    Layers = Sequence[Middleware]

Handler = Callable[[Any], Any]
Asgi = Callable[[Any, Any, Any], Awaitable[None]]
# llhttp knows more, of WebDAV and others: routes name them in `methods`.
EVERY_METHOD = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
# How an ASGI app answers a request, respond(app, request). _asgi/connections.py puts it here.
responders: list[Callable[[Asgi, Any], Awaitable[Response]]] = []

# What makes an app of routes alone. fluvial/_starlette.py puts it here.
router_makers: list[Callable[[Any], Any]] = []


def is_function(endpoint: Any) -> bool:
    """Whether it is called with a request; anything else that can be called is an ASGI app."""
    inner = strip_partials(endpoint)
    return inspect.isfunction(inner) or inspect.ismethod(inner) or inspect.isbuiltin(inner)


def own_name(endpoint: Any) -> str:
    """A route's default name. That of a partial is its function's, as in Starlette."""
    inner = strip_partials(endpoint)
    name: str = getattr(inner, "__name__", type(inner).__name__)
    return name


def request_handler(endpoint: Any, middleware: Layers = ()) -> Handler:
    """A function of the request that returns the endpoint's response."""
    if is_function(endpoint) and not middleware:
        return endpoint  # type: ignore[no-any-return]
    app = _around(_as_app(endpoint) if is_function(endpoint) else endpoint, middleware)

    async def handle(request: Any) -> Response:
        return await responders[0](app, request)

    return handle


def _as_app(endpoint: Handler) -> Asgi:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        from ..requests import Request

        request = Request(scope, receive, send)
        response = (
            await endpoint(request)
            if is_async(endpoint)
            else await call_handler_in_pool(endpoint, request)
        )
        await response(scope, receive, send)

    return app


def websocket_handler(endpoint: Any, middleware: Layers = ()) -> Handler:
    """A coroutine function of the WebSocket."""
    if is_function(endpoint):
        if not middleware:
            return endpoint if is_async(endpoint) else _awaiting(endpoint)
        endpoint = _as_websocket_app(_awaiting(endpoint))
    app = _around(endpoint, middleware)

    async def handle(websocket: Any) -> None:
        await app(websocket.scope, websocket.receive, websocket.send)

    return handle


def _awaiting(endpoint: Handler) -> Handler:
    """The endpoint as a coroutine function; it may be a `def` that returns something to await."""

    async def handle(websocket: Any) -> None:
        result = endpoint(websocket)
        if inspect.isawaitable(result):
            await result

    return handle


def _as_websocket_app(endpoint: Handler) -> Asgi:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        from ..websockets import WebSocket

        await endpoint(WebSocket(scope, receive, send))

    return app


def _around(app: Asgi, middleware: Layers) -> Asgi:
    for cls, args, kwargs in reversed(list(middleware)):
        app = cls(app, *args, **kwargs)
    return app


def plan_around_request(handler: Handler, route: Any) -> _core.Plan:
    """A plan that calls `handler(request)`, on the loop or in a thread."""
    later = is_async(handler)
    return _core.Plan(
        handler,
        kind=_core.TASK if later else _core.POOL,
        params=(_core.Param(_core.REQUEST, "request", "request"),),
        body=_core.BODY_STREAM if later else _core.BODY_COLLECT,
        body_limit=route.options.get("body_limit"),
        **ends_of(route.options),
        info=route,
    )


def plan_around_websocket(handler: Handler, route: Any) -> _core.Plan:
    """A plan that awaits `handler(websocket)`."""
    return _core.Plan(
        handler,
        kind=_core.TASK,
        params=(_core.Param(_core.REQUEST, "websocket", "websocket"),),
        body=_core.BODY_DISCARD,
        info=route,
    )
