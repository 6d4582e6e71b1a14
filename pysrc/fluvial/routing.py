"""Routers: routes that are registered apart from the app that includes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from ._application.api_route import APIRoute, PlainRoute
from ._application.controllers import Add, Method, add_controller, check_claimed, is_method
from ._application.events import Events, Lifespan
from ._application.routes import (
    Route,
    RouteOptions,
    WebSocketRoute,
    check_options,
    method_names,
)
from ._calling.callables import callable_name
from ._calling.options import check_path, named_options
from ._forms.limits import FormOptions, check_form_limits
from ._signature.foreign import check_dependencies, refuse_foreign
from ._validation.annotations import is_class
from .exceptions import NoMatchFound
from .responses import Response

if TYPE_CHECKING:
    from .params import Depends

__all__ = ["APIRoute", "APIRouter", "NoMatchFound", "Route", "WebSocketRoute"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all routes of a router, or of one inclusion, have in common."""

    prefix: str = ""
    tags: Sequence[str] = ()
    dependencies: Sequence[Depends] = ()
    default_response_class: type[Response] | None = None
    responses: dict[int | str, dict[str, Any]] | None = None
    callbacks: Sequence[Any] = ()
    deprecated: bool | None = None
    include_in_schema: bool = True
    generate_unique_id_function: Callable[[Any], str] | None = None
    max_body_size: int | None = None
    form_limits: FormOptions = field(default_factory=FormOptions)
    strict_content_type: bool | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str) -> Shared:
        """Those of the arguments `given` to a function that routes share, checked.

        Raises: TypeError or ValueError for what can't be meant, in a message for `where`.
        """
        taken = {each.name: given[each.name] for each in fields(cls) if each.name in given}
        for name in ("tags", "callbacks"):
            if name in taken:
                taken[name] = tuple(taken[name] or ())
        taken["form_limits"] = check_form_limits(taken.get("form_limits"), where)
        taken["dependencies"] = check_dependencies(taken.get("dependencies") or (), where)
        shared = cls(**taken)
        shared.check(where)
        return shared

    def check(self, where: str) -> None:
        """Raises: TypeError or ValueError for what can't be meant, in a message for `where`."""
        prefix = self.prefix
        if not isinstance(prefix, str):
            raise TypeError(f"{where}: prefix must be a str, not {prefix!r}")
        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ValueError(f"{where}: a prefix begins with '/' and ends without: {prefix!r}")
        default = self.default_response_class
        if not (default is None or is_class(default, Response)):
            raise TypeError(
                f"{where}: default_response_class must be a class of fluvial's responses, not "
                f"{default!r}"
            )

    def options(self, own: RouteOptions) -> RouteOptions:
        """Those of a route, with what is shared before its own, or where it has none."""
        options: RouteOptions = {**own}
        for name in ("tags", "dependencies", "callbacks"):
            if getattr(self, name):
                given: Any = own.get(name) or ()
                options[name] = [*getattr(self, name), *given]
        if self.responses:
            options["responses"] = {**self.responses, **(own.get("responses") or {})}
        for name, default in (
            ("response_class", self.default_response_class),
            ("generate_unique_id_function", self.generate_unique_id_function),
            ("strict_content_type", self.strict_content_type),
        ):
            if default is not None and own.get(name) is None:
                options[name] = default  # type: ignore[literal-required]
        if (
            self.max_body_size is not None
            and own.get("body_limit", own.get("max_body_size")) is None
        ):
            options["body_limit"] = self.max_body_size
        if self.deprecated and not own.get("deprecated"):
            options["deprecated"] = True
        if not self.include_in_schema:
            options["include_in_schema"] = False
        if self.form_limits:
            options["form_limits"] = {**self.form_limits, **(own.get("form_limits") or {})}
        return options


