"""What of a route was changed after its registration: programs may assign its attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .paths import converters_of


@dataclass(frozen=True, slots=True)
class Facts:
    """What a route was registered with. Options that only describe it are read when they are
    needed, so that a change needs no notice."""

    path: str
    methods: tuple[str, ...]
    endpoint: Any
    dependencies: tuple[Any, ...]
    options: Mapping[str, Any]

    @classmethod
    def of(cls, route: Any) -> Facts:
        """Those of a route now."""
        options = dict(getattr(route, "options", ()))
        before = options.pop("dependencies", None) or getattr(route, "dependencies", ()) or ()
        methods = getattr(route, "given_methods", ())
        return cls(route.path, methods, route.endpoint, tuple(before), options)

    def are_of(self, route: Any) -> bool:
        """Whether they hold still."""
        now = Facts.of(route)
        return (
            (self.path, self.methods) == (now.path, now.methods)
            and self.endpoint is now.endpoint
            and _same(self.dependencies, now.dependencies)
            and self.options.keys() == now.options.keys()
            and _same(self.options.values(), now.options.values())
        )


def _same(some: Any, others: Any) -> bool:
    """Whether these are the same objects: comparing them might mean anything."""
    return len(some) == len(others) and all(map(_is, some, others))


def _is(one: Any, other: Any) -> bool:
    return one is other


def refresh(route: Any) -> None:
    """Lets a changed route be planned anew."""
    route.converters = converters_of(route.path)
    route.plan = None
