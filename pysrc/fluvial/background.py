"""Work that is done after a response has been sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ParamSpec

from ._calling.callables import is_async
from ._calling.threads import call_in_pool

__all__ = ["BackgroundTask", "BackgroundTasks"]

P = ParamSpec("P")


class BackgroundTask:
    """One call to make after the response has been sent; a `def` runs in the thread pool."""

    def __init__(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self._async = is_async(func)

    async def __call__(self) -> None:
        if self._async:
            await self.func(*self.args, **self.kwargs)
        else:
            await call_in_pool(self._run)

    def _run(self) -> None:
        self.func(*self.args, **self.kwargs)


class BackgroundTasks:
    """Calls to make, one after the other, after the response has been sent."""

    def __init__(self, tasks: Iterable[BackgroundTask] | None = None) -> None:
        self.tasks: list[BackgroundTask] = list(tasks or ())

    def add_task(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Adds a call."""
        self.tasks.append(BackgroundTask(func, *args, **kwargs))

    async def __call__(self) -> None:
        for task in self.tasks:
            await task()
