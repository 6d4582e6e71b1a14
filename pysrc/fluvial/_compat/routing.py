"""Names of Starlette's routing that programs use to tell routes apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._starlette import BaseRoute, Router, request_response, websocket_session

if TYPE_CHECKING:
    from ..requests import Request


def get_request_handler(**_: Any) -> Callable[[Request], Any]:
    """Where packages that watch FastAPI put a function of their own. Plans in C don't call it.

    Raises: NotImplementedError, since the handler of a route is made otherwise here.
    """
    raise NotImplementedError("handlers are compiled into plans: override APIRoute instead")


class _IncludedRouter:
    """FastAPI's lists of routes have such objects. Here they have the routes themselves."""


__all__ = [
    "BaseRoute",
    "Router",
    "get_request_handler",
    "request_response",
    "websocket_session",
]
