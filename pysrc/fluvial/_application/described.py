"""The attributes that describe a route; they read and write its options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any


def _option(name: str, default: Callable[[], Any]) -> Any:
    """A property for the option `name`; a new `default` where the route doesn't have it."""

    def get(route: Any) -> Any:
        value = route.options.get(name)
        return default() if value is None else value

    def put(route: Any, value: Any) -> None:
        route.options[name] = value

    return property(get, put)


def _none() -> None:
    return None


class DescribedRoute:
    """The attributes of FastAPI's APIRoute that describe it."""

    __slots__ = ()

    name: str
    endpoint: Callable[..., Any]
    options: Any

    tags: Any = _option("tags", list)
    summary: Any = _option("summary", _none)
    response_description: Any = _option("response_description", lambda: "Successful Response")
    responses: Any = _option("responses", dict)
    deprecated: Any = _option("deprecated", _none)
    operation_id: Any = _option("operation_id", _none)
    include_in_schema: Any = _option("include_in_schema", lambda: True)
    openapi_extra: Any = _option("openapi_extra", _none)
    callbacks: Any = _option("callbacks", _none)
    status_code: Any = _option("status_code", _none)
    response_model: Any = _option("response_model", _none)
    response_class: Any = _option("response_class", _none)
    generate_unique_id_function: Any = _option(
        "generate_unique_id_function", lambda: generate_unique_id
    )

    @property
    def dependencies(self) -> list[Any]:
        """What is called before the handler; the list may be changed before the app starts."""
        given: Any = self.options.get("dependencies")
        listed: list[Any] = given if isinstance(given, list) else list(given or ())
        self.options["dependencies"] = listed
        return listed

    @dependencies.setter
    def dependencies(self, dependencies: Any) -> None:
        self.options["dependencies"] = list(dependencies or ())

    @property
    def description(self) -> str:
        """The given one, or the handler's docstring up to a form feed."""
        given = self.options.get("description")
        text: str = given or inspect.cleandoc(self.endpoint.__doc__ or "")
        return text.split("\f")[0].strip()

    @description.setter
    def description(self, text: str) -> None:
        self.options["description"] = text

    @property
    def unique_id(self) -> str:
        """The operation's ID: the given one, or what `generate_unique_id_function` makes."""
        made: str = self.operation_id or self.generate_unique_id_function(self)
        return made


def generate_unique_id(route: Any) -> str:
    """The name, the path and the first method, with underscores for what isn't a letter."""
    words = re.sub(r"\W", "_", f"{route.name}{route.path_format}")
    return f"{words}_{route.given_methods[0].lower()}"
