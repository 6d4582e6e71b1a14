"""What kind of callable a user's function is. Determined once, at registration."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any


class Flavour(enum.Enum):
    """How a callable produces its result."""

    SYNC = enum.auto()
    ASYNC = enum.auto()
    SYNC_GENERATOR = enum.auto()
    ASYNC_GENERATOR = enum.auto()


def flavour(func: Callable[..., Any]) -> Flavour:
    """How `func` produces its result; looks through partials, functools.wraps and __call__."""
    for candidate in _faces(func):
        if inspect.isasyncgenfunction(candidate):
            return Flavour.ASYNC_GENERATOR
        if inspect.isgeneratorfunction(candidate):
            return Flavour.SYNC_GENERATOR
        if inspect.iscoroutinefunction(candidate) or _is_marked(candidate):
            return Flavour.ASYNC
    return Flavour.SYNC


def _is_marked(func: Any) -> bool:
    """Whether unittest.mock, before Python 3.12, says that it stands for a coroutine function."""
    return isinstance(func, FunctionType) and hasattr(func, "_is_coroutine")


def is_async(func: Callable[..., Any]) -> bool:
    """Whether calling `func` returns an awaitable."""
    return flavour(func) is Flavour.ASYNC


def callable_name(func: Callable[..., Any]) -> str:
    """The name of `func` for messages."""
    while isinstance(func, functools.partial):
        func = func.func
    module = getattr(func, "__module__", None) or type(func).__module__
    name = getattr(func, "__qualname__", None) or type(func).__qualname__
    return f"{module}.{name}"


def strip_partials(func: Callable[..., Any]) -> Callable[..., Any]:
    """The callable inside functools.partial objects."""
    while isinstance(func, functools.partial):
        func = func.func
    return func


def call_method(func: Callable[..., Any]) -> Callable[..., Any]:
    """What Python calls for an object that isn't a function: its class's `__call__`, bound.

    `__call__` may be a slot that holds another callable for each instance, as in Sentry's ASGI
    middleware.
    """
    found = inspect.getattr_static(type(func), "__call__")
    bound = getattr(found, "__get__", None)
    method: Callable[..., Any] = found if bound is None else bound(func, type(func))
    return method


def signature_of(func: Callable[..., Any]) -> inspect.Signature:
    """As inspect.signature(), but also for objects whose `__call__` is in a slot.

    Raises: TypeError or ValueError when inspect.signature() does.
    """
    if inspect.ismemberdescriptor(inspect.getattr_static(type(func), "__call__", None)):
        func = call_method(func)
    return inspect.signature(func)


def _faces(func: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The functions that may show what calling `func` returns, the outermost first."""
    func = strip_partials(func)
    if inspect.isclass(func):
        return []
    faces = [func]
    if not inspect.isroutine(func):
        faces.append(strip_partials(call_method(func)))
    inner = [strip_partials(inspect.unwrap(face)) for face in faces]
    methods = [
        strip_partials(call_method(each))
        for each in inner
        if not inspect.isroutine(each) and not inspect.isclass(each)
    ]
    return [*faces, *inner, *methods]


def by_position(func: Any, parameter: inspect.Parameter) -> tuple[bool, bool]:
    """Whether an argument is passed by its place, and whether it must be. What a decorator has made
    may take another order, or say one in `__signature__` that it doesn't have."""
    func = strip_partials(func)
    stated = hasattr(func, "__signature__") and not inspect.isclass(func)
    code = getattr(func, "__code__", None) if stated else None
    first = () if code is None else code.co_varnames[: code.co_posonlyargcount]
    must = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
    must = must and (not stated or parameter.name in first)
    may = parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    return must or (may and not stated and not hasattr(func, "__wrapped__")), must
