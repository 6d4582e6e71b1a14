"""Class-based views: routes whose handlers are methods of an object that each request gets."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from .._calling.callables import callable_name
from ..params import Instance

# Registers a handler at a path, with what the routes of its class share.
Add = Callable[..., None]


@dataclass(slots=True)
class Method:
    """A method that a route's decorator has recorded. It is registered when its class becomes a
    controller."""

    func: types.FunctionType
    path: str
    add: Add
    claimed: bool = False


def is_method(endpoint: Any) -> bool:
    """Whether a function is defined in the body of a class, and takes the object."""
    if not inspect.isfunction(endpoint):
        return False
    around = endpoint.__qualname__.rpartition(".")[0]
    names = inspect.getargs(endpoint.__code__).args
    return around != "" and not around.endswith("<locals>") and names[:1] == ["self"]


def add_controller(cls: Any, methods: Sequence[Method], shared: Any) -> None:
    """Registers the noted methods of a class and of its bases, with what they share.

    Raises: TypeError when `cls` isn't a class, or has no such methods; and what registering them
    raises.
    """
    if not inspect.isclass(cls):
        raise TypeError(f"a controller is a class, not {cls!r}")
    found = False
    for method in methods:
        name = method.func.__name__
        if not any(vars(base).get(name) is method.func for base in cls.__mro__):
            continue
        found = method.claimed = True
        func = inspect.getattr_static(cls, name)
        method.add(shared.prefix + method.path, handler_of(func, cls), shared)
    if not found:
        raise TypeError(
            f"controller {callable_name(cls)} has no routes: decorate its methods, with the "
            'same router or app, such as with .get("/path")'
        )


def check_claimed(methods: Sequence[Method]) -> None:
    """Raises: TypeError when a method was decorated, but its class isn't a controller."""
    for method in methods:
        if not method.claimed:
            raise TypeError(
                f"{callable_name(method.func)} is a method: write @router.controller or "
                "@app.controller above its class"
            )


def handler_of(func: Any, cls: type) -> Callable[..., Any]:
    """A copy of a method that asks for an instance of `cls` as its first argument."""
    if not inspect.isfunction(func):
        raise TypeError(f"{cls.__name__}.{func!r} must be a function to be a route's handler")
    made = types.FunctionType(
        func.__code__, func.__globals__, func.__name__, func.__defaults__, func.__closure__
    )
    for name in ("__kwdefaults__", "__annotations__", "__doc__", "__module__"):
        setattr(made, name, getattr(func, name))
    made.__qualname__ = f"{cls.__qualname__}.{func.__name__}"
    made.__dict__.update(func.__dict__)
    signature = inspect.signature(func)
    first, *others = signature.parameters.values()
    instance = first.replace(annotation=Annotated[cls, Instance(cls)])
    made.__signature__ = signature.replace(parameters=[instance, *others])  # type: ignore[attr-defined]
    return made
