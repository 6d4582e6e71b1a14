"""Synchronous code called from an `async def`, in the server's thread pool.

The names are those of `starlette.concurrency` and `fastapi.concurrency`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

from ._calling.threads import run_internal, submit, to_its_end

__all__ = [
    "contextmanager_in_threadpool",
    "iterate_in_threadpool",
    "run_in_threadpool",
    "run_until_first_complete",
]

P = ParamSpec("P")
T = TypeVar("T")

_END = object()


async def run_in_threadpool(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls `func` on a worker thread and returns what it returns.

    It sees the caller's context variables; its changes to them are lost. A caller that is cancelled
    waits until the thread is done, since nothing can stop it.

    Raises: HTTPException 503 when too many calls wait for a thread already, or what `func` raises.
    """
    call = functools.partial(func, *args, **kwargs)
    return await to_its_end(submit(copy_context(), call))


async def iterate_in_threadpool(iterable: Iterable[T]) -> AsyncIterator[T]:
    """The items of `iterable`, which is iterated on worker threads.

    Raises: HTTPException 503 when too many calls wait for a thread already, or what `iterable`
    raises.
    """
    iterator = iter(iterable)
    while (item := await run_in_threadpool(next, iterator, _END)) is not _END:
        yield item  # type: ignore[misc]  # it isn't _END


@contextlib.asynccontextmanager
async def contextmanager_in_threadpool(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enters and leaves `manager` on worker threads.

    It is left on a thread of the loop's own executor, so that clean-up never waits for functions
    that hold what it would release.
    """
    value = await run_in_threadpool(manager.__enter__)
    try:
        yield value
    except BaseException as exc:
        if not await run_internal(manager.__exit__, type(exc), exc, exc.__traceback__):
            raise
    else:
        await run_internal(manager.__exit__, None, None, None)


async def run_until_first_complete(*args: tuple[Callable[..., Any], dict[str, Any]]) -> None:
    """Calls coroutine functions, each with its keyword arguments, until the first one returns.

    The others are cancelled. Raises: what one of them raises.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(func(**kwargs)) for func, kwargs in args]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
