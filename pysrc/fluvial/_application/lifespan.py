"""Running an app's lifespan: what it sets up exists for as long as requests are served."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..applications import App


@contextlib.asynccontextmanager
async def running(app: App) -> AsyncIterator[None]:
    """Enters and leaves the lifespan of `app`; `request.state` starts with what it yields.

    Without one, the functions of `app.on_startup` and `app.on_shutdown` are called. Within it live
    the dependencies whose scope is "app".
    """
    if app.lifespan is None:
        await _call_each(app.on_startup)
        try:
            async with app.dependencies.for_app.running():
                yield
        finally:
            await _call_each(app.on_shutdown)
        return
    async with _as_context_manager(app) as state:
        if state is not None and not isinstance(state, Mapping):
            raise TypeError(f"a lifespan yields a dict or nothing, not {state!r}")
        app.lifespan_state = dict(state or {})
        try:
            async with app.dependencies.for_app.running():
                yield
        finally:
            app.lifespan_state = {}


async def _call_each(functions: list[Callable[[], Any]]) -> None:
    for function in functions:
        result = function()
        if inspect.isawaitable(result):
            await result


def _as_context_manager(app: App) -> contextlib.AbstractAsyncContextManager[Any]:
    """The lifespan as a context manager; async generators without the decorator are accepted."""
    made: Any = app.lifespan(app)  # type: ignore[misc]
    if inspect.isasyncgen(made):
        return contextlib.asynccontextmanager(lambda: made)()
    if not hasattr(made, "__aenter__"):
        raise TypeError(f"the lifespan must be an async context manager, not {made!r}")
    return made  # type: ignore[no-any-return]
