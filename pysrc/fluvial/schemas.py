"""OpenAPI documents from the docstrings of functions of the request, which have no types to read.

What follows a line `---` in a docstring, or all of it, is the operation in YAML. Needs PyYAML.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ._application.paths import without_converters
from .responses import Response
from .routing import Host, Mount, Route

if TYPE_CHECKING:
    from .requests import Request

__all__ = ["BaseSchemaGenerator", "EndpointInfo", "OpenAPIResponse", "SchemaGenerator"]

_METHODS = ("get", "post", "put", "patch", "delete", "options", "query")


def _yaml() -> Any:
    try:
        import yaml  # type: ignore[import-untyped]  # optional
    except ModuleNotFoundError:
        raise ImportError("fluvial.schemas needs PyYAML: pip install pyyaml") from None
    return yaml


class EndpointInfo(NamedTuple):
    """An operation: its path without converters, its method in lower case, its function."""

    path: str
    http_method: str
    func: Callable[..., Any]


class OpenAPIResponse(Response):
    """A document as YAML."""

    media_type = "application/vnd.oai.openapi"

    def render(self, content: Any) -> bytes:
        """The document's text. Raises: AssertionError for anything but a dict."""
        assert isinstance(content, dict), (
            "The schema passed to OpenAPIResponse should be a dictionary."
        )
        text: str = _yaml().dump(content, default_flow_style=False)
        return text.encode()


class BaseSchemaGenerator:
    """What makes documents of routes."""

    def get_schema(self, routes: Iterable[Any]) -> dict[str, Any]:
        """The document."""
        raise NotImplementedError

    def get_endpoints(self, routes: Iterable[Any]) -> list[EndpointInfo]:
        """All operations, those of mounted apps with their path before them."""
        return list(_operations(routes, ""))

    def parse_docstring(self, func_or_method: Callable[..., Any]) -> dict[str, Any]:
        """What a docstring says of its operation; empty when it says nothing in YAML."""
        text = (func_or_method.__doc__ or "").split("---")[-1]
        parsed = _yaml().safe_load(text) if text else None
        return parsed if isinstance(parsed, dict) else {}

    def OpenAPIResponse(self, request: Request) -> Response:  # Starlette's name
        """The document of the app that `request` is for."""
        return OpenAPIResponse(content=self.get_schema(routes=request.app.routes))


class SchemaGenerator(BaseSchemaGenerator):
    """Documents that begin with `base_schema`."""

    def __init__(self, base_schema: dict[str, Any]) -> None:
        self.base_schema = base_schema

    def get_schema(self, routes: Iterable[Any]) -> dict[str, Any]:
        """The document."""
        base = copy.deepcopy(self.base_schema)  # the paths in it get operations
        paths: dict[str, Any] = base.setdefault("paths", {})
        for endpoint in self.get_endpoints(routes):
            said = self.parse_docstring(endpoint.func)
            if said:
                paths.setdefault(endpoint.path, {})[endpoint.http_method] = said
        return base


def _operations(routes: Iterable[Any], prefix: str) -> Iterator[EndpointInfo]:
    for route in routes:
        if isinstance(route, (Mount, Host)):
            below = prefix + without_converters(getattr(route, "path", ""))
            yield from _operations(route.routes, below)
        elif isinstance(route, Route) and route.include_in_schema:
            path = prefix + route.path_format
            if inspect.isfunction(route.endpoint) or inspect.ismethod(route.endpoint):
                methods = (each.lower() for each in sorted(route.methods) if each != "HEAD")
                yield from (EndpointInfo(path, each, route.endpoint) for each in methods)
            else:
                for method in _METHODS:
                    if (func := getattr(route.endpoint, method, None)) is not None:
                        yield EndpointInfo(path, method, func)
