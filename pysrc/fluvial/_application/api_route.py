"""Routes whose handling of a request a class of the user's is around, and routes of functions that
take the request alone.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from .. import _core
from .._calling.callables import is_async
from ..exceptions import HTTPException
from ..requests import Request
from ..responses import Response
from .middleware import call_plan
from .routes import Route

if TYPE_CHECKING:
    from .dependencies import Dependencies

RouteHandler = Callable[[Request], Coroutine[Any, Any, Response]]


class APIRoute(Route):
    """One path with its handler.

    A class that derives from it may override `get_route_handler()`, to do something around every
    request of its routes: `APIRouter(route_class=…)`.
    """

    _within: _core.Plan | None = None  # what the user's class is around

    def get_route_handler(self) -> RouteHandler:
        """The function that handles a request of the route, to be called by an overriding one.

        It may be given another request, `MyRequest(request.scope, request.receive)`.
        """
        plan = self._within
        assert plan is not None

        async def handle(request: Request) -> Response:
            return await _handle(plan, request)

        return handle

    def compile(self, dependencies: Dependencies) -> _core.Plan:
        """A plan with the overrides of now. Raises: as `make_plan`."""
        plan = Route.compile(self, dependencies)
        if type(self).get_route_handler is APIRoute.get_route_handler:
            return plan
        self._within = plan
        return _around_request(self.get_route_handler(), self)


class PlainRoute(APIRoute):
    """A path with a function of the request alone, `def` or `async def`, that returns a response.

    Its signature isn't read.
    """

    def make_plan(self, dependencies: Dependencies) -> _core.Plan:
        """The plan; there is nothing in it that could be wrong."""
        self.plan = self.compile(dependencies)
        return self.plan

    def compile(self, dependencies: Dependencies) -> _core.Plan:
        """The same plan each time."""
        return _around_request(self.endpoint, self)


def _around_request(handler: Callable[..., Any], route: Route) -> _core.Plan:
    later = is_async(handler)
    return _core.Plan(
        handler,
        kind=_core.TASK if later else _core.POOL,
        params=(_core.Param(_core.REQUEST, "request", "request"),),
        body=_core.BODY_STREAM if later else _core.BODY_COLLECT,
        body_limit=route.options.get("body_limit"),
        info=route,
    )


async def _handle(plan: _core.Plan, request: Request) -> Response:
    """Handles a request, or one that the user's class has made of its scope.

    Raises: what the handler raises, and HTTPException 413 for a body beyond the route's limit.
    """
    body = await request.body() if plan.body == _core.BODY_COLLECT else None
    if 0 <= plan.body_limit < len(body or b""):
        raise HTTPException(413)
    adopter = request.app.adopter()  # before it is asked to make a request
    if request._scope is None:
        request = type(request)(request.scope, request.receive)
    if body is not None:
        adopter.collect(request, body, type(request).body is not Request.body)
    return await call_plan(plan, request)
