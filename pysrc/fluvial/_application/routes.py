"""Routes to handlers of requests and WebSockets, and the plans made from their signatures."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from urllib.parse import quote
from uuid import UUID

from .. import _core
from .._calling.callables import Flavour, callable_name
from .._calling.options import refuse_unknown
from .._forms.limits import FormOptions, check_form_limits
from .._signature.body import ContentRule
from .._signature.declared import Field
from .._signature.foreign import check_dependencies, check_returned
from .._signature.json_lines import response_class_of
from .._signature.lifetimes import check_lifetimes, uses_any
from .._signature.plan import Captures, make_target
from .._signature.results import ModelOptions, make_respond, make_wrap, returned_model
from .._signature.signature import (
    Call,
    Overrides,
    Special,
    read_call,
    read_dependency,
    return_annotation,
    settle_connection,
    settle_scopes,
)
from .._validation.annotations import is_class
from ..exceptions import FluvialError
from ..params import MISSING, Depends
from ..responses import Response, StreamingResponse
from .described import DescribedRoute
from .manners import FLUVIAL, Manners
from .matching import CAPTURE, Match, match_route
from .route_warnings import Registered, untaken

if TYPE_CHECKING:
    from .dependencies import Dependencies

_TYPES: dict[str, Any] = {"int": int, "float": float, "uuid": UUID}


class RouteOptions(TypedDict, total=False):
    """What the decorators take besides the path and the methods.

    `inline` calls a `def` handler on the loop: for handlers that never block. `body_limit` is in
    bytes; `max_body_size` is the same. Without `strict_content_type` a body without Content-Type
    is taken for JSON. `form_limits` is for the parameters that come from a form: `max_fields`,
    `max_files` and `max_part_size`, the most bytes of a field. Options that only describe the route
    are kept for its documentation.
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
    form_limits: FormOptions | None
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
    route_class_override: type[Any] | None
    strict_content_type: bool | None
    max_body_size: int | None
    manners: Manners


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
    check_form_limits(options.get("form_limits"), where)


def method_names(methods: Collection[str]) -> tuple[str, ...]:
    """The names, sorted and in upper case. Raises: TypeError for one str instead of a list."""
    if isinstance(methods, str) or not all(isinstance(method, str) for method in methods):
        raise TypeError(f'methods must be a list of names such as ["GET"], not {methods!r}')
    return tuple(sorted({method.upper() for method in methods}))


