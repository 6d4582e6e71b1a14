"""Routes to handlers of requests and WebSockets, and the plans made from their signatures."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict
from urllib.parse import quote
from uuid import UUID

from .. import _core
from .._calling.callables import Flavour, callable_name
from .._calling.options import refuse_unknown
from .._signature.declared import Field
from .._signature.foreign import check_dependencies, check_returned
from .._signature.plan import Captures, Target, make_target
from .._signature.results import ModelOptions, make_respond, make_wrap
from .._signature.signature import (
    Call,
    Special,
    check_dependency,
    read_call,
    return_annotation,
    scopes_of,
    settle_connection,
    settle_scopes,
)
from .._validation.annotations import is_class
from ..params import MISSING, Depends
from ..responses import Response, StreamingResponse
from .described import DescribedRoute
from .route_warnings import Registered, untaken

_CAPTURE = re.compile(r"{([^{}:]*)(?::([^{}]*))?}")
_TYPES: dict[str, Any] = {"int": int, "float": float, "uuid": UUID}


class RouteOptions(TypedDict, total=False):
    """What the decorators take besides the path and the methods.

    `inline` calls a `def` handler on the loop: for handlers that never block. `body_limit` is in
    bytes. Options that only describe the route are kept for its documentation.
    """

    status_code: int | None
    response_model: Any
    response_class: type[Response] | None
    response_model_include: Any
    response_model_exclude: Any
    response_model_by_alias: bool
    response_model_exclude_unset: bool
    response_model_exclude_defaults: bool
    response_model_exclude_none: bool
    dependencies: Sequence[Depends] | None
    inline: bool
    body_limit: int | None
    name: str | None
    tags: list[str] | None
    summary: str | None
    description: str | None
    response_description: str
    responses: dict[int | str, dict[str, Any]] | None
    deprecated: bool | None
    operation_id: str | None
    include_in_schema: bool
    openapi_extra: dict[str, Any] | None
    callbacks: Sequence[Any] | None
    generate_unique_id_function: Callable[[Any], str] | None


def check_options(options: RouteOptions, decorator: str, owner: str = "app") -> None:
    """Checks a route's options. Raises: TypeError for an unknown option or an unusable value."""
    where = f"@{owner}.{decorator}()"
    refuse_unknown(where, options, RouteOptions.__annotations__)
    status_code = options.get("status_code")
    if not (status_code is None or isinstance(status_code, int)):
        raise TypeError(f"{where}: status_code must be an int, not {status_code!r}")
    response_class = options.get("response_class")
    if not (response_class is None or is_class(response_class, Response)):
        raise TypeError(
            f"{where}: response_class must be a class of fluvial's responses, not "
            f"{response_class!r}"
        )
    check_dependencies(options.get("dependencies") or (), where)


