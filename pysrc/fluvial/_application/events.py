"""Functions of apps and routers that are called at startup and shutdown."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from .._signature.foreign import check_callback
from .lifespan import calling

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]
F = TypeVar("F", bound=Callable[..., Any])


class Events:
    """A lifespan, or functions without parameters, `def` or `async def`.

    The functions are called only if the app has no lifespan. A router's come after those of the
    app, in the order in which routers are included.
    """

    lifespan: Lifespan | None
    routers_lifespans: list[Lifespan]  # of the routers that this one has included
    parts_lifespans: list[Lifespan]  # of apps for other hosts, and below paths with parameters
    on_startup: list[Callable[[], Any]]
    on_shutdown: list[Callable[[], Any]]

    def set_events(
        self,
        lifespan: Lifespan | None,
        on_startup: Sequence[Callable[[], Any]] | None,
        on_shutdown: Sequence[Callable[[], Any]] | None,
    ) -> None:
        """Sets what the constructor was given. Raises: TypeError for functions with parameters of
        their own."""
        if lifespan is not None:
            check_callback(lifespan, "lifespan", ("app",))
        for func in (*(on_startup or ()), *(on_shutdown or ())):
            check_callback(func, "startup or shutdown function", ())
        self.lifespan = lifespan
        self.routers_lifespans = []
        self.parts_lifespans = []
        self.on_startup = list(on_startup or ())
        self.on_shutdown = list(on_shutdown or ())

    @property
    def lifespan_context(self) -> Lifespan:
        """The lifespan, or one that calls the functions; another one may be assigned."""
        return self.lifespan or (lambda _: calling(self))

    @lifespan_context.setter
    def lifespan_context(self, lifespan: Lifespan) -> None:
        self.lifespan = lifespan

    def include_events(self, router: Events) -> None:
        """Adds those of a router that has been included."""
        self.on_startup += router.on_startup
        self.on_shutdown += router.on_shutdown
        if router.lifespan is not None:
            self.routers_lifespans.append(router.lifespan)
        self.routers_lifespans += router.routers_lifespans

    def add_event_handler(self, event_type: str, func: Callable[[], Any]) -> None:
        """Registers a function for "startup" or "shutdown". Raises: ValueError for another name,
        TypeError for a function that needs arguments."""
        if event_type not in ("startup", "shutdown"):
            raise ValueError(f"events are 'startup' and 'shutdown', not {event_type!r}")
        check_callback(func, f"{event_type} function", ())
        getattr(self, f"on_{event_type}").append(func)

    def on_event(self, event_type: str) -> Callable[[F], F]:
        """Registers the decorated function for "startup" or "shutdown".

        Issues a DeprecationWarning, because a lifespan keeps set-up and clean-up together. Raises:
        ValueError for another name.
        """
        if event_type not in ("startup", "shutdown"):
            raise ValueError(f"events are 'startup' and 'shutdown', not {event_type!r}")
        message = "on_event is deprecated, use lifespan event handlers instead: App(lifespan=…)"
        warnings.warn(message, DeprecationWarning, stacklevel=2)

        def register(func: F) -> F:
            self.add_event_handler(event_type, func)
            return func

        return register