@dataclass(slots=True, eq=False, init=False)
class Route(DescribedRoute):
    """One registered path with its handler."""

    path: str
    methods: tuple[str, ...]
    endpoint: Callable[..., Any]
    options: RouteOptions
    name: str
    # For Request.path_params: the functions that convert the captured texts.
    converters: dict[str, Callable[[str], Any]]
    plan: _core.Plan | None
    # What its arguments are read from: the calls of `dependencies`, then the handler's; as they are
    # declared, without overrides. Empty until it is planned.
    calls: tuple[Call, ...]
    overridden: bool  # whether the plan calls other dependencies than `calls`

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] | None = None,
        **options: Unpack[RouteOptions],
    ) -> None:
        self.path = path
        self.methods = method_names(methods or ("GET",))
        self.endpoint = endpoint
        if (size := options.pop("max_body_size", None)) is not None:
            options["body_limit"] = size
        self.options = options
        # That of a partial is "partial", in Starlette's URLs by name as in documents.
        own_name = getattr(endpoint, "__name__", type(endpoint).__name__)
        self.name = options.get("name") or own_name
        captures = read_captures(path)
        self.converters = {n: kind for n, (_, kind) in captures.items() if kind is not Any}
        self.plan = None
        self.calls = ()
        self.overridden = False

    @property
    def path_format(self) -> str:
        """The path without the converters of its parameters."""
        return CAPTURE.sub(r"{\1}", self.path)

    def matches(self, scope: Mapping[str, Any]) -> tuple[Match, dict[str, Any]]:
        """How well the route fits an ASGI scope, and what it would add to it, as in Starlette."""
        return match_route(self, self.methods, scope)

    def make_plan(self, dependencies: Dependencies) -> _core.Plan:
        """Reads the handler's signature.

        Raises: TypeError when the handler's signature or an option can't be used; NameError when
        an annotation uses a name that isn't defined yet.
        """
        calls = self._read(dependencies, {})
        warn_of_untaken(self.path, calls)
        self.calls = calls
        self.plan = self.compile(dependencies)
        return self.plan

    def _read(self, dependencies: Dependencies, overrides: Overrides) -> tuple[Call, ...]:
        before = (*dependencies.everywhere, *(self.options.get("dependencies") or ()))
        return read_calls(self.endpoint, self.path, before, Special.REQUEST, overrides)

    def compile(self, dependencies: Dependencies) -> _core.Plan:
        """A plan with the overrides of now. Raises: as `make_plan`."""
        self.overridden = uses_any(self.calls, dependencies.overrides)
        calls = self._read(dependencies, dependencies.overrides) if self.overridden else self.calls
        dependencies.for_app.declare(calls)
        *before, call = calls
        target = make_target(
            call,
            before,
            read_captures(self.path),
            inline=self.options.get("inline", False),
            form_limits=self.options.get("form_limits"),
            content=self._content_rule(),
            streamed=is_class(self._response_class(), StreamingResponse),
        )
        wrap = self._make_wrap()
        status_code = self.options.get("status_code") or 200
        plan = _core.Plan(
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
            target.program.app_value = dependencies.for_app.value
        return plan

    def _content_rule(self) -> ContentRule:
        if self.options.get("strict_content_type") is False:
            return ContentRule.ASSUMED
        return self.options.get("manners", FLUVIAL).content

    def _response_class(self) -> type[Response] | None:
        return response_class_of(self.endpoint, self.options.get("response_class"))

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
        if self.options.get("manners", FLUVIAL).checks_results and "response_model" not in options:
            options = {**options, "response_model": returned_model(annotation)}
        try:
            return make_wrap(
                options.get("status_code"),
                self._response_class(),
                options.get("response_model", MISSING),
                annotation,
                model_options,
            )
        except TypeError as exc:
            if not self.options.get("manners", FLUVIAL).checks_results:
                raise
            raise FluvialError(f"not a valid Pydantic field type for a response: {exc}") from exc


@dataclass(slots=True, eq=False)
class WebSocketRoute:
    """One registered path with its WebSocket handler."""

    path: str
    endpoint: Callable[..., Any]
    name: str | None = None
    dependencies: Sequence[Depends] = ()
    # For WebSocket.path_params: the functions that convert the captured texts.
    converters: dict[str, Callable[[str], Any]] = field(default_factory=dict)
    plan: _core.Plan | None = None
    calls: tuple[Call, ...] = ()  # as those of Route
    overridden: bool = False

    def __post_init__(self) -> None:
        self.name = self.name or callable_name(self.endpoint).rpartition(".")[2]
        captures = read_captures(self.path)
        self.converters = {n: kind for n, (_, kind) in captures.items() if kind is not Any}

    def matches(self, scope: Mapping[str, Any]) -> tuple[Match, dict[str, Any]]:
        """How well the route fits an ASGI scope, and what it would add to it, as in Starlette."""
        return match_route(self, None, scope)

    def make_plan(self, dependencies: Dependencies) -> _core.Plan:
        """Reads the handler's signature.

        Raises: TypeError when the handler's signature can't be used; NameError when an annotation
        uses a name that isn't defined yet.
        """
        calls = self._read(dependencies, {})
        if calls[-1].flavour is not Flavour.ASYNC:
            raise TypeError("a WebSocket handler must be an `async def`")
        warn_of_untaken(self.path, calls)
        self.calls = calls
        self.plan = self.compile(dependencies)
        return self.plan

    def _read(self, dependencies: Dependencies, overrides: Overrides) -> tuple[Call, ...]:
        before = (*dependencies.everywhere, *self.dependencies)
        return read_calls(self.endpoint, self.path, before, Special.WEBSOCKET, overrides)

    def compile(self, dependencies: Dependencies) -> _core.Plan:
        """A plan with the overrides of now. Raises: as `make_plan`."""
        self.overridden = uses_any(self.calls, dependencies.overrides)
        calls = self._read(dependencies, dependencies.overrides) if self.overridden else self.calls
        for each in calls:
            _check_websocket(each)
        dependencies.for_app.declare(calls)
        target = make_target(calls[-1], list(calls[:-1]), read_captures(self.path))
        if target.program is not None:
            target.program.respond = _respond_with_nothing
            target.program.app_value = dependencies.for_app.value
            target.program.late = False  # there is no response to wait for
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

    def add(self, route: WebSocketRoute, dependencies: Dependencies) -> None:
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

    def plan(self, dependencies: Dependencies) -> None:
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
    kinds = {match[1]: match[2] or "str" for match in CAPTURE.finditer(path)}
    if kinds.keys() != values.keys():
        return None
    texts = {name: _path_text(name, kind, values[name]) for name, kind in kinds.items()}
    return CAPTURE.sub(lambda match: texts[match[1]], path)


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
        for number, match in enumerate(CAPTURE.finditer(path))
    }


