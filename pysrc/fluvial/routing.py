"""Routers: routes that are registered apart from the app that includes them."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from ._application.api_route import APIRoute, APIWebSocketRoute
from ._application.controllers import Add, Method, add_controller, check_claimed, is_method
from ._application.events import Events, Lifespan
from ._application.matching import Match
from ._application.paths import find_by_name
from ._application.plain_handlers import router_makers
from ._application.routes import (
    Route,
    RouteOptions,
    WebSocketRoute,
    check_options,
    method_names,
)
from ._application.shared import Shared
from ._asgi.frontends import Frontend
from ._asgi.hosts import Host
from ._asgi.mounts import Mount
from ._calling.options import check_path, named_options
from ._include import include_route
from ._signature.foreign import check_dependencies, refuse_foreign
from .exceptions import NoMatchFound
from .staticfiles import FrontendFiles, must_exist

if TYPE_CHECKING:
    import os

    from ._asgi.protocol import Message, Receive, Send
    from ._forms.limits import FormOptions
    from ._starlette import BaseRoute as BaseRoute
    from ._starlette import Router as Router
    from ._starlette import request_response as request_response
    from ._starlette import websocket_session as websocket_session
    from .datastructures import URLPath
    from .params import Depends
    from .responses import Response

__all__ = [
    "APIRoute",
    "APIRouter",
    "APIWebSocketRoute",
    "BaseRoute",
    "Host",
    "Match",
    "Mount",
    "NoMatchFound",
    "Route",
    "Router",
    "WebSocketRoute",
    "request_response",
    "websocket_session",
]

later: dict[str, Any] = {}  # Starlette's Router and its kin: they need App, which needs this
F = TypeVar("F", bound=Callable[..., Any])


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
        """Registers a WebSocket handler.

        Raises: TypeError or ValueError when the path, the handler or an option can't be used.
        """

    @abstractmethod
    def take(self, route: Any) -> None:
        """Registers a route of any kind as it is.

        Raises: TypeError or ValueError when the path, the handler or an option can't be used.
        """

    def add_websocket_route(
        self, path: str, route: Callable[..., Any], name: str | None = None
    ) -> None:
        """Registers `route(websocket)`, or an ASGI app.

        Raises: TypeError or ValueError when the path, the handler or an option can't be used.
        """
        self.take(WebSocketRoute(self._prefixed(path), route, name))

    def websocket_route(self, path: str, name: str | None = None) -> Callable[[F], F]:
        """Registers the decorated `f(websocket)`, whose signature isn't read."""

        def register(endpoint: F) -> F:
            self.add_websocket_route(path, endpoint, name)
            return endpoint

        return register

    def _prefixed(self, path: str) -> str:
        return path

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

        A QUERY has a body like a POST, and is safe to repeat like a GET. OpenAPI 3.1 has no such
        operation, so it is named `x-query` there; from 3.2 on it is `query`.
        """
        return self._decorate("query", path, options)

    def add_route(
        self,
        path: str,
        route: Callable[..., Any] | None = None,
        methods: Collection[str] | None = None,
        name: str | None = None,
        include_in_schema: bool = True,
        *,
        endpoint: Callable[..., Any] | None = None,
    ) -> None:
        """Registers `route(request)`, whose signature is not read, or an ASGI app. Starlette's
        Router calls it `endpoint`.

        Raises: TypeError or ValueError when the path, the handler or an option can't be used.
        """
        check_path(path, "get", self._owner)
        options: RouteOptions = {"name": name, "include_in_schema": include_in_schema}
        given: Any = route if endpoint is None else endpoint
        self.take(Route(self._prefixed(path), given, methods=methods, **options))

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
        """Registers a handler. Methods are recorded until their class is decorated."""
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
        For an `async def` method it is called on the loop, so it must not block; its dependencies
        may. The options are as those of a router.

        Raises: TypeError when it has no such method; TypeError or ValueError when a path or an
        option can't be used.
        """
        if not isinstance(self, Registering):  # called on the class itself
            raise TypeError(
                f"controller() needs an app or a router, not {self!r}: make one, and write "
                "@router.controller"
            )
        where = f"@{self._owner}.controller()"
        shared = Shared.of(dict(locals()), where)

        def register(decorated: Any) -> Any:
            add_controller(decorated, self._methods, shared)
            return decorated

        return register if cls is None else register(cls)

    @named_options
    def frontend(
        self,
        path: str,
        *,
        directory: str | os.PathLike[str],
        fallback: str | None = "auto",
        check_dir: bool | str = "auto",
    ) -> None:
        """Serves the built files of a browser application below `path`, for paths without a route.

        The response for a path without a file is `fallback`: "404.html", or "index.html" for a
        browser that asks for a page, which the program then makes; "auto" is the first that exists.
        With `check_dir` the directory must exist; "auto" only warns when it doesn't and the
        environment variable FASTAPI_ENV is "development".

        Raises: ValueError for another fallback, RuntimeError when what is needed doesn't exist.
        """
        if not path.startswith("/"):
            raise ValueError(f"the path of a frontend begins with '/', not {path!r}")
        files = FrontendFiles(directory, fallback, check_dir=must_exist(directory, check_dir))
        self.take(Frontend(self._prefixed(path), files, self._before_all()))

    def _before_all(self) -> Sequence[Depends]:
        """The dependencies of a router's routes."""
        return ()

    def check_methods(self) -> None:
        """Raises: TypeError when a method was decorated whose class isn't a controller."""
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
        timeout: float | None = None,
        cancel_on_disconnect: bool | None = None,
        form_limits: FormOptions | None = None,
    ) -> None:
        """Registers all routes that `router` has now or gets later, with `prefix` before their
        paths.

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
        router.included_by(self, shared)
        self.include_events(router)


class APIRouter(Registering):
    """Routes of one subject, in a module of their own, that an app or another router includes.

    Their signatures are read when they are included. `lifespan`, `on_startup` and `on_shutdown` are
    as those of an App, and become parts of the app's that includes the router. `route_class` is the
    class of its routes, which derives from APIRoute. `routes` are registered at once.
    `redirect_slashes` and `dependency_overrides_provider` are accepted for classes that pass them
    on; the including app decides both.
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
        timeout: float | None = None,
        cancel_on_disconnect: bool | None = None,
        form_limits: FormOptions | None = None,
        lifespan: Lifespan | None = None,
        on_startup: Sequence[Callable[[], Any]] | None = None,
        on_shutdown: Sequence[Callable[[], Any]] | None = None,
        route_class: type[Route] = APIRoute,
        strict_content_type: bool | None = None,
        routes: Sequence[Route | WebSocketRoute | Mount | Host] | None = None,
        redirect_slashes: bool = True,
        default: None = None,
        dependency_overrides_provider: Any = None,
    ) -> None:
        if default is not None:
            raise TypeError("APIRouter(): default is the including app's affair: give it None")
        self._shared = Shared.of(dict(locals()), "APIRouter()")
        self.route_class = route_class
        self.routes: list[Route | WebSocketRoute | Mount | Host] = []
        self._alone: Any = None
        self._includers: list[tuple[Callable[[], Registering | None], Shared]] = []
        self.set_events(lifespan, on_startup, on_shutdown)
        for route in routes or ():
            include_route(self, route, Shared())

    @property
    def prefix(self) -> str:
        """The prefix of all paths of the router."""
        return self._shared.prefix

    def _prefixed(self, path: str) -> str:
        return self.prefix + path

    def _before_all(self) -> Sequence[Depends]:
        return self._shared.dependencies

    def add_api_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] = ("GET",),
        **options: Unpack[RouteOptions],
    ) -> None:
        """Records a handler, which is registered when the router is included.

        Raises: TypeError for an unknown option or methods that aren't a list.
        """
        check_path(path, "get", self._owner)
        check_options(options, "get", self._owner)
        names = method_names(methods)
        path = self.prefix + path
        self.take(self._make_route(path, names, endpoint, self._shared.options(options)))

    @named_options
    def add_api_websocket_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None = None,
        *,
        dependencies: Sequence[Depends] | None = None,
    ) -> None:
        """Records an `async def` handler for WebSockets.

        Raises: TypeError or ValueError when the path, the handler or an option can't be used.
        """
        check_path(path, "websocket", self._owner)
        before = check_dependencies(dependencies or (), f"@{self._owner}.websocket()")
        all_before = (*self._shared.dependencies, *before)
        self.take(APIWebSocketRoute(self.prefix + path, endpoint, name, all_before))

    def take(self, route: Any) -> None:
        """Adds a route of any kind as it is, also to apps that have included the router already."""
        self.routes.append(route)
        for includer, shared in self._includers:
            if (owner := includer()) is not None:
                include_route(owner, route, shared)

    def included_by(self, owner: Registering, shared: Shared) -> None:
        """Remembers an app or router that gets later routes, too, for as long as it is there."""
        self._includers.append((weakref.ref(owner), shared))

    @named_options
    def mount(
        self, path: str, app: Any, name: str | None = None, *, interface: str = "auto"
    ) -> None:
        """Mounts another app below `path` in the app that includes the router.

        Raises: TypeError or ValueError, when the router is included, for a path or an app that
        can't be mounted.
        """
        self.take(Mount(self.prefix + path, app, name=name, interface=interface))

    def host(self, host: str, app: Any, name: str | None = None) -> None:
        """Lets another app respond for `host` in the app that includes the router."""
        self.take(Host(host, app, name))

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """As `App.url_path_for`, within the router."""
        return find_by_name(self.routes, name, path_params)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The router alone, as an ASGI app, with the routes that it has at the first request."""
        if self._alone is None:
            self._alone = router_makers[0](self.routes)
        await self._alone(scope, receive, send)


def __getattr__(name: str) -> Any:
    if name in later:
        return later[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
