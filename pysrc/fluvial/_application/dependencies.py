"""An app's dependencies: those of all its routes, those that live as long as the app, and
overrides.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._signature.lifetimes import AppScope, uses_any

if TYPE_CHECKING:
    from .. import _core
    from ..params import Depends
    from .routes import Route, WebSocketRoute

Func = Callable[..., Any]
Change = tuple["_core.Router", "Route | WebSocketRoute", "_core.Plan"]


def _changing(name: str) -> Any:
    """The method `name` of dict, after which plans are rebuilt."""
    method: Callable[..., Any] = getattr(dict, name)

    @functools.wraps(method)
    def change(self: Overrides, *args: Any, **kwargs: Any) -> Any:
        before = dict(self)
        result = method(self, *args, **kwargs)
        try:
            self._changed()
        except BaseException:
            dict.clear(self)
            dict.update(self, before)
            raise
        return result

    return change


class Overrides(dict[Func, Func]):
    """Functions that are called instead of dependencies.

    Plans are rebuilt whenever it changes, so that requests needn't check it. A change that makes a
    route impossible raises TypeError, and is undone.
    """

    def __init__(self, given: Mapping[Func, Func], changed: Callable[[], None]) -> None:
        super().__init__(given)
        self._changed = changed

    __setitem__ = _changing("__setitem__")
    __delitem__ = _changing("__delitem__")
    __ior__ = _changing("__ior__")
    clear = _changing("clear")
    pop = _changing("pop")
    popitem = _changing("popitem")
    setdefault = _changing("setdefault")
    update = _changing("update")


class Dependencies:
    """`everywhere` are called for every route."""

    def __init__(self, everywhere: Sequence[Depends], changed: Callable[[], None]) -> None:
        self.everywhere = tuple(everywhere)
        self.for_app = AppScope()
        self._changed = changed
        self._overrides = Overrides({}, changed)

    @property
    def overrides(self) -> Overrides:
        """What is called in the place of which dependency."""
        return self._overrides

    @overrides.setter
    def overrides(self, given: Mapping[Func, Func] | None) -> None:
        before, self._overrides = self._overrides, Overrides(given or {}, self._changed)
        try:
            self._changed()
        except BaseException:
            self._overrides = before
            raise

    def changes(
        self, router: _core.Router, routes: Iterable[Route | WebSocketRoute]
    ) -> list[Change]:
        """New plans for those `routes` that overrides affect, or have affected.

        Raises: TypeError when one can't be made, NameError when an annotation has an unknown name.
        """
        return [
            (router, route, route.compile(self))
            for route in routes
            if route.plan is not None and _is_affected(route, self.overrides)
        ]


def apply(changes: Iterable[Change]) -> None:
    """Replaces the old plans by the new ones; requests that have begun keep theirs."""
    for router, route, plan in changes:
        assert route.plan is not None
        router.replace(route.plan, plan)
        route.plan = plan


def _is_affected(route: Route | WebSocketRoute, overrides: Overrides) -> bool:
    """Whether overrides concern the route's dependencies, or did when its plan was made."""
    return route.overridden or uses_any(route.calls, overrides)
