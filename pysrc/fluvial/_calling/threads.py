"""Threads of the running loop: the pool for users' functions, and the executor for files and
clean-up, which must never have to wait for users' functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from ..exceptions import HTTPException
from .anyio_threads import call_within, greet
from .shields import Redelivery, Shield, current_scope

if TYPE_CHECKING:
    from .._core import Pool

T = TypeVar("T")

# Each server on a loop registers its own; the last one is used.
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Pool]] = WeakKeyDictionary()
# The pool for an urgent request, whose context has it.
urgent_pool: ContextVar[Pool | None] = ContextVar("urgent_pool", default=None)


def register_pool(loop: asyncio.AbstractEventLoop, pool: Pool) -> None:
    """Makes `pool` the one that runs users' functions for `loop`."""
    _pools.setdefault(loop, []).append(pool)


def unregister_pool(loop: asyncio.AbstractEventLoop, pool: Pool) -> None:
    """Undoes `register_pool`."""
    _pools[loop].remove(pool)


def submit(context: Context, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
    """Queues a call of `func` on a worker thread inside `context`.

    Raises: HTTPException 503 when too many calls are waiting already.
    """
    loop = asyncio.get_running_loop()
    pools = _pools.get(loop)
    if (scope := current_scope()) is not None:
        args, func = (scope, func, *args), call_within
    if not pools:
        return loop.run_in_executor(None, _greeted, loop, context.run, func, *args)
    try:
        return (urgent_pool.get() or pools[-1]).submit(context, func, *args)
    except RuntimeError as exc:
        raise _busy() from exc


def submit_request(context: Context, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
    """Queues a request's handler or its dependencies, which may wait for a limited time only.

    Raises: HTTPException 503 when too many calls wait for a thread already; the future raises it
    when they have waited for too long.
    """
    loop = asyncio.get_running_loop()
    future = submit(context, func, *args)
    pools = _pools.get(loop)
    if pools and (patience := (pool := urgent_pool.get() or pools[-1]).patience()):
        timer = loop.call_later(patience, _refuse, pool, future, context=Context())
        future.add_done_callback(lambda _: timer.cancel())
    return future


def _refuse(pool: Pool, future: asyncio.Future[Any]) -> None:
    if pool.refuse(future) and not future.done():
        future.set_exception(_busy())


def _busy() -> HTTPException:
    return HTTPException(503, headers={"retry-after": "1"})


def _greeted(loop: asyncio.AbstractEventLoop, func: Callable[..., T], *args: Any) -> T:
    """Calls `func` on a thread of an executor, from which anyio.from_thread finds `loop`."""
    greet(loop)
    return func(*args)


async def run_in_pool(context: Context, func: Callable[..., T], *args: Any) -> T:
    """Calls `func` on a worker thread inside `context`.

    Raises: HTTPException 503 when too many calls are waiting already; otherwise what `func` raises.
    """
    return await submit(context, func, *args)


async def to_its_end(future: asyncio.Future[T]) -> T:
    """Awaits a thread's work. When cancelled, raises only after the thread has finished."""
    scope = current_scope()
    if scope is None:
        return await _to_its_end(future)
    again, shield = Redelivery(scope), Shield()
    shield.up()  # anyio would cancel this task at each turn of the loop
    try:
        return await _to_its_end(future)
    finally:
        shield.leave()
        again.end()


async def _to_its_end(future: asyncio.Future[T]) -> T:
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((future,))
        if not future.cancelled():
            # The cancellation takes precedence over the thread's exception. Retrieving that keeps
            # asyncio from reporting it as never retrieved.
            future.exception()
        raise


async def call_in_pool(func: Callable[..., T], *args: Any) -> T:
    """Calls `func` on a worker thread; the caller then sees its changes to context variables."""
    context = copy_context()
    try:
        return await run_in_pool(context, func, *args)
    finally:
        adopt_context(context)


async def call_handler_in_pool(func: Callable[..., T], *args: Any) -> T:
    """The same for a request's handler, see `submit_request`."""
    context = copy_context()
    try:
        return await submit_request(context, func, *args)
    finally:
        adopt_context(context)


async def call_on_loop(
    loop: asyncio.AbstractEventLoop, func: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any
) -> T:
    """The coroutine that the core's methods return when they are called outside the loop's thread.

    An `async def` function does nothing until its coroutine is awaited, so programs may call it in
    any thread, as in `asyncio.run_coroutine_threadsafe(send(message), loop)`.

    Raises: RuntimeError when it is awaited on another loop.
    """
    if asyncio.get_running_loop() is not loop:
        raise RuntimeError("methods of a request are awaited on the loop's thread only")
    return await func(*args, **kwargs)


async def run_internal(func: Callable[..., T], *args: Any) -> T:
    """Calls `func` in the loop's own executor, which is for files and clean-up.

    `func` sees the caller's context variables.
    """
    loop = asyncio.get_running_loop()
    if (scope := current_scope()) is not None:
        args, func = (scope, func, *args), call_within
    call = copy_context().run
    return await to_its_end(loop.run_in_executor(None, _greeted, loop, call, func, *args))


async def run_later(context: Context, func: Callable[[], None]) -> None:
    """Calls `func` as `run_internal` does, but inside `context`.

    Context variables are copied from the caller to `context` before the call, and back after it.
    """
    update_context(context)
    try:
        await run_internal(context.run, func)
    finally:
        adopt_context(context)


def adopt_context(context: Context) -> None:
    """Copies the variables of `context` whose values differ to the current context."""
    current = copy_context()
    for var, value in context.items():
        if var not in current or current[var] is not value:
            var.set(value)


def update_context(context: Context) -> None:
    """Copies the variables of the current context whose values differ to `context`."""
    for var, value in copy_context().items():
        if var not in context or context[var] is not value:
            context.run(var.set, value)