class Registering(Events, ABC):
    """The decorators that apps and routers have in common."""

    _owner = "app"  # in messages
    _methods: Sequence[Method] = ()
    route_class: type[Route] = APIRoute  # of the routes that are registered from now on

    def _make_route(
        self, path: str, methods: tuple[str, ...], endpoint: Any, options: RouteOptions
    ) -> Route:
        """The route, of the class that was asked for, or else of `route_class`."""
        made = options.pop("route_class_override", None) or self.route_class
        return made(path, endpoint, methods=methods, **options)

    @abstractmethod
    def add_api_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] = ("GET",),
        **options: Unpack[RouteOptions],
    ) -> None:
        """Registers a handler. Raises: TypeError or ValueError that says what is wrong with it."""

    @abstractmethod
    def add_api_websocket_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None = None,
        *,
        dependencies: Sequence[Depends] | None = None,
    ) -> None:
        """Registers a WebSocket handler. Raises: as `add_api_route`."""

    def api_route(
        self, path: str, *, methods: Collection[str] = ("GET",), **options: Unpack[RouteOptions]
    ) -> Callable[[F], F]:
        """Registers the decorated handler for several methods."""
        check_path(path, "api_route", self._owner)
        check_options(options, "api_route", self._owner)
        method_names(methods)

        def register(endpoint: F) -> F:
            def add(path: str, handler: Callable[..., Any], shared: Shared | None = None) -> None:
                merged = options if shared is None else shared.options(options)
                self.add_api_route(path, handler, methods=methods, **merged)

            self._add_or_note(path, endpoint, add)
            return endpoint

        return register

    route = api_route

    def _decorate(self, name: str, path: str, options: RouteOptions) -> Callable[[F], F]:
        check_path(path, name, self._owner)
        check_options(options, name, self._owner)
        return self.api_route(path, methods=(name.upper(),), **options)

    def get(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        """Registers the decorated handler for GET."""
        return self._decorate("get", path, options)

    def post(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        """Registers the decorated handler for POST."""
        return self._decorate("post", path, options)

    def put(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        """Registers the decorated handler for PUT."""
        return self._decorate("put", path, options)

    def patch(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        """Registers the decorated handler for PATCH."""
        return self._decorate("patch", path, options)

    def delete(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        """Registers the decorated handler for DELETE."""
        return self._decorate("delete", path, options)

    def head(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        """Registers the decorated handler for HEAD."""
        return self._decorate("head", path, options)

    def options(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        """Registers the decorated handler for OPTIONS."""
        return self._decorate("options", path, options)

    def trace(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        """Registers the decorated handler for TRACE."""
        return self._decorate("trace", path, options)

    def query(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[F], F]:
        """Registers the decorated handler for QUERY (draft-ietf-httpbis-safe-method-w-body).

        A QUERY has a body as a POST has, but is safe to repeat as a GET is. OpenAPI 3.1 has no such
        operation: it stands below `x-query` there, and below `query` from 3.2 on.
        """
        return self._decorate("query", path, options)

    def add_route(
        self,
        path: str,
        route: Callable[..., Any],
        methods: Collection[str] | None = None,
        name: str | None = None,
        include_in_schema: bool = False,
    ) -> None:
        """Registers `route(request)`, whose signature is not read. Raises: as `add_api_route`."""
        self.add_api_route(
            path,
            route,
            methods=methods or ("GET",),
            name=name,
            include_in_schema=include_in_schema,
            route_class_override=PlainRoute,
        )

    @named_options
    def websocket(
        self,
        path: str,
        name: str | None = None,
        *,
        dependencies: Sequence[Depends] | None = None,
    ) -> Callable[[F], F]:
        """Registers the decorated `async def` handler for WebSockets."""
        check_path(path, "websocket", self._owner)
        check_dependencies(dependencies or (), f"@{self._owner}.websocket()")

        def register(endpoint: F) -> F:
            def add(path: str, handler: Callable[..., Any], shared: Shared | None = None) -> None:
                before = () if shared is None else shared.dependencies
                before = (*before, *(dependencies or ()))
                self.add_api_websocket_route(path, handler, name, dependencies=before)

            self._add_or_note(path, endpoint, add)
            return endpoint

        return register

    def _add_or_note(self, path: str, endpoint: Any, add: Add) -> None:
        """Registers a handler. Methods are noted, until their class is decorated."""
        if is_method(endpoint):
            self._methods = [*self._methods, Method(endpoint, path, add)]
        else:
            add(path, endpoint)

    @named_options
    def controller(
        self,
        cls: Any = None,
        /,
        *,
        prefix: str = "",
        tags: Sequence[str] | None = None,
        dependencies: Sequence[Depends] | None = None,
        default_response_class: type[Response] | None = None,
        responses: dict[int | str, dict[str, Any]] | None = None,
        deprecated: bool | None = None,
        include_in_schema: bool = True,
    ) -> Any:
        """Registers the decorated methods of the decorated class, and of its bases.

        For each request, an object is made, and dependencies are the arguments of its `__init__`.
        That is called on the loop for an `async def` method, so it shouldn't block: what its
        dependencies do may. The options are as those of a router.

        Raises: TypeError when it has no such method; and as `add_api_route`.
        """
        where = f"@{self._owner}.controller()"
        shared = Shared.of(dict(locals()), where)

        def register(decorated: Any) -> Any:
            add_controller(decorated, self._methods, shared)
            return decorated

        return register if cls is None else register(cls)

    def check_methods(self) -> None:
        """Raises: TypeError when a method was decorated whose class is no controller."""
        check_claimed(self._methods)

    @named_options
    def include_router(
        self,
        router: Any,
        *,
        prefix: str = "",
        tags: Sequence[str] | None = None,
        dependencies: Sequence[Depends] | None = None,
        default_response_class: type[Response] | None = None,
        responses: dict[int | str, dict[str, Any]] | None = None,
        callbacks: Sequence[Any] | None = None,
        deprecated: bool | None = None,
        include_in_schema: bool = True,
        generate_unique_id_function: Callable[[Any], str] | None = None,
        max_body_size: int | None = None,
        form_limits: FormOptions | None = None,
    ) -> None:
        """Registers all routes that `router` has by now, with `prefix` before their paths.

        `tags`, `dependencies` and `responses` come before those of the router, and those before the
        route's own; the nearest response class wins.

        Raises: TypeError when `router` is no APIRouter; TypeError or ValueError as `add_api_route`,
        also for a prefix that doesn't begin with "/" or ends with it, and for an empty path without
        prefix.
        """
        given = dict(locals())
        where = f"{self._owner}.include_router()"
        if not isinstance(router, APIRouter):
            refuse_foreign(router)
            raise TypeError(f"{where} takes an APIRouter, not {router!r}: mount() takes apps")
        if router is self:
            raise ValueError(f"{where}: a router can't include itself")
        shared = Shared.of(given, where)
        router.check_methods()
        for route in router.routes:
            include_route(self, route, shared)
        self.include_events(router)


def include_route(owner: Registering, route: Route | WebSocketRoute, shared: Shared) -> None:
    """Registers a router's route with `owner`. Raises: as `add_api_route`."""
    path = shared.prefix + route.path
    if not path:
        name = callable_name(route.endpoint)
        raise ValueError(f"route {name}: prefix and path can't both be empty")
    if isinstance(route, Route):
        options = shared.options(route.options)
        options["route_class_override"] = type(route)
        owner.add_api_route(path, route.endpoint, methods=route.methods, **options)
    else:
        before = (*shared.dependencies, *route.dependencies)
        owner.add_api_websocket_route(path, route.endpoint, route.name, dependencies=before)


class APIRouter(Registering):
    """Routes of one subject, in a module of their own, that an app or another router includes.

    Their signatures are read when they are included. `lifespan`, `on_startup` and `on_shutdown` are
    as those of an App, and become parts of the app's that includes the router. `route_class` is the
    class of its routes, which derives from APIRoute. `routes` are registered at once.
    `redirect_slashes` and `dependency_overrides_provider` are the including app's affair, and taken
    for the sake of classes that pass them on.
    """

    _owner = "router"

    @named_options
    def __init__(
        self,
        *,
        prefix: str = "",
        tags: Sequence[str] | None = None,
        dependencies: Sequence[Depends] | None = None,
        default_response_class: type[Response] | None = None,
        responses: dict[int | str, dict[str, Any]] | None = None,
        callbacks: Sequence[Any] | None = None,
        deprecated: bool | None = None,
        include_in_schema: bool = True,
        generate_unique_id_function: Callable[[Any], str] | None = None,
        max_body_size: int | None = None,
        form_limits: FormOptions | None = None,
        lifespan: Lifespan | None = None,
        on_startup: Sequence[Callable[[], Any]] | None = None,
        on_shutdown: Sequence[Callable[[], Any]] | None = None,
        route_class: type[Route] = APIRoute,
        strict_content_type: bool | None = None,
        routes: Sequence[Route | WebSocketRoute] | None = None,
        redirect_slashes: bool = True,
        default: None = None,
        dependency_overrides_provider: Any = None,
    ) -> None:
        if default is not None:
            raise TypeError("APIRouter(): default is the including app's affair: give it None")
        self._shared = Shared.of(dict(locals()), "APIRouter()")
        self.route_class = route_class
        self.routes: list[Route | WebSocketRoute] = []
        self.set_events(lifespan, on_startup, on_shutdown)
        for route in routes or ():
            include_route(self, route, Shared())

    @property
    def prefix(self) -> str:
        """What all paths of the router begin with."""
        return self._shared.prefix

    def add_api_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] = ("GET",),
        **options: Unpack[RouteOptions],
    ) -> None:
        """Notes a handler for when the router is included.

        Raises: TypeError for an unknown option or methods that aren't a list.
        """
        check_path(path, "get", self._owner)
        check_options(options, "get", self._owner)
        names = method_names(methods)
        path = self.prefix + path
        self.routes.append(self._make_route(path, names, endpoint, self._shared.options(options)))

    @named_options
    def add_api_websocket_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None = None,
        *,
        dependencies: Sequence[Depends] | None = None,
    ) -> None:
        """Notes an `async def` handler for WebSockets. Raises: as `add_api_route`."""
        check_path(path, "websocket", self._owner)
        before = check_dependencies(dependencies or (), f"@{self._owner}.websocket()")
        all_before = (*self._shared.dependencies, *before)
        self.routes.append(WebSocketRoute(self.prefix + path, endpoint, name, all_before))
