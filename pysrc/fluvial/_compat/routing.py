"""Names of Starlette's routing that programs use to tell routes apart."""

from __future__ import annotations

from abc import ABC
from enum import Enum

from .._asgi.mounts import Mount
from ..routing import APIRouter, Route, WebSocketRoute


class BaseRoute(ABC):  # noqa: B024  # for isinstance() alone
    """Whatever has a path: routes, WebSockets' routes and mounted apps."""


for _kind in (Route, WebSocketRoute, Mount):
    BaseRoute.register(_kind)


class Match(Enum):
    """How well a route fits a request."""

    NONE = 0
    PARTIAL = 1
    FULL = 2


APIWebSocketRoute = WebSocketRoute
Router = APIRouter

__all__ = ["APIWebSocketRoute", "BaseRoute", "Match", "Mount", "Router"]
