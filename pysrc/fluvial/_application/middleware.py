"""Middleware: functions around every request, outermost first, with the routes inside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from .. import _core
from .._calling.threads import call_handler_in_pool
from ..exceptions import HTTPException
from ..requests import Request
from ..responses import Response

if TYPE_CHECKING:
    from .._asgi.mounts import Mount
    from .exception_handlers import ErrorHandlers

CallNext = Callable[[Request], Awaitable[Response]]
Dispatch = Callable[[Request, CallNext], Awaitable[Response]]
Entry = Callable[[Request], Coroutine[Any, Any, Response]]


def make_entry(
    middleware: Sequence[Dispatch],
    errors: ErrorHandlers,
    mounts: list[Mount],
    *,
    always: bool = False,
) -> Entry | None:
    """The function that is called for every request; the last of `middleware` is outermost.

    Without middleware it is None, unless `always` is set.
    """
    if not middleware and not always:
        return None
    entry = _innermost(errors, mounts)
    for each in middleware:
        entry = _around(each, entry)
    return _outermost(entry)


def _outermost(call_next: Entry) -> Entry:
    """Adds the outermost layer.

    A handler's response may have background tasks and clean-ups. If a middleware returns another
    response instead, that one takes them over; if it raises an exception, the clean-ups run here.
    """

    async def entry(request: Request) -> Response:
        try:
            response = await call_next(request)
        except BaseException:
            own = _take_response(request)
            if own is not None:
                await own.clean_up()
            raise
        own = _take_response(request)
        if own is not None and own is not response:
            response.take_over(own)
        return response

    return entry


def _keep_response(request: Request, response: Response) -> None:
    """Remembers a response that writes itself, and so may have background tasks or clean-ups."""
    earlier = _take_response(request)
    if earlier is not None:  # a middleware has called call_next() twice
        response.take_over(earlier)
    if response.body is None:
        request._store()["own response"] = response


def _take_response(request: Request) -> Response | None:
    cache = request._cache
    return None if cache is None else cache.pop("own response", None)


def _around(middleware: Dispatch, call_next: Entry) -> Entry:
    async def entry(request: Request) -> Response:
        response = await middleware(request, call_next)
        _set_apart(response)
        return response

    return entry


def _set_apart(response: Any) -> None:
    """Keeps the response's background where the next layer can't replace it by its own."""
    if getattr(response, "_background", None) is not None:  # it may be anything that is returned
        response.set_background_apart()


def _innermost(errors: ErrorHandlers, mounts: list[Mount]) -> Entry:
    """The routes, with the user's exception handlers around them."""

    async def respond(request: Request) -> Response:
        if request._cache is not None:  # of a stream that middleware has read, the rest is left
            request._cache.pop("streamed", None)
        try:
            response = await _respond(request, mounts)
        except Exception as exc:
            if errors.find(exc) is None:
                raise  # middleware may handle it; otherwise the response is a 500
            response = await errors.respond(request, exc)
        _keep_response(request, response)
        _set_apart(response)
        return response

    return respond


async def _respond(request: Request, mounts: list[Mount]) -> Response:
    if request.route_status != 200:
        for mount in mounts:
            if mount.fits(request.path):
                return await mount.respond(request)
        return _respond_unrouted(request)
    assert request.plan is not None
    return await call_plan(request.plan, request)


async def call_plan(plan: _core.Plan, request: Request) -> Response:
    """Calls a route's handler from Python and returns its response. Raises: what the handler
    raises."""
    args, kwargs = plan.bind(request)
    if plan.kind == _core.TASK:
        result = await plan.handler(*args, **kwargs)
    elif plan.kind == _core.INLINE:
        result = plan.handler(*args, **kwargs)
    else:
        result = await call_handler_in_pool(_call_handler, plan.handler, args, kwargs)
    while isinstance(result, CoroutineType):  # from a `def` that calls an `async def`
        result = await result
    response: Response = plan.respond(request, result)
    return response


def _call_handler(handler: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
    try:
        return handler(*args, **kwargs)
    except StopIteration as exc:  # a future can't hold a StopIteration
        raise RuntimeError("the handler raised StopIteration") from exc


def _respond_unrouted(request: Request) -> Response:
    headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in request.route_headers}
    if request.route_status < 400:
        return Response(status_code=request.route_status, headers=headers)
    raise HTTPException(request.route_status, headers=headers)
