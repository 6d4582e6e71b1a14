"""What an app is put together from: routes, mounted apps, apps of other hosts, in one list."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import _core
from ._application.matching import find_partial
from ._application.paths import find_by_name
from ._application.route_changes import Facts, refresh
from ._application.route_warnings import Registered
from ._application.routes import Route, WebSocketRoute, WebSocketRoutes
from ._application.shared import Shared
from ._asgi.frontends import Frontend
from ._asgi.hosts import Host, HostRouting
from ._asgi.mounts import REST, Mount, MountedBelow
from ._calling.options import named_options
from ._include import include_route
from .middleware import Middleware
from .middleware.wsgi import WSGIMiddleware
from .routing import Registering

if TYPE_CHECKING:
    from ._application.dependencies import Change, Dependencies
    from ._application.route_list import RouteList
    from ._asgi.protocol import Message
    from ._asgi.under_other_servers import AsgiSide
    from .datastructures import URLPath


class Composed(Registering):
    """The part of an app that knows all its routes."""

    asgi_side: AsgiSide | None
    middleware_stack: Any
    mounts: list[Mount]
    hosts: list[Host]
    websockets: WebSocketRoutes
    user_middleware: list[Middleware]
    openapi_schema: dict[str, Any] | None
    _http_routes: list[Route]
    _unplanned: list[Route]
    _route_list: RouteList
    _router: _core.Router
    _registered: Registered
    _dependencies: Dependencies
    _redirect_slashes: bool

    _keeps_plans = False  # of routes that have one, while all are registered anew

    @abstractmethod
    def _add_assets(self) -> None:
        """Adds the route of the files of the documentation's pages, which no list has."""

    @abstractmethod
    def _plan_and_add(self, route: Route) -> None:
        """Makes the route's plan and gives it to the table.

        Raises: TypeError or ValueError when the path, the handler or an option can't be used.
        """

    def take(self, route: Any) -> None:
        """Registers a route of any kind as it is.

        Raises: TypeError or ValueError when the path, the handler or an option can't be used.
        """
        match route:
            case Route():
                self._plan_and_add(route)
                self._registered.add(route.given_methods, route.path, route.endpoint)
                route.facts = Facts.of(route)
            case WebSocketRoute():
                self.websockets.add(route, self._dependencies)
                route.facts = Facts.of(route)
            case Host():
                self._add_host(route)
            case Mount():
                self._add_mount(route)
        self._route_list.note(route)

    @property
    def routes(self) -> RouteList:
        """All routes, mounts and hosts, in the order of their registration; it may be changed.

        Raises: RuntimeError for another change than an addition when the app has started.
        """
        return self._route_list

    @routes.setter
    def routes(self, routes: Sequence[Any]) -> None:
        if routes is not self._route_list:  # as after +=
            self._route_list[:] = routes

    @property
    def http_routes(self) -> list[Route]:
        """The routes of requests, in the order in which they match."""
        return self._http_routes

    def find_partial(self, scope: Message) -> tuple[Any, dict[str, Any]] | None:
        """The first route with the path of a request, which has another method, and its parameters;
        `scope` is ASGI's."""
        return find_partial(self._http_routes, scope)

    def _include_one(self, route: Any) -> None:
        include_route(self, route, Shared())

    def _arrange(self) -> None:
        """Registers anew what is in the list."""
        if self.middleware_stack is not None or self.asgi_side is not None:
            raise RuntimeError("the app has started: change its routes before")
        self._rearrange()

    def take_changes(self) -> None:
        """Plans anew the routes whose attributes have been assigned since their registration.

        Raises: TypeError or ValueError when one can't be used so.
        """
        changed = [
            each
            for each in self._route_list
            if isinstance(each, (Route, WebSocketRoute))
            and each.facts is not None
            and not each.facts.are_of(each)
        ]
        if not changed:
            return
        for each in changed:
            refresh(each)
        self._keeps_plans = True
        try:
            self._rearrange()
        finally:
            self._keeps_plans = False

    def _rearrange(self) -> None:
        listed = list(self._route_list)
        before = (self._router, self.websockets, self._registered)
        lists: tuple[list[Any], ...] = (
            *(self._http_routes, self._unplanned, self.mounts, self.hosts),
            *(self.parts_lifespans, self._route_list),
        )
        contents = [list(each) for each in lists]
        try:
            self._register_anew(listed)
        except BaseException:
            self._router, self.websockets, self._registered = before
            for each, content in zip(lists, contents, strict=True):
                list.__setitem__(each, slice(None), content)
            raise
        self._router = _put_in_place(before[0], self._router)
        self.websockets.router = _put_in_place(before[1].router, self.websockets.router)
        self.openapi_schema = None

    def _register_anew(self, routes: list[Any]) -> None:
        known = {id(each) for each in (*self._http_routes, *self.websockets.routes)}
        self._router = _core.Router(redirect_slashes=self._redirect_slashes)
        self.websockets = WebSocketRoutes()
        self._registered = Registered(warns=False)
        parts = (self._unplanned, self.mounts, self.hosts, self.parts_lifespans)
        for old in (self._http_routes, *parts):
            old.clear()
        list.clear(self._route_list)
        self._add_assets()
        for each in routes:
            (self.take if id(each) in known else self._include_one)(each)

    @named_options
    def mount(
        self, path: str, app: Any, name: str | None = None, *, interface: str = "auto"
    ) -> None:
        """Mounts another app, ASGI or WSGI: it gets the requests below `path` that match no route.

        If several mounted apps match, the one with the longest path is called; one whose path has
        parameters comes in its turn among the routes. `interface` is "auto", "asgi3", "asgi2" or
        "wsgi". The lifespan of `app` runs within this app's. `name` is for url_path_for: of a path
        below, or with ":" and the name of a route of `app`.

        Raises: ValueError for a malformed path, InterfaceError when `app` isn't an app.
        """
        if isinstance(app, Composed) and interface == "fluvial":
            interface = "asgi3"
        if isinstance(app, WSGIMiddleware):
            app, interface = app.app, "wsgi"
        self.take(Mount(path, app, name=name, interface=interface))

    def _frontend_changes(self) -> Iterator[Change]:
        for mount in self.mounts:
            if isinstance(mount, Frontend):
                yield from mount.changes(self._dependencies)

    def _add_mount(self, mount: Mount) -> None:
        if isinstance(mount, Frontend):
            mount.serve_in(self)
        self._registered.add(("mount",), mount.prefix, mount.app)
        if not mount.parameters:
            self.mounts.append(mount)
            self.mounts.sort(key=lambda mount: len(mount.prefix), reverse=True)
            return
        endpoint = MountedBelow(mount)
        for path in (mount.prefix, f"{mount.prefix}/{{{REST}:path}}"):
            self._plan_and_add(Route(path, endpoint, name="", include_in_schema=False))
            self.websockets.add(WebSocketRoute(path, endpoint), self._dependencies)
        self.parts_lifespans.append(lambda _: mount.running())

    @named_options
    def host(self, host: str, app: Any, name: str | None = None) -> None:
        """Lets another app, ASGI or WSGI, respond for `host`, whatever routes this one has.

        `{name}` in `host` fits any label and is a path parameter in `app`: "{shop}.example.org".
        The first host that fits counts. The lifespan of `app` runs within this app's. All requests
        then take the way of ASGI middleware. `name` is for url_path_for, as with `mount`.

        Raises: ValueError for a malformed host, InterfaceError when `app` isn't an app,
        RuntimeError when the app has started.
        """
        if self.middleware_stack is not None:
            raise RuntimeError("the app has started: add hosts before")
        self.take(Host(host, app, name))

    def _add_host(self, host: Host) -> None:
        if not any(layer.cls is HostRouting for layer in self.user_middleware):
            self.user_middleware.append(Middleware(HostRouting, hosts=self.hosts))
        self.hosts.append(host)
        self.parts_lifespans.append(lambda _: host.mount.running())

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """The path of the first route with this name and these parameters, percent-encoded.

        Raises: NoMatchFound when there is none; ValueError when it could not match a value.
        """
        return find_by_name(self._route_list, name, path_params)


def _put_in_place(old: _core.Router, made: _core.Router) -> _core.Router:
    """The old table, which servers may know already, with the routes of the one just made."""
    old.swap(made)
    return old
