"""What packages take from Starlette's private helpers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .._application.matching import path_below
from .._calling.callables import is_async as is_async_callable

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from .._asgi.protocol import Message

__all__ = ["create_collapsing_task_group", "get_route_path", "is_async_callable"]


@asynccontextmanager
async def create_collapsing_task_group() -> AsyncIterator[TaskGroup]:
    """anyio's task group; a single exception is raised as it is, not in a group."""
    import anyio

    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as raised:
        if len(raised.exceptions) > 1:
            raise
        (alone,) = raised.exceptions
        context = None if alone.__suppress_context__ else alone.__context__
        raise alone from (alone.__cause__ or context)


def get_route_path(scope: Message) -> str:
    """The path of a scope without its root path; empty for the root path itself."""
    root = scope.get("root_path", "")
    return "" if root and scope["path"] == root else path_below(scope)
