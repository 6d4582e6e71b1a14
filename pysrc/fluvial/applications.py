"""App: the routes, middleware and handlers of one application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from . import _core
from ._application.api_route import APIWebSocketRoute
from ._application.dependencies import Dependencies, apply
from ._application.exception_handlers import ErrorHandlers, Handler, check_key
from ._application.manners import FLUVIAL
from ._application.middleware import Dispatch, Entry, make_entry
from ._application.option_types import check_app_options
from ._application.paths import add_to_table
from ._application.route_list import RouteList
from ._application.route_warnings import Registered
from ._application.routes import (
    Route,
    RouteOptions,
    WebSocketRoute,
    WebSocketRoutes,
    check_options,
    method_names,
)
from ._application.shared import Shared
from ._application.stack import Stack, compile_stack
from ._asgi import connections as connections  # gives requests and responses their ASGI side
from ._calling.callables import callable_name, is_async
from ._calling.options import check_path, named_options
from ._composed import Composed
from ._forms.limits import DEFAULTS, FormOptions
from ._signature.foreign import check_callback, check_dependencies
from .datastructures import State
from .middleware import Middleware, check_layer
from .middleware.base import BaseHTTPMiddleware
from .middleware.errors import ServerErrorMiddleware
from .openapi._app import DESCRIPTION, Documented
from .routing import APIRouter

if TYPE_CHECKING:
    from ._application.events import Lifespan
    from ._asgi.hosts import Host
    from ._asgi.mounts import Mount
    from ._asgi.under_other_servers import AsgiSide
    from ._starlette import Starlette as Starlette
    from .params import Depends
    from .responses import Response

__all__ = ["App", "FastAPI", "Starlette"]

later: dict[str, Any] = {}  # Starlette, which derives from App
F = TypeVar("F", bound=Callable[..., Any])


class App(Documented, Composed):
    """A web application.

    `lifespan(app)` is an async context manager that is entered before the first request and left
    after the last. It yields nothing, or a dict, of which each `request.state` starts as a copy.
    Without it, the functions in `on_startup` and `on_shutdown` are called then. `dependencies` are
    called for every route. `responses`, `callbacks`, `deprecated`, `include_in_schema`,
    `default_response_class` and `generate_unique_id_function` are for all routes that don't say
    otherwise, and so are `max_body_size`, in bytes, `timeout`, the seconds that a response may
    take, and `form_limits`, for parameters that come from forms: `max_fields`, `max_files` and
    `max_part_size`, the most bytes of a field.
    `routes` are registered at once.

    The OpenAPI document at `openapi_url` has `title`, `summary`, `description`, `version`,
    `terms_of_service`, `contact`, `license_info`, `openapi_tags`, `openapi_external_docs`,
    `servers` and the routes of `webhooks`. With `separate_input_output_schemas`, a model has two
    schemas where what is read and what is written differ. Swagger UI, ReDoc and Scalar show it at
    `docs_url`, `redoc_url` and `scalar_url`; none of these exists if it is None, or if
    `openapi_url` is. `root_path` is the prefix that a proxy removes from each path; with
    `root_path_in_servers` it is the document's first server.

    With `redirect_slashes`, a path that has a route only with or only without a slash at its end is
    redirected there.
    `middleware` is around all requests and WebSockets, the first outermost.
    """

    manners = FLUVIAL
    middleware_stack: Any = None  # the outermost layer, once the app has started
    is_part = False  # of another app, which is what requests have as `app`, when mounted in it

    @named_options
    def __init__(
        self,
        *,
        routes: Sequence[Route | WebSocketRoute | Mount | Host] | None = None,
        title: str = "Fluvial",
        summary: str | None = None,
        description: str = "",
        version: str = "0.1.0",
        openapi_url: str | None = "/openapi.json",
        openapi_tags: list[dict[str, Any]] | None = None,
        servers: list[dict[str, Any]] | None = None,
        dependencies: Sequence[Depends] | None = None,
        middleware: Sequence[Middleware] | None = None,
        default_response_class: type[Response] | None = None,
        redirect_slashes: bool = True,
        docs_url: str | None = "/docs",
        redoc_url: str | None = "/redoc",
        scalar_url: str | None = None,
        swagger_ui_oauth2_redirect_url: str | None = "/docs/oauth2-redirect",
        swagger_ui_init_oauth: dict[str, Any] | None = None,
        swagger_ui_parameters: dict[str, Any] | None = None,
        exception_handlers: dict[int | type[BaseException], Handler] | None = None,
        on_startup: Sequence[Callable[[], Any]] | None = None,
        on_shutdown: Sequence[Callable[[], Any]] | None = None,
        lifespan: Lifespan | None = None,
        terms_of_service: str | None = None,
        contact: dict[str, Any] | None = None,
        license_info: dict[str, Any] | None = None,
        root_path: str = "",
        root_path_in_servers: bool = True,
        responses: dict[int | str, dict[str, Any]] | None = None,
        callbacks: Sequence[Any] | None = None,
        webhooks: APIRouter | None = None,
        deprecated: bool | None = None,
        include_in_schema: bool = True,
        generate_unique_id_function: Callable[[Any], str] | None = None,
        separate_input_output_schemas: bool = True,
        openapi_external_docs: dict[str, Any] | None = None,
        max_body_size: int | None = None,
        timeout: float | None = None,
        cancel_on_disconnect: bool | None = None,
        form_limits: FormOptions | None = None,
        strict_content_type: bool | None = None,
    ) -> None:
        given = check_app_options(locals())
        for name in DESCRIPTION:
            setattr(self, name, given[name])
        self.servers = list(servers or ())
        self.webhooks = webhooks or APIRouter()
        everywhere = check_dependencies(given.pop("dependencies") or (), "App()")
        self._shared = Shared.of(given, "App()")
        self.state = State()
        self._route_list = RouteList(self._include_one, self._arrange)
        self._http_routes: list[Route] = []
        self._dependencies = Dependencies(everywhere, self._override)
        self.set_events(lifespan, on_startup, on_shutdown)
        self._redirect_slashes = redirect_slashes
        self._router = _core.Router(redirect_slashes=redirect_slashes)
        self.user_middleware: list[Middleware] = [check_layer(each) for each in middleware or ()]
        self._stack: Stack | None = None
        self._errors = ErrorHandlers(closes_unfit=self.manners.closes_unfit)
        self._unplanned: list[Route] = []
        self._registered = Registered(self.manners.warns_of_duplicates)
        self.websockets = WebSocketRoutes()
        self.mounts: list[Mount] = []
        self.hosts: list[Host] = []
        self.asgi_side: AsgiSide | None = None
        self.served_root = ""  # the root path with which our own server runs the app
        self.lifespan_state: dict[str, Any] = {}
        self.form_limits = DEFAULTS
        for key, handler in (exception_handlers or {}).items():
            self._errors.add(key, handler)
        self._add_pages()
        self._route_list.extend(routes or ())

    # ---- routes ----------------------------------------------------------------------------

    def add_api_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] = ("GET",),
        **options: Unpack[RouteOptions],
    ) -> None:
        """Registers a handler and reads its signature.

        Raises: TypeError or ValueError, which names the route and what is wrong with it, when the
        path, an option or the signature can't be used.
        """
        check_path(path, "get")
        check_options(options, "get")
        names = method_names(methods)
        options = {**self._shared.options(options), "manners": self.manners}
        self.take(self._make_route(path, names, endpoint, options))

    def _plan_and_add(self, route: Route) -> None:
        try:
            if route.plan is None or not self._keeps_plans:
                route.make_plan(self._dependencies)
        except NameError:
            # An annotation uses a name that is defined later: the route is planned at startup.
            self._unplanned.append(route)
        except TypeError as exc:
            raise type(exc)(f"{_describe(route)}: {exc}") from exc
        self._http_routes.append(route)
        if not self._unplanned:
            self._add_to_router(route)
        elif route not in self._unplanned:
            self._unplanned.append(route)  # so that the order of registration is kept

    def plan_routes(self) -> None:
        """Plans the routes whose annotations used names that weren't defined yet.

        Raises: NameError when a name is still undefined, TypeError or ValueError when a route can't
        be used; each names the route.
        """
        self.check_methods()
        self.take_changes()
        while self._unplanned:
            route = self._unplanned[0]
            try:
                if route.plan is None:
                    route.make_plan(self._dependencies)
            except NameError as exc:
                hint = "; if it is imported for type checkers alone, import it always"
                raise NameError(f"{_describe(route)}: {exc}{hint}") from exc
            except TypeError as exc:
                raise type(exc)(f"{_describe(route)}: {exc}") from exc
            self._add_to_router(route)
            del self._unplanned[0]
        self.websockets.plan(self._dependencies)

    def _add_to_router(self, route: Route) -> None:
        assert route.plan is not None
        try:
            add_to_table(self._router, route.given_methods, route.path, route.plan)
        except ValueError as exc:
            raise ValueError(f"{_describe(route)}: {exc}") from exc

    @named_options
    def add_api_websocket_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None = None,
        *,
        dependencies: Sequence[Depends] | None = None,
    ) -> None:
        """Registers an `async def` handler for WebSockets and reads its signature.

        Raises: TypeError or ValueError, which names the route and what is wrong with it, when the
        path or the signature can't be used.
        """
        check_path(path, "websocket")
        before = check_dependencies(dependencies or (), "@app.websocket()")
        self.take(APIWebSocketRoute(path, endpoint, name, before))

    @property
    def dependency_overrides(self) -> dict[Callable[..., Any], Callable[..., Any]]:
        """Functions that are called instead of dependencies, including those of routers; for tests.

        A change raises TypeError, and is undone, when one of them can't be called for a request.
        """
        return self._dependencies.overrides

    @dependency_overrides.setter
    def dependency_overrides(self, overrides: Mapping[Any, Any] | None) -> None:
        self._dependencies.overrides = overrides

    def _override(self) -> None:
        changes = self._dependencies.changes
        apply(
            [
                *changes(self._router, self._http_routes),
                *changes(self.websockets.router, self.websockets.routes),
                *self._frontend_changes(),
            ]
        )

    # ---- around the routes -----------------------------------------------------------------

    @named_options
    def middleware(self, kind: str = "http") -> Callable[[Dispatch], Dispatch]:
        """Registers the decorated `async def f(request, call_next)` to be called for every request.

        The last one registered is outermost. Raises: ValueError for a kind other than "http".
        """
        if callable(kind):
            name = callable_name(kind)
            raise TypeError(f'write @app.middleware("http"), with parentheses, above {name}')
        if kind != "http":
            raise ValueError(f"there is no middleware of kind {kind!r}, only 'http'")

        def register(func: Dispatch) -> Dispatch:
            if not is_async(func):
                raise TypeError(f"middleware {callable_name(func)} must be an `async def`")
            check_callback(func, "middleware", ("request", "call_next"))
            self.add_middleware(BaseHTTPMiddleware, dispatch=func)
            return func

        return register

    def add_middleware(
        self, middleware_class: Callable[..., Any], *args: Any, **options: Any
    ) -> None:
        """Puts `middleware_class(app, *args, **options)`, an ASGI app, around everything added
        before.

        The last one added is outermost. Raises: TypeError for options that the class doesn't have,
        RuntimeError when the app has started.
        """
        if self.middleware_stack is not None:
            raise RuntimeError("the app has started: add middleware before")
        layer = check_layer(Middleware(middleware_class, *args, **options))
        self.user_middleware.insert(0, layer)

    @named_options
    def exception_handler(self, key: int | type[BaseException]) -> Callable[[F], F]:
        """Registers the decorated `f(request, exc)` for a status or an exception class.

        It returns the response. Raises: TypeError for another key, or when the function can't be
        called with these arguments.
        """
        check_key(key)

        def register(handler: F) -> F:
            self._errors.add(key, handler)
            return handler

        return register

    @named_options
    def add_exception_handler(self, key: int | type[BaseException], handler: Handler) -> None:
        """Registers `handler(request, exc)` for a status or an exception class.

        It returns the response. Raises: TypeError for another key, or when `handler` can't be
        called with these arguments.
        """
        self._errors.add(key, handler)

    # ---- under other servers ---------------------------------------------------------------

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """The app as an ASGI 3 app: under another server, or mounted in another framework."""
        await connections.serve(self, scope, receive, send)

    # ---- for the server --------------------------------------------------------------------

    @property
    def router(self) -> App:
        """The app itself, which is its own router."""
        return self

    @property
    def table(self) -> _core.Router:
        """The routing table."""
        return self._router

    def adopter(self) -> _core.Server:
        """What makes requests of ASGI scopes, with the app's routes."""
        from ._asgi.connections import side_of

        return side_of(self).core

    @property
    def dependencies(self) -> Dependencies:
        """What its routes' dependencies have in common."""
        return self._dependencies

    @property
    def errors(self) -> ErrorHandlers:
        """The exception handlers."""
        return self._errors

    @property
    def middlewares(self) -> list[Middleware]:
        """The middleware, outermost first."""
        return self.user_middleware

    def build_middleware_stack(self) -> Any:
        """The middleware with the routes inside, as an ASGI app.

        Packages that watch apps put another method in its place, which wraps what this returns.
        Otherwise the middleware is called without it.
        """
        return ServerErrorMiddleware(connections.Layers(self), self._errors.last_resort())

    def compile_middleware(self) -> Stack:
        """The middleware, made and compiled once."""
        if self._stack is None:
            self._stack = compile_stack(self.user_middleware, connections.Inside(self))
            self.middleware_stack = self.build_middleware_stack()
            build: Any = self.build_middleware_stack
            if getattr(build, "__func__", None) is not App.build_middleware_stack:
                self._stack = replace(self._stack, watched=self.middleware_stack)
        return self._stack

    def make_entry(self) -> Entry | None:
        """The outermost of the functions around the routes; None if there is none."""
        return make_entry(self.compile_middleware().functions, self._errors, self.mounts)


def _describe(route: Route) -> str:
    return f"route {'|'.join(route.given_methods)} {route.path} ({callable_name(route.endpoint)})"


FastAPI = App  # so that a program moves by changing an import


def __getattr__(name: str) -> Any:
    if name in later:
        return later[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
