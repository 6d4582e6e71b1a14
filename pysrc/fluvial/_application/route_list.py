"""An app's routes as a list that programs may change: `app.routes.append(Mount(…))`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any


def _changing(name: str) -> Any:
    """The method `name` of list; afterwards, the app's routes are those in the list."""
    method: Callable[..., Any] = getattr(list, name)

    @functools.wraps(method)
    def change(self: RouteList, *args: Any, **kwargs: Any) -> Any:
        before = list(self)
        result = method(self, *args, **kwargs)
        try:
            self._changed()
        except BaseException:
            list.__setitem__(self, slice(None), before)
            raise
        return result

    return change


class RouteList(list[Any]):
    """All routes, mounts and hosts of an app, in the order in which they were registered.

    `add(route)` registers one more; `changed()` registers all anew, and raises RuntimeError when
    the app has started.
    """

    def __init__(self, add: Callable[[Any], None], changed: Callable[[], None]) -> None:
        super().__init__()
        self._add = add
        self._changed = changed

    def note(self, route: Any) -> None:
        """Adds what has been registered already."""
        list.append(self, route)

    def append(self, route: Any) -> None:
        """Registers a route, a mount or a host.

        Raises: TypeError or ValueError when the path, the handler or an option can't be used.
        """
        self._add(route)

    def extend(self, routes: Iterable[Any]) -> None:
        """Registers several.

        Raises: TypeError or ValueError when the path, the handler or an option can't be used. Those
        before it stay registered.
        """
        for route in routes:
            self._add(route)

    def __iadd__(self, routes: Iterable[Any]) -> RouteList:  # type: ignore[misc]  # unlike + it registers
        self.extend(routes)
        return self

    __setitem__ = _changing("__setitem__")
    __delitem__ = _changing("__delitem__")
    clear = _changing("clear")
    insert = _changing("insert")
    pop = _changing("pop")
    remove = _changing("remove")
    reverse = _changing("reverse")
    sort = _changing("sort")
