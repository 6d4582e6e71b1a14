"""Middleware: layers around all requests of an app.

Any ASGI app that is made as `cls(app, **options)` can be one: `app.add_middleware(cls, …)`, or
`App(middleware=[Middleware(cls, …)])`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Middleware"]


class Middleware:
    """A layer: `cls(app, *args, **kwargs)` is made when the app starts."""

    def __init__(self, cls: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.cls = cls
        self.args = args
        self.kwargs = kwargs

    def __iter__(self) -> Iterator[Any]:
        return iter((self.cls, self.args, self.kwargs))

    def __repr__(self) -> str:
        named = [f"{name}={value!r}" for name, value in self.kwargs.items()]
        name = getattr(self.cls, "__name__", repr(self.cls))
        return f"Middleware({', '.join([name, *map(repr, self.args), *named])})"


def check_layer(layer: Any) -> Middleware:
    """Checks that a layer can be made.

    Raises: TypeError when it isn't a Middleware, or its class can't be called with these options.
    """
    try:
        cls, args, kwargs = layer
    except (TypeError, ValueError):
        raise TypeError(f"middleware=[…] holds Middleware(cls, **options), not {layer!r}") from None
    name = getattr(cls, "__name__", type(cls).__name__)
    if not callable(cls):
        raise TypeError(f"middleware is a class that is called with the app, not {cls!r}")
    if inspect.iscoroutinefunction(cls):
        raise TypeError(
            f"{name} is an `async def`: middleware is a class whose __call__ is one; for a "
            'function of (request, call_next) write @app.middleware("http")'
        )
    try:
        parameters = inspect.signature(cls)
    except (TypeError, ValueError):  # made in C
        return layer  # type: ignore[no-any-return]
    try:
        parameters.bind(None, *args, **kwargs)
    except TypeError as exc:
        raise TypeError(f"{name} can't be called with (app, …): {exc}") from None
    return layer  # type: ignore[no-any-return]
