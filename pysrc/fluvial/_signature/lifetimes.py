"""How long dependencies live: what their scopes allow, and those that live as long as the app."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from .._calling.callables import Flavour, callable_name
from .._calling.threads import run_internal
from ..exceptions import DependencyScopeError
from .signature import HANDLER, Call, Overrides, override_of

# Makes the context manager of a generator dependency.
MANAGERS: dict[Flavour, Callable[..., Any]] = {
    Flavour.SYNC_GENERATOR: contextlib.contextmanager,
    Flavour.ASYNC_GENERATOR: contextlib.asynccontextmanager,
}


def calls_in(call: Call) -> Iterator[Call]:
    """The call, and all that it depends on."""
    yield call
    for argument in call.arguments:
        if isinstance(argument.value, Call):
            yield from calls_in(argument.value)


def uses_any(calls: Iterable[Call], overrides: Overrides) -> bool:
    """Whether one of the dependencies is overridden."""
    return bool(overrides) and any(
        override_of(each.origin, overrides) is not each.origin
        for call in calls
        for each in calls_in(call)
        if each.marker is not HANDLER
    )


def check_lifetimes(call: Call) -> None:
    """Checks that no dependency depends on one that ends earlier.

    Raises: DependencyScopeError, a TypeError, when one does, or when a dependency that is made at
    startup needs a request.
    """
    if call.marker.scope == "app":
        _check_for_app(call)
        return
    for argument in call.arguments:
        inner = argument.value
        if not isinstance(inner, Call):
            continue
        if call.lifetime == "request" and inner.marker.scope == "function":
            raise DependencyScopeError(
                f'The dependency "{_short_name(call.origin)}" has a scope of "request", it cannot '
                f'depend on dependencies with scope "function", which ends earlier: '
                f"{callable_name(inner.origin)}"
            )
        check_lifetimes(inner)


def _short_name(func: Any) -> str:
    return callable_name(func).rpartition(".")[2]


def _check_for_app(call: Call) -> None:
    for argument in call.arguments:
        inner = argument.value
        if not isinstance(inner, Call) or inner.marker.scope not in (None, "app"):
            raise DependencyScopeError(
                f"parameter {argument.name!r} of {callable_name(call.origin)} is for each request, "
                "but with the scope 'app' the dependency is made once, when the app starts"
            )
        _check_for_app(inner)


class AppScope:
    """The dependencies of an app whose scope is "app": made at start, closed at the end."""

    def __init__(self) -> None:
        self._calls: dict[Any, Call] = {}
        self._values: dict[Any, Any] = {}

    def declare(self, calls: Iterable[Call]) -> None:
        """Adds the app-scoped ones in `calls` to those of the next startup; each replaces one with
        the same key."""
        for call in calls:
            found = (each for each in calls_in(call) if each.marker.scope == "app")
            self._calls.update((each.key, each) for each in found)

    def value(self, key: Any) -> Any:
        """The result of a dependency. Raises: RuntimeError when it wasn't made at start."""
        try:
            return self._values[key]
        except KeyError:
            raise RuntimeError(
                f"{callable_name(key[0])} has the scope 'app', and is made when the app's lifespan "
                "begins: that hasn't run, or the route was registered after it"
            ) from None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Makes all of them, and closes them in reverse order."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._values.clear)
            for call in list(self._calls.values()):
                await self._make(call, stack)
            yield

    async def _make(self, call: Call, stack: contextlib.AsyncExitStack) -> Any:
        if call.key in self._values:
            return self._values[call.key]
        arguments: list[Any] = [
            (argument, await self._make(argument.value, stack))
            for argument in call.arguments
            if isinstance(argument.value, Call)
        ]
        args = [value for argument, value in arguments if argument.positional_only]
        named = {a.name: value for a, value in arguments if not a.positional_only}
        made = await _called(call, args, named, stack)
        self._values[call.key] = made
        return made


async def _called(
    call: Call, args: list[Any], named: dict[str, Any], stack: contextlib.AsyncExitStack
) -> Any:
    if call.flavour is Flavour.ASYNC:
        return await call.func(*args, **named)
    if call.flavour is Flavour.ASYNC_GENERATOR:
        return await stack.enter_async_context(MANAGERS[call.flavour](call.func)(*args, **named))
    if call.flavour is Flavour.SYNC:
        return await run_internal(lambda: call.func(*args, **named))
    manager = MANAGERS[call.flavour](call.func)(*args, **named)
    made = await run_internal(manager.__enter__)

    async def leave(*exc_info: Any) -> Any:
        return await run_internal(manager.__exit__, *exc_info)

    stack.push_async_exit(leave)
    return made
