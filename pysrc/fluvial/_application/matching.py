"""Which route a request belongs to, for packages that name it in their metrics.

Requests themselves are matched by the table of routes in C.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from typing import Any

from .convertors import CONVERTOR_TYPES

CAPTURE = re.compile(r"\{([^{}:]*)(?::([^{}]*))?\}")


class Match(Enum):
    """How well a route fits a request: PARTIAL is a path with other methods."""

    NONE = 0
    PARTIAL = 1
    FULL = 2


def path_below(scope: Mapping[str, Any]) -> str:
    """The path of an ASGI scope without its root path."""
    root: str = scope.get("root_path", "")
    path: str = scope["path"]
    return (path.removeprefix(root) if is_below(path, root) else path) or "/"


# In the scope of a mounted app: the scope of the app around it, and the path of the mount there as
# it was registered, with the names of parameters.
OUTER, TEMPLATE = "fluvial.outer", "fluvial.template"
ROUTE_PATH = "fluvial.route_path"  # the same of the route that was found
ON_REQUEST = "fluvial.on_request"  # what a layer around wants called with the route's request


def tell_route(scope: Any, route: Any, path_params: dict[str, Any]) -> None:
    """Says in an ASGI scope, and in those of the apps around, which route the request is for.

    Middleware sees it there from then on, as with Starlette.
    """
    found = {
        "route": route,
        "endpoint": route.endpoint,
        "path_params": path_params,
        ROUTE_PATH: scope.get(TEMPLATE, scope.get("root_path", "").rstrip("/")) + route.path,
    }
    _tell(scope, found)


def tell_app(scope: Any, app: Any, path_params: dict[str, Any]) -> None:
    """Says likewise that the request is for a mounted app. One of ours then says more."""
    _tell(scope, {"endpoint": app, "path_params": path_params})


def _tell(scope: Any, found: Mapping[str, Any]) -> None:
    while scope is not None:
        scope.update(found)
        scope = scope.get(OUTER)


def find_partial(
    routes: Iterable[Any], scope: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]] | None:
    """The first route with the path of a request, which has another method, and its parameters."""
    for route in routes:
        match, found = route.matches(scope)
        if match is Match.PARTIAL:
            return route, found["path_params"]
    return None


def is_below(path: str, prefix: str) -> bool:
    """Whether `path` is `prefix` or below it."""
    return path == prefix or path.startswith(f"{prefix}/")


def splits_of(path: str) -> Callable[[str], tuple[int, ...] | None]:
    """What splits a text from a path's first parameter to the last: any way that fits all kinds.

    It returns where each parameter begins and ends in the text's UTF-8.
    """
    edges = list(CAPTURE.finditer(path))
    names = [match[1] for match in edges]
    fullmatch = pattern_of(path[edges[0].start() : edges[-1].end()]).fullmatch

    def split(text: str) -> tuple[int, ...] | None:
        found = fullmatch(text)
        if found is None:
            return None
        return tuple(len(text[:edge].encode()) for name in names for edge in found.span(name))

    return split


@functools.lru_cache(maxsize=4096)
def pattern_of(path: str) -> re.Pattern[str]:
    """What a route's path matches."""
    pieces = CAPTURE.split(path)
    texts, names, kinds = pieces[::3], pieces[1::3], pieces[2::3]
    groups = (
        f"(?P<{name}>{CONVERTOR_TYPES[kind or 'str'].regex})"
        for name, kind in zip(names, kinds, strict=True)
    )
    found = re.escape(texts[0])
    for group, text in zip(groups, texts[1:], strict=True):
        found += group + re.escape(text)
    return re.compile(found, re.DOTALL)


def match_route(
    route: Any, methods: Collection[str] | None, scope: Mapping[str, Any]
) -> tuple[Match, dict[str, Any]]:
    """How well a route fits an ASGI scope, and what it would add to it, in the form of Starlette's
    routes. A text that its converter refuses by a ValueError doesn't fit.

    `methods` is None for a WebSocket's route.
    """
    kind = "websocket" if methods is None else "http"
    found = pattern_of(route.path).fullmatch(path_below(scope)) if scope["type"] == kind else None
    if found is None:
        return Match.NONE, {}
    params = dict(scope.get("path_params", {}))
    try:
        for name, text in found.groupdict().items():
            params[name] = route.converters[name](text) if name in route.converters else text
    except ValueError:  # of int, when there are more than 4,300 digits
        return Match.NONE, {}
    child = {"endpoint": route.endpoint, "path_params": params}
    if methods is None or scope["method"] in methods:
        return Match.FULL, child
    head = scope["method"] == "HEAD" and "GET" in methods
    return Match.FULL if head else Match.PARTIAL, child
