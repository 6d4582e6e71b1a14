"""What belongs to the running loop: the pool for users' functions, and the executor for files and
clean-up, which must never wait behind users' functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from ..exceptions import HTTPException

if TYPE_CHECKING:
    from .._core import Pool

T = TypeVar("T")

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = WeakKeyDictionary()


def register_pool(loop: asyncio.AbstractEventLoop, pool: Pool) -> None:
    """Makes `pool` the one for users' functions on `loop`."""
    _pools[loop] = pool


def unregister_pool(loop: asyncio.AbstractEventLoop) -> None:
    """Undoes `register_pool`."""
    _pools.pop(loop, None)


def submit(context: Context, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
    """Has `func` called on a worker thread inside `context`.

    Raises: HTTPException 503 when too many wait already.
    """
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        return loop.run_in_executor(None, context.run, func, *args)
    try:
        return pool.submit(context, func, *args)
    except RuntimeError as exc:
        raise HTTPException(503, headers={"retry-after": "1"}) from exc


async def run_in_pool(context: Context, func: Callable[..., T], *args: Any) -> T:
    """Calls `func` on a worker thread inside `context`.

    Raises: HTTPException 503 when too many wait already, or what `func` raises.
    """
    return await submit(context, func, *args)


async def to_its_end(future: asyncio.Future[T]) -> T:
    """Awaits what a thread does; when cancelled, not before the thread has done it."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((future,))
        if not future.cancelled():
            future.exception()  # is lost behind the cancellation, but not unseen
        raise


async def call_in_pool(func: Callable[..., T], *args: Any) -> T:
    """Calls `func` on a worker thread; what it does to context variables is seen afterwards."""
    context = copy_context()
    try:
        return await run_in_pool(context, func, *args)
    finally:
        adopt_context(context)


async def call_on_loop(
    loop: asyncio.AbstractEventLoop, func: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any
) -> T:
    """What the core's awaitables become that are made in another thread than the loop's.

    Calling an `async def` function does nothing until the loop gets the coroutine, so it may be
    done anywhere, as in `asyncio.run_coroutine_threadsafe(send(message), loop)`.

    Raises: RuntimeError when it is awaited on another loop.
    """
    if asyncio.get_running_loop() is not loop:
        raise RuntimeError("methods of a request are awaited on the loop's thread only")
    return await func(*args, **kwargs)


async def run_internal(func: Callable[..., T], *args: Any) -> T:
    """Calls `func` in the loop's own executor: for files and clean-up.

    It sees the caller's context variables.
    """
    loop = asyncio.get_running_loop()
    return await to_its_end(loop.run_in_executor(None, copy_context().run, func, *args))


async def run_later(context: Context, func: Callable[[], None]) -> None:
    """Calls `func` as `run_internal` does, inside `context`: brought up to date, and back."""
    update_context(context)
    try:
        await run_internal(context.run, func)
    finally:
        adopt_context(context)


def adopt_context(context: Context) -> None:
    """Sets every variable of the current context that `context` has with another value."""
    current = copy_context()
    for var, value in context.items():
        if var not in current or current[var] is not value:
            var.set(value)


def update_context(context: Context) -> None:
    """Sets every variable of `context` that the current context has with another value."""
    for var, value in copy_context().items():
        if var not in context or context[var] is not value:
            context.run(var.set, value)
