"""Running an app's lifespan: what it sets up exists for as long as requests are served."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..applications import App
    from .events import Events, Lifespan


@contextlib.asynccontextmanager
async def running(app: App) -> AsyncIterator[None]:
    """Enters and leaves the lifespan of `app`; `request.state` starts with what it yields.

    Without one, the functions of `app.on_startup` and `app.on_shutdown` are called. The lifespans
    of routers and of apps within this one follow; what they yield is added unless the name is
    taken. Dependencies whose scope is "app" are made last and closed first.
    """
    async with contextlib.AsyncExitStack() as stack:
        for lifespan in (app.lifespan_context, *app.routers_lifespans, *app.parts_lifespans):
            state = await stack.enter_async_context(_as_context_manager(lifespan, app))
            if state is not None and not isinstance(state, Mapping):
                raise TypeError(f"a lifespan yields a dict or nothing, not {state!r}")
            app.lifespan_state = {**(state or {}), **app.lifespan_state}
            stack.callback(_forget, app)
        await stack.enter_async_context(app.dependencies.for_app.running())
        app.take_changes()  # packages change routes at the startup
        yield


@contextlib.asynccontextmanager
async def calling(events: Events) -> AsyncIterator[None]:
    """Calls the functions for the startup and for the shutdown."""
    await _call_each(events.on_startup)
    try:
        yield
    finally:
        await _call_each(events.on_shutdown)


def _forget(app: App) -> None:
    app.lifespan_state = {}


async def _call_each(functions: list[Callable[[], Any]]) -> None:
    for function in functions:
        result = function()
        if inspect.isawaitable(result):
            await result


def _as_context_manager(
    lifespan: Lifespan, app: App
) -> contextlib.AbstractAsyncContextManager[Any]:
    """The lifespan as a context manager; generators without the decorator are accepted."""
    made: Any = lifespan(app)
    if inspect.isasyncgen(made):
        return contextlib.asynccontextmanager(lambda: made)()
    if inspect.isgenerator(made):
        return _in_steps(made)
    if not hasattr(made, "__aenter__"):
        raise TypeError(f"the lifespan must be an async context manager, not {made!r}")
    return made  # type: ignore[no-any-return]


@contextlib.asynccontextmanager
async def _in_steps(made: Generator[Any, Any, Any]) -> AsyncIterator[Any]:
    with contextlib.contextmanager(lambda: made)() as state:
        yield state
