"""Registering a router's routes with what includes it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ._application.paths import converters_of
from ._application.routes import Route, WebSocketRoute
from ._asgi.frontends import Frontend
from ._asgi.hosts import Host
from ._asgi.mounts import Mount
from ._calling.callables import callable_name
from ._signature.foreign import refuse_foreign
from .exceptions import PathError

if TYPE_CHECKING:
    from ._application.shared import Shared
    from .routing import Registering


def under(route: Any, prefix: str) -> Any:
    """The route, mount or host with `prefix` before its path."""
    if not prefix or isinstance(route, Host):
        return route
    moved = copy.copy(route)
    moved.path = prefix + route.path
    if isinstance(route, Mount):
        moved.prefix = moved.path
    else:
        moved.converters = converters_of(moved.path)
    moved.plan = None
    return moved


def include_route(owner: Registering, route: Any, shared: Shared) -> None:
    """Registers a router's route with `owner`.

    Raises: TypeError or ValueError when the path, the handler or an option can't be used.
    """
    if isinstance(route, Frontend):
        before = (*owner._before_all(), *shared.dependencies)
        owner.take(route.included(owner._prefixed(shared.prefix), before))
        return
    if isinstance(route, (Mount, Host)) or type(route) in (Route, WebSocketRoute):
        owner.take(under(route, owner._prefixed(shared.prefix)))
        return
    if not isinstance(route, (Route, WebSocketRoute)):
        refuse_foreign(route)
        raise TypeError(f"routes are Route, WebSocketRoute, Mount and Host, not {route!r}")
    path = shared.prefix + route.path
    if not path:
        name = callable_name(route.endpoint)
        raise PathError(f"route {name}: prefix and path can't both be empty")
    if isinstance(route, Route):
        options = shared.options(route.options)
        options["route_class_override"] = type(route)
        owner.add_api_route(path, route.endpoint, methods=route.given_methods, **options)
    else:
        before = (*shared.dependencies, *route.dependencies)
        owner.add_api_websocket_route(path, route.endpoint, route.name, dependencies=before)