@dataclass(slots=True, eq=False)
class Route(DescribedRoute):
    """One registered path with its handler."""

    path: str
    methods: tuple[str, ...]
    endpoint: Callable[..., Any]
    options: RouteOptions = field(default_factory=RouteOptions)
    name: str = ""
    # For Request.path_params: the functions that convert the captured texts.
    converters: dict[str, Callable[[str], Any]] = field(default_factory=dict)
    plan: _core.Plan | None = None
    # What its arguments are read from: the calls of `dependencies`, then the handler's.
    calls: tuple[Call, ...] = ()

    def __post_init__(self) -> None:
        given = self.options.get("name")
        self.name = given or callable_name(self.endpoint).rpartition(".")[2]
        captures = read_captures(self.path)
        self.converters = {n: kind for n, (_, kind) in captures.items() if kind is not Any}

    @property
    def path_format(self) -> str:
        """The path without the converters of its parameters."""
        return _CAPTURE.sub(r"{\1}", self.path)

    def make_plan(self, dependencies: Sequence[Depends]) -> _core.Plan:
        """Reads the handler's signature; `dependencies` are the app's.

        Raises: TypeError when the handler's signature or an option can't be used; NameError when
        an annotation uses a name that isn't defined yet.
        """
        target = self._make_target(dependencies)
        wrap = self._make_wrap()
        status_code = self.options.get("status_code") or 200
        self.plan = _core.Plan(
            target.handler,
            kind=target.kind,
            params=target.params,
            kwnames=target.kwnames,
            body=target.body,
            body_limit=self.options.get("body_limit"),
            status_code=status_code,
            wrap=wrap,
            info=self,
        )
        if target.program is not None:
            target.program.respond = make_respond(wrap, status_code)
        return self.plan

    def _make_target(self, dependencies: Sequence[Depends]) -> Target:
        captures = read_captures(self.path)
        call = read_call(self.endpoint, captures)
        before = [
            read_dependency(each, captures)
            for each in (*dependencies, *(self.options.get("dependencies") or ()))
        ]
        for each in (*before, call):
            settle_connection(each, Special.REQUEST)
            settle_scopes(each)
        self.calls = (*before, call)
        warn_of_untaken(captures, self.calls)
        return make_target(
            call,
            before,
            captures,
            inline=self.options.get("inline", False),
            streamed=is_class(self.options.get("response_class"), StreamingResponse),
        )

    def _make_wrap(self) -> Callable[[Any], Response] | None:
        options = self.options
        model_options: Any = {
            name: options[f"response_model_{name}"]  # type: ignore[literal-required]  # all are options
            for name in ModelOptions.__annotations__
            if f"response_model_{name}" in options
        }
        try:
            annotation = return_annotation(self.endpoint)
        except NameError:
            if "response_model" not in options:
                raise
            annotation = MISSING
        check_returned(annotation)
        return make_wrap(
            options.get("status_code"),
            options.get("response_class"),
            options.get("response_model", MISSING),
            annotation,
            model_options,
        )


