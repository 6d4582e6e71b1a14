"""Routes of requests and WebSockets; those whose signatures are read derive from these."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from .. import _core
from .._calling.callables import callable_name
from .._calling.options import refuse_unknown
from .._forms.limits import FormOptions, check_form_limits
from .._signature.foreign import check_dependencies
from .._validation.annotations import is_class
from ..responses import Response
from .described import DescribedRoute
from .matching import CAPTURE, Match, match_route
from .option_types import check_option_types
from .paths import add_to_table, converters_of, path_of
from .plain_handlers import (
    EVERY_METHOD,
    is_function,
    own_name,
    plan_around_request,
    plan_around_websocket,
    request_handler,
    router_makers,
    websocket_handler,
)
from .route_warnings import Registered
from .timeouts import check_timeout

if TYPE_CHECKING:
    from .._signature.signature import Call
    from ..datastructures import URLPath
    from ..params import Depends
    from .dependencies import Dependencies
    from .manners import Manners
    from .route_changes import Facts


class RouteOptions(TypedDict, total=False):
    """What the decorators take besides the path and the methods.

    `inline` calls a `def` handler on the loop: for handlers that never block. `body_limit` is in
    bytes; `max_body_size` is the same. `timeout` is how many seconds the response may take, in
    place of `--request-timeout`; 0 stands for no limit. `cancel_on_disconnect` says whether the
    handler is cancelled when its client leaves, in place of `--cancel-on-disconnect`. Without
    `strict_content_type` a body without Content-Type is taken for JSON. `form_limits` is for the
    parameters that come from a form: `max_fields`, `max_files` and `max_part_size`, the most bytes
    of a field. Options that only describe the route are kept for its documentation.
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
    timeout: float | None
    cancel_on_disconnect: bool | None
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
    check_option_types(options, where)
    status_code = options.get("status_code")
    if not (status_code is None or isinstance(status_code, int)):
        raise TypeError(f"{where}: status_code must be an int, not {status_code!r}")
    if status_code == 0:  # further on, that would be as if there were none
        raise ValueError(f"{where}: status_code must be 200 to 599, not {status_code!r}")
    response_class = options.get("response_class")
    if not (response_class is None or is_class(response_class, Response)):
        raise TypeError(
            f"{where}: response_class must be a class of fluvial's responses, not "
            f"{response_class!r}"
        )
    check_dependencies(options.get("dependencies") or (), where)
    check_form_limits(options.get("form_limits"), where)
    check_timeout(options.get("timeout"), where)


def method_names(methods: Collection[str]) -> tuple[str, ...]:
    """The names, sorted and in upper case. Raises: TypeError for what is no list of some names."""
    given: Any = methods
    names = isinstance(given, Collection) and not isinstance(given, str)
    if not names or not given or not all(isinstance(method, str) for method in given):
        raise TypeError(f'methods must be a list of names such as ["GET"], not {given!r}')
    return tuple(sorted({method.upper() for method in methods}))