def read_calls(
    endpoint: Callable[..., Any],
    path: str,
    before: Sequence[Depends],
    connection: Special,
    overrides: Overrides,
) -> tuple[Call, ...]:
    """Reads the signatures of the dependencies that are called before a handler, and its own.

    Raises: TypeError when one can't be called for a request; NameError as `read_call`.
    """
    captures = read_captures(path)
    calls: list[Call] = []
    try:
        for depends in before:
            if depends.dependency is None:
                raise TypeError("Depends() beside the path needs a callable")
            calls.append(read_dependency(depends.dependency, depends, captures, overrides))
        calls.append(read_call(endpoint, captures, overrides))
    except RecursionError:
        raise TypeError("one of its dependencies depends on itself") from None
    for each in calls:
        settle_connection(each, connection)
        settle_scopes(each)
        check_lifetimes(each)
    return tuple(calls)


def warn_of_untaken(path: str, calls: Sequence[Call]) -> None:
    """Warns of each name in the path that is probably misspelt in the signature."""
    captures = read_captures(path)
    fields = [field for call in calls for field in _fields(call)]
    taken = {field.alias for field in fields if field.source == "path"}
    untaken(captures, taken, {field.alias for field in fields if field.source != "path"})


def _fields(call: Call) -> list[Field]:
    values = [argument.value for argument in call.arguments]
    inner = [field for value in values if isinstance(value, Call) for field in _fields(value)]
    return [value for value in values if isinstance(value, Field)] + inner


def _check_websocket(call: Call, *, inner: bool = False) -> None:
    """Raises: TypeError for a parameter that needs a body, or a response in the handler itself.

    Dependencies may have one, since requests may need them, too; what they set has no effect.
    """
    for argument in call.arguments:
        value = argument.value
        if isinstance(value, Call):
            _check_websocket(value, inner=True)
            continue
        has_body = isinstance(value, Field) and value.source == "body"
        if has_body or (not inner and value in (Special.RESPONSE, Special.BACKGROUND)):
            what = "the body" if has_body else "a response"
            raise TypeError(
                f"parameter {argument.name!r} of {callable_name(call.func)} is for {what}, "
                "which a WebSocket doesn't have"
            )


def _respond_with_nothing(_: Any) -> Response:
    """A Response in place of the handler's result, which is ignored; its clean-ups run at once."""
    return Response()
