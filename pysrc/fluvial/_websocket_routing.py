"""Routes to WebSocket handlers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import _core
from ._application.route_warnings import Registered
from ._calling.callables import Flavour, callable_name
from ._responses import Response
from ._routing import read_captures, read_dependency, warn_of_untaken
from ._signature.plan import make_target
from ._signature.signature import Call, Field, Special, read_call, settle_connection

if TYPE_CHECKING:
    from ._params import Depends


@dataclass(slots=True, eq=False)
class WebSocketRoute:
    """One registered path with its WebSocket handler."""

    path: str
    endpoint: Callable[..., Any]
    name: str | None = None
    dependencies: Sequence[Depends] = ()
    # For WebSocket.path_params: what the pattern's converters make of texts.
    converters: dict[str, Callable[[str], Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.name or callable_name(self.endpoint).rpartition(".")[2]
        captures = read_captures(self.path)
        self.converters = {n: kind for n, (_, kind) in captures.items() if kind is not Any}

    def make_plan(self, dependencies: Sequence[Depends]) -> _core.Plan:
        """Reads the handler's signature; `dependencies` are the app's.

        Raises: TypeError; NameError when an annotation names what isn't defined yet.
        """
        captures = read_captures(self.path)
        call = read_call(self.endpoint, captures)
        if call.flavour is not Flavour.ASYNC:
            raise TypeError("a WebSocket handler must be an `async def`")
        before = [read_dependency(each, captures) for each in (*dependencies, *self.dependencies)]
        for each in (*before, call):
            settle_connection(each, Special.WEBSOCKET)
            _check(each)
        warn_of_untaken(captures, (*before, call))
        target = make_target(call, before, captures)
        if target.program is not None:
            target.program.respond = _nothing
        return _core.Plan(
            target.handler,
            kind=target.kind,
            params=target.params,
            kwnames=target.kwnames,
            body=_core.BODY_DISCARD,
            info=self,
        )


class WebSocketRoutes:
    """An app's WebSocket routes and their table."""

    def __init__(self) -> None:
        self.router = _core.Router()
        self.routes: list[WebSocketRoute] = []
        self._registered = Registered()
        self._planned = 0  # of `routes`, those in the table

    def add(self, route: WebSocketRoute, dependencies: Sequence[Depends]) -> None:
        """Registers a route; planned later when an annotation's name isn't defined yet.

        Raises: TypeError or ValueError that names the route.
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
        """Plans the routes that aren't yet, in their order. Raises: as `add`, and NameError."""
        while self._planned < len(self.routes):
            route = self.routes[self._planned]
            try:
                self.router.add(("GET",), route.path, route.make_plan(dependencies))
            except (NameError, TypeError, ValueError) as exc:
                name = callable_name(route.endpoint)
                raise type(exc)(f"route WebSocket {route.path} ({name}): {exc}") from exc
            self._planned += 1


def _check(call: Call) -> None:
    """A WebSocket has no body and no response. Raises: TypeError."""
    for argument in call.arguments:
        value = argument.value
        if isinstance(value, Call):
            _check(value)
            continue
        has_body = isinstance(value, Field) and value.source == "body"
        if has_body or value in (Special.RESPONSE, Special.BACKGROUND):
            what = "the body" if has_body else "a response"
            raise TypeError(
                f"parameter {argument.name!r} of {callable_name(call.func)} is for {what}, "
                "which a WebSocket doesn't have"
            )


def _nothing(_: Any) -> Response:
    """What a handler returns doesn't matter; its clean-ups run at once."""
    return Response()
