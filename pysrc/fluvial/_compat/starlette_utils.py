"""What packages take from Starlette's private helpers."""

from __future__ import annotations

from .._application.matching import path_below as get_route_path
from .._calling.callables import is_async as is_async_callable

__all__ = ["get_route_path", "is_async_callable"]