@dataclass(slots=True, eq=False)
class WebSocketRoute:
    """One registered path with its WebSocket handler."""

    path: str
    endpoint: Callable[..., Any]
    name: str | None = None
    dependencies: Sequence[Depends] = ()
    # For WebSocket.path_params: the functions that convert the captured texts.
    converters: dict[str, Callable[[str], Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.name or callable_name(self.endpoint).rpartition(".")[2]
        captures = read_captures(self.path)
        self.converters = {n: kind for n, (_, kind) in captures.items() if kind is not Any}

    def make_plan(self, dependencies: Sequence[Depends]) -> _core.Plan:
        """Reads the handler's signature; `dependencies` are the app's.

        Raises: TypeError when the handler's signature can't be used; NameError when an annotation
        uses a name that isn't defined yet.
        """
        captures = read_captures(self.path)
        call = read_call(self.endpoint, captures)
        if call.flavour is not Flavour.ASYNC:
            raise TypeError("a WebSocket handler must be an `async def`")
        before = [read_dependency(each, captures) for each in (*dependencies, *self.dependencies)]
        for each in (*before, call):
            settle_connection(each, Special.WEBSOCKET)
            settle_scopes(each)
            _check_websocket(each)
        warn_of_untaken(captures, (*before, call))
        target = make_target(call, before, captures)
        if target.program is not None:
            target.program.respond = _answer_nothing
        return _core.Plan(
            target.handler,
            kind=target.kind,
            params=target.params,
            kwnames=target.kwnames,
            body=_core.BODY_DISCARD,
            info=self,
        )


class WebSocketRoutes:
    """An app's WebSocket routes and their routing table."""

    def __init__(self) -> None:
        self.router = _core.Router()
        self.routes: list[WebSocketRoute] = []
        self._registered = Registered()
        self._planned = 0  # how many of `routes` are in the table

    def add(self, route: WebSocketRoute, dependencies: Sequence[Depends]) -> None:
        """Registers a route. It is planned later if an annotation uses an undefined name.

        Raises: TypeError or ValueError, with the route in its text, when it can't be registered.
        """
        self.routes.append(route)
        try:
            self.plan(dependencies)
        except NameError:
            pass
        except BaseException:
            self.routes.remove(route)
            raise
        self._registered.add(("WebSocket",), route.path, route.endpoint)

    def plan(self, dependencies: Sequence[Depends]) -> None:
        """Plans the routes that aren't planned yet, in their order.

        Raises: the same as `add`, and NameError when an annotation uses an undefined name.
        """
        while self._planned < len(self.routes):
            route = self.routes[self._planned]
            try:
                self.router.add(("GET",), route.path, route.make_plan(dependencies))
            except (NameError, TypeError, ValueError) as exc:
                name = callable_name(route.endpoint)
                raise type(exc)(f"route WebSocket {route.path} ({name}): {exc}") from exc
            self._planned += 1


# What a segment of a path may hold unencoded besides letters, digits and "-._~" (RFC 3986, pchar).
_SEGMENT = ":@!$&'()*+,;="


def make_path(path: str, values: dict[str, Any]) -> str | None:
    """A route's path with `values` in the place of its parameters, percent-encoded.

    None unless their names are those of the parameters. Raises: ValueError for a value that the
    route would not match.
    """
    kinds = {match[1]: match[2] or "str" for match in _CAPTURE.finditer(path)}
    if kinds.keys() != values.keys():
        return None
    texts = {name: _path_text(name, kind, values[name]) for name, kind in kinds.items()}
    return _CAPTURE.sub(lambda match: texts[match[1]], path)


def _path_text(name: str, kind: str, value: Any) -> str:
    text = str(value)
    fits = text != "" and (kind == "path" or "/" not in text)
    if kind == "int":
        fits = isinstance(value, int) and value >= 0
    elif kind == "float":
        fits = isinstance(value, (int, float)) and math.isfinite(value) and value >= 0
        text = format(value, ".20f").rstrip("0").rstrip(".") if fits else text
    elif kind == "uuid":
        fits = isinstance(value, UUID)
    if not fits:
        raise ValueError(f"{value!r} can't be the path's parameter {name!r} of the kind {kind}")
    return quote(text, safe=_SEGMENT + "/" if kind == "path" else _SEGMENT)


def read_captures(path: str) -> Captures:
    """For each parameter of a path, its number and the type that its converter stands for."""
    return {
        match[1]: (number, _TYPES.get(match[2], Any))
        for number, match in enumerate(_CAPTURE.finditer(path))
    }


def read_dependency(depends: Depends, captures: Captures) -> Call:
    """Reads the signature of a dependency that is given in `dependencies`.

    Raises: TypeError when it has no callable, or one that can't be called for a request.
    """
    if depends.dependency is None:
        raise TypeError("Depends() beside the path needs a callable")
    check_dependency(depends.dependency)
    return read_call(
        depends.dependency, captures, use_cache=depends.use_cache, scopes=scopes_of(depends)
    )


def warn_of_untaken(captures: Captures, calls: Sequence[Call]) -> None:
    """Warns of each name in the path that is probably misspelt in the signature."""
    fields = [field for call in calls for field in _fields(call)]
    taken = {field.alias for field in fields if field.source == "path"}
    untaken(captures, taken, {field.alias for field in fields if field.source != "path"})


def _fields(call: Call) -> list[Field]:
    values = [argument.value for argument in call.arguments]
    inner = [field for value in values if isinstance(value, Call) for field in _fields(value)]
    return [value for value in values if isinstance(value, Field)] + inner


def _check_websocket(call: Call) -> None:
    """Raises: TypeError for a parameter that needs a body or a response."""
    for argument in call.arguments:
        value = argument.value
        if isinstance(value, Call):
            _check_websocket(value)
            continue
        has_body = isinstance(value, Field) and value.source == "body"
        if has_body or value in (Special.RESPONSE, Special.BACKGROUND):
            what = "the body" if has_body else "a response"
            raise TypeError(
                f"parameter {argument.name!r} of {callable_name(call.func)} is for {what}, "
                "which a WebSocket doesn't have"
            )


def _answer_nothing(_: Any) -> Response:
    """A Response in place of the handler's result, which is ignored; its clean-ups run at once."""
    return Response()
