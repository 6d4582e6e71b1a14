"""A handler and what it depends on, in the form in which packages look at FastAPI's routes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._signature.signature import Call


@dataclass
class Dependant:
    """A function and the dependencies that are called before it. Changes of the lists mean nothing:
    add to the route's `dependencies`."""

    call: Callable[..., Any] | None = None
    path: str | None = None
    dependencies: list[Dependant] = field(default_factory=list)

    @classmethod
    def of(cls, route: Any) -> Dependant:
        """That of a route, as it is declared."""
        before = [cls(each.dependency, route.path_format) for each in route.dependencies]
        inner = route.calls[-1] if route.calls else None
        found = [] if inner is None else _inner(inner)
        return cls(route.endpoint, route.path_format, before + found)


def _inner(call: Call) -> list[Dependant]:
    values = [each.value for each in call.arguments if isinstance(each.value, Call)]
    return [Dependant(each.func, None, _inner(each)) for each in values]