class Route(DescribedRoute):
    """One path with a function of the request, `def` or `async def`, that returns a response.

    Its signature isn't read. `endpoint` may also be an ASGI app, such as a class that derives from
    HTTPEndpoint, which gets requests of all methods unless `methods` says which. `middleware` is
    around this route alone.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] | None = None,
        middleware: Sequence[Any] | None = None,
        **options: Unpack[RouteOptions],
    ) -> None:
        self.path = path
        usual = ("GET",) if is_function(endpoint) else EVERY_METHOD
        self._set_methods(method_names(methods or usual))
        self.endpoint = endpoint
        self.middleware = tuple(middleware or ())
        if (size := options.pop("max_body_size", None)) is not None:
            options["body_limit"] = size
        if options.get("dependencies"):  # a list of its own, which may be changed
            options["dependencies"] = list(options["dependencies"] or ())
        self.options: RouteOptions = options
        self.name: str = options.get("name") or own_name(endpoint)
        self.converters = converters_of(path)  # for Request.path_params
        self.plan: _core.Plan | None = None
        # What its arguments are read from: the calls of `dependencies`, then the handler's; as they
        # are declared, without overrides. Empty until it is planned.
        self.calls: tuple[Call, ...] = ()
        self.overridden = False  # whether the plan calls other dependencies than `calls`
        self.facts: Facts | None = None  # what it was registered with

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(path={self.path!r}, name={self.name!r}, "
            f"methods={sorted(self.methods)})"
        )

    @property
    def methods(self) -> set[str]:
        """The methods, as Starlette says them: HEAD stands beside GET. The set may be changed, or
        another one assigned, before the app starts."""
        return self._methods

    @methods.setter
    def methods(self, methods: Collection[str]) -> None:
        self._set_methods(method_names(methods))

    def _set_methods(self, names: tuple[str, ...]) -> None:
        self._methods = set(names)
        self._adds_head = "GET" in names and "HEAD" not in names
        if self._adds_head:
            self._methods.add("HEAD")

    @property
    def given_methods(self) -> tuple[str, ...]:
        """The names, sorted, without the HEAD that stands beside GET."""
        if self._adds_head and "GET" in self._methods:
            return tuple(sorted(self._methods - {"HEAD"}))
        return tuple(sorted(self._methods))

    @property
    def path_format(self) -> str:
        """The path without the converters of its parameters."""
        return CAPTURE.sub(r"{\1}", self.path)

    def matches(self, scope: Mapping[str, Any]) -> tuple[Match, dict[str, Any]]:
        """How well the route fits an ASGI scope, and what it would add to it, as in Starlette."""
        return match_route(self, self.given_methods, scope)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """The route's path with these parameters.

        Raises: NoMatchFound when no route has this name and these parameters, ValueError or
        TypeError for a value that can't stand in the path.
        """
        return path_of(self, "http", name, path_params)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The route alone, as an ASGI app."""
        await router_makers[0]([self])(scope, receive, send)

    def make_plan(self, dependencies: Dependencies) -> _core.Plan:
        """The plan; there is nothing in it that could be wrong."""
        self.plan = self.compile(dependencies)
        return self.plan

    def compile(self, dependencies: Dependencies) -> _core.Plan:
        """The same plan each time."""
        handler = request_handler(self.endpoint, self.middleware)
        return plan_around_request(handler, self)


class WebSocketRoute:
    """One path with a coroutine function of the WebSocket, or an ASGI app that gets it."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None = None,
        dependencies: Sequence[Depends] = (),
        *,
        middleware: Sequence[Any] | None = None,
    ) -> None:
        self.path = path
        self.endpoint = endpoint
        self.name = name or own_name(endpoint)
        self.dependencies = list(dependencies)
        self.middleware = tuple(middleware or ())
        self.converters = converters_of(path)  # for WebSocket.path_params
        self.plan: _core.Plan | None = None
        self.calls: tuple[Call, ...] = ()  # as those of Route
        self.overridden = False
        self.facts: Facts | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(path={self.path!r}, name={self.name!r})"

    @property
    def path_format(self) -> str:
        """The path without the converters of its parameters."""
        return CAPTURE.sub(r"{\1}", self.path)

    def matches(self, scope: Mapping[str, Any]) -> tuple[Match, dict[str, Any]]:
        """How well the route fits an ASGI scope, and what it would add to it, as in Starlette."""
        return match_route(self, None, scope)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """The route's path with these parameters.

        Raises: NoMatchFound when no route has this name and these parameters, ValueError or
        TypeError for a value that can't stand in the path.
        """
        return path_of(self, "websocket", name, path_params)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The route alone, as an ASGI app."""
        await router_makers[0]([self])(scope, receive, send)

    def make_plan(self, dependencies: Dependencies) -> _core.Plan:
        """The plan; there is nothing in it that could be wrong."""
        self.plan = self.compile(dependencies)
        return self.plan

    def compile(self, dependencies: Dependencies) -> _core.Plan:
        """The same plan each time."""
        handler = websocket_handler(self.endpoint, self.middleware)
        return plan_around_websocket(handler, self)


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

        Raises: TypeError or ValueError for a route that can't be planned, NameError when an
        annotation uses an undefined name.
        """
        while self._planned < len(self.routes):
            route = self.routes[self._planned]
            try:
                plan = route.make_plan(dependencies)
                add_to_table(self.router, ("GET",), route.path, plan)
            except (NameError, TypeError, ValueError) as exc:
                name = callable_name(route.endpoint)
                raise type(exc)(f"route WebSocket {route.path} ({name}): {exc}") from exc
            self._planned += 1
