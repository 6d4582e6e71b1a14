"""An app's middleware, compiled once at start to one chain of calls.

Each layer is an ASGI app around the next one. A layer that is also a function of (request,
call_next), as those of @app.middleware("http"), is called as a function if all layers inside it are
such functions, too. Then no ASGI stands between it and the routes, and C keeps the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..middleware import Middleware
    from .middleware import Dispatch

Asgi = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Stack:
    """The compiled middleware.

    `functions` are next to the routes, innermost first; `outer` is the outermost of the layers
    around these, an ASGI app, or None when there are none. `watched` is what a monitoring package
    has wrapped around everything.
    """

    functions: tuple[Dispatch, ...]
    outer: Asgi | None
    watched: Asgi | None = None


def compile_stack(layers: Iterable[Middleware], inside: Asgi) -> Stack:
    """Makes the layers, which are given outermost first, around `inside`.

    `inside` is the routes with the functions around them. Raises: what a layer's class raises.
    """
    functions: list[Dispatch] = []
    outer: Asgi | None = None
    for cls, args, kwargs in reversed(list(layers)):
        layer = cls(inside if outer is None else outer, *args, **kwargs)
        function = None if outer is not None else _as_function(layer)
        if function is None:
            outer = layer
        else:
            functions.append(function)
    return Stack(tuple(functions), outer)


def _as_function(layer: Any) -> Dispatch | None:
    """The layer as a function, if its class is one of ours that says how.

    A class that overrides __call__ means to be called as an ASGI app.
    """
    for cls in type(layer).__mro__:
        if "as_function" in vars(cls):
            unchanged = type(layer).__call__ is vars(cls).get("__call__")
            return layer.as_function() if unchanged else None
    return None
