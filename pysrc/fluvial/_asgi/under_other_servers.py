"""A Fluvial app under another ASGI server: `await app(scope, receive, send)`.

C looks up routes and binds arguments, as on Fluvial's own server. Handlers are called as they are
for an app with middleware, and their responses are sent as ASGI messages. WebSocket handlers are
run by the same Runner as on Fluvial's own server, only with a different WebSocket class.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from .. import _core
from .._application.core_options import core_options
from .._application.exception_handlers import ErrorHandlers, has_responded
from .._application.lifespan import running
from .._application.matching import ON_REQUEST, path_below, tell_route
from .._application.middleware import make_entry
from .._application.websocket_runner import Runner
from .._calling.threads import call_on_loop
from ..exceptions import (
    HTTPException,
    WebSocketDisconnect,
    WebSocketException,
)
from ..responses import Response, checked
from ..websockets import CLOSED, WAITING
from .adopted_requests import AdoptedRequest, AdoptedWebSocket
from .body_limit import LIMITED_BODY
from .layered_lifespan import answer, heeds_lifespan, is_passed_on, reach, through_layers
from .mounts import MountedBelow
from .noted_send import NotedSend
from .responses import as_denial, has_denials, respond_to_exception, send_response

if TYPE_CHECKING:
    from ..applications import App
    from ..requests import HTTPConnection, Request
    from .mounts import Mount
    from .protocol import Asgi3, Message, Receive, Send

BODY_LIMIT = 16 * 1024 * 1024  # bytes; the default of Fluvial's own server


def adopt(core: _core.Server, scope: Message, receive: Receive) -> Any:
    """The request or WebSocket of a scope; its route is found, and its arguments are bound, in C.

    `core.release` must be called with it.
    """
    websocket = scope["type"] == "websocket"
    whole = scope.get("path", "")  # missing from scopes that a program has made by hand
    path = (
        (path_below(scope) if whole else "/")
        .encode(errors="surrogatepass")
        .decode(errors="replace")
    )
    adopted: Any = core.adopt(
        scope.get("method", "GET").upper(),
        0 if scope.get("http_version") == "1.0" else 1,
        path,
        scope.get("raw_path") or quote(whole, errors="replace").encode(),
        scope.get("query_string", b""),
        scope.get("headers", ()),
        websocket,
    )
    adopted._scope = scope
    adopted._receive = receive
    adopted._scheme = scope.get("scheme", "ws" if websocket else "http")
    return adopted


def _tell_route(request: HTTPConnection) -> None:
    route: Any = None if request.plan is None else request.plan.info
    if hasattr(route, "endpoint") and not isinstance(route.endpoint, MountedBelow):
        assert request._scope is not None
        tell_route(request._scope, route, request.path_params)
        if (notice := request._scope.get(ON_REQUEST)) is not None:
            notice(request)


def _make_core(
    app: App | None, router: _core.Router, websockets: _core.Router, errors: ErrorHandlers
) -> _core.Server:
    """A server without a loop, which only adopts requests."""
    return _core.Server(
        None,
        router,
        None,
        app=app,
        request_type=AdoptedRequest,
        **core_options(errors),
        websockets=(
            websockets,
            AdoptedWebSocket,
            WebSocketDisconnect,
            WebSocketException,
            Runner(errors).run,  # type: ignore[arg-type]  # likewise
            call_on_loop,
        ),
    )


@cache
def bare_core() -> _core.Server:
    """For requests that middleware makes of scopes which no app of ours has seen."""
    return _make_core(None, _core.Router(), _core.Router(), ErrorHandlers())


class AsgiSide:
    """What one app needs to be called as an ASGI app."""

    def __init__(self, app: App) -> None:
        self._app = app
        app.plan_routes()
        stack = app.compile_middleware()
        self.layers = stack.outer or self.inside
        self.outermost = stack.watched or stack.outer
        self._plain = not stack.functions
        entry = make_entry(stack.functions, app.errors, app.mounts, always=True)
        assert entry is not None
        self._entry = entry
        self._runner = Runner(app.errors)
        self.body_limit = BODY_LIMIT  # of routes without one; 0 where our own server has looked
        self.limits_time = True  # by the routes' timeouts; False where our own server does
        self.core = _make_core(app, app.table, app.websockets.router, app.errors)

    async def call(self, scope: Message, receive: Receive, send: Send) -> None:
        """The app with its middleware, for another server or another app."""
        if scope["type"] == "lifespan":
            if is_passed_on(scope):
                await (self.outermost or self.inside)(scope, receive, send)
            elif self.outermost is not None and heeds_lifespan(self._app):
                await through_layers(self.outermost, self._app, _running, scope, receive, send)
            else:
                await answer(self._app, _running, scope, receive, send)
        elif self.outermost is not None:
            await self._guarded(scope, receive, send)
        elif scope["type"] == "websocket":
            await self.websocket(scope, receive, send)
        else:
            await self.http(scope, receive, send)

    async def _guarded(self, scope: Message, receive: Receive, send: Send) -> None:
        """Calls the outermost middleware, and makes the response to what it raises.

        On our own server C does this, see `Bridge`.
        """
        assert self.outermost is not None
        noted = NotedSend(send)
        try:
            await self.outermost(scope, receive, noted)
        except Exception as exc:
            if scope["type"] != "http":
                raise
            if noted.started:
                await self._tell_late(scope, receive, exc)
                raise
            request: Any = adopt(self.core, scope, receive)
            self.core.release(request)
            await respond_to_exception(self._app.errors, request, send, exc)

    async def _tell_late(self, scope: Message, receive: Receive, exc: Exception) -> None:
        request: Any = adopt(self.core, scope, receive)
        self.core.release(request)
        await self._app.errors.tell_last(request, exc)

    def telling_late(self, outermost: Asgi3) -> Asgi3:
        """The outermost middleware on our own server: the handler for Exception learns of what it
        raises after the response has begun."""
        if not self._app.errors.handles_everything:
            return outermost

        async def telling(scope: Message, receive: Receive, send: Send) -> None:
            noted = NotedSend(send)
            try:
                await outermost(scope, receive, noted)
            except Exception as exc:
                if scope["type"] == "http" and noted.started:
                    await self._tell_late(scope, receive, exc)
                raise

        return telling

    async def inside(self, scope: Message, receive: Receive, send: Send) -> None:
        """What the innermost ASGI middleware is around: functions, mounts and routes.

        Raises: exceptions of handlers for which there is no exception handler.
        """
        if scope["type"] == "websocket":
            await self.websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await reach(self._app, _running, scope, receive, send)
            return
        request: AdoptedRequest = adopt(self.core, scope, receive)
        request._send = send
        self._tell_found(request)
        if (limited := scope.get(LIMITED_BODY)) is not None and request.plan is not None:
            limited.replace_limit(request.plan.body_limit)
        try:
            mount = self._mount_of(request) if self._plain and request.plan is None else None
            if mount is None:
                await self._in_time(self._respond_inside(request, send), request, send)
            else:
                await self._pass_on(mount, request, send)
        finally:
            self._end(request)

    def _tell_found(self, request: AdoptedRequest) -> None:
        """Says in the scope which route the request is for, also if that has another method."""
        _tell_route(request)
        if request.plan is None and request.route_status == 405:
            assert request._scope is not None
            found = self._app.find_partial(request._scope)
            if found is not None:
                tell_route(request._scope, *found)

    async def _in_time(self, work: Awaitable[None], request: AdoptedRequest, send: Send) -> None:
        """Awaits `work` as long as the route's timeout allows; then there is a 504 instead.

        Raises: TimeoutError when the time is over in the middle of the response.
        """
        plan = request.plan
        if plan is None or plan.timeout <= 0 or not self.limits_time:
            await work
            return
        try:
            async with asyncio.timeout(plan.timeout / 1000) as limit:
                await work
        except TimeoutError:
            if not limit.expired() or has_responded(request):
                raise
            response = await self._app.errors.respond(request, HTTPException(504))
            await send_response(response, request, send)

    async def _respond_inside(self, request: AdoptedRequest, send: Send) -> None:
        await send_response(await self._respond(request), request, send)

    def _end(self, request: AdoptedRequest) -> None:
        if request._at_end is not None:
            request._at_end()
        self.core.release(request)

    async def _respond(self, request: AdoptedRequest) -> Response:
        try:
            await self._collect(request)
            response = await self._entry(request)
        except Exception as exc:
            if self._app.errors.find(exc) is None:
                raise
            response = await self._app.errors.respond(request, exc)
        if response.body is not None:
            checked(response)
        return response

    def _mount_of(self, request: HTTPConnection) -> Mount | None:
        return next((each for each in self._app.mounts if each.fits(request.path)), None)

    async def _pass_on(self, mount: Mount, request: AdoptedRequest, send: Send) -> None:
        """Calls a mounted app, whose HTTPException the exception handlers get."""
        noted = NotedSend(send)
        try:
            await mount.asgi(mount.below(request._scope), request._receive, noted)
        except Exception as exc:
            if noted.started or self._app.errors.find(exc) is None:
                raise
            await respond_to_exception(self._app.errors, request, send, exc)

    async def http(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handles one request of an app without ASGI middleware, and sends its response."""
        request = adopt(self.core, scope, receive)
        request._send = send
        self._tell_found(request)
        try:
            await self._in_time(self._respond_and_send(request, send), request, send)
        finally:
            self._end(request)

    async def _respond_and_send(self, request: AdoptedRequest, send: Send) -> None:
        try:
            await self._collect(request)
            response = await self._entry(request)
            if response.body is not None:
                checked(response)
        except Exception as exc:
            response = await self._app.errors.respond(request, exc)
        try:
            await send_response(response, request, send)
        except Exception as exc:
            if response.body is not None or has_responded(request):
                await self._app.errors.tell_last(request, exc)
                raise
            response = await self._app.errors.respond(request, exc)
            await send_response(response, request, send)

    async def _collect(self, request: AdoptedRequest) -> None:
        """Reads the whole body if the handler wants it as a whole.

        Raises: HTTPException with status 413 when it is larger than the limit.
        """
        plan = request.plan
        if plan is None or plan.body != _core.BODY_COLLECT:
            return
        limit = self.body_limit if plan.body_limit < 0 or not self.body_limit else plan.body_limit
        size = 0
        while piece := await request.read():
            size += len(piece)
            if limit and size > limit:
                raise HTTPException(413)
            self.core.collect(request, piece)
        request.collected = True

    # ---- WebSockets ------------------------------------------------------------------------

    async def websocket(self, scope: Message, receive: Receive, send: Send) -> None:
        """Runs one WebSocket: the route's handler, or the app that is mounted at its path."""
        websocket: AdoptedWebSocket = adopt(self.core, scope, receive)
        try:
            if websocket.plan is not None:
                _tell_route(websocket)
                await self._converse(websocket, send)
                return
        finally:
            self.core.release(websocket)
        mount = self._mount_of(websocket)
        if mount is not None and mount.foreign.interface != "wsgi":
            await mount.asgi(mount.below(scope), receive, send)
            return
        await self._respond_to_offer(scope, receive, send)

    async def _converse(self, websocket: AdoptedWebSocket, send: Send) -> None:
        plan = websocket.plan
        assert plan is not None
        if not await websocket.connect(send):
            return
        try:
            args, kwargs = plan.bind(websocket)
            response = await self._runner.run(websocket, plan.handler(*args, **kwargs))
        except Exception as exc:
            response = await self._app.errors.respond(
                websocket,  # type: ignore[arg-type]  # users' handlers get either kind
                exc,
            )
        if response is not None and websocket.session_state == WAITING:  # not closed by a handler
            await deny(websocket, response)

    async def _respond_to_offer(self, scope: Message, receive: Receive, send: Send) -> None:
        """Responds to an opening handshake that no route and no mounted app takes.

        It is treated like any other request, as on our own server.
        """
        if (await receive())["type"] == "websocket.disconnect":
            return
        if not has_denials(scope):
            await send({"type": "websocket.close"})
            return
        scheme = "https" if scope.get("scheme") == "wss" else "http"
        request = {**scope, "type": "http", "method": "GET", "scheme": scheme, "extensions": {}}
        call = self.http if self.outermost is None else self.inside
        await call(request, _without_body(receive), as_denial(send))


# ---- WebSockets that are not accepted ---------------------------------------------------------


async def deny(websocket: AdoptedWebSocket, response: Response) -> None:
    """Rejects the WebSocket with `response`, or with 403 if the server can't send a response."""
    if has_denials(websocket._scope):
        websocket.session_state = CLOSED
        send = as_denial(websocket._send)
        await send_response(response, cast("Request", websocket), send)
        return
    await websocket.close()
    rest = Response()
    rest.take_over(response)
    await rest.clean_up()


def _without_body(receive: Receive) -> Receive:
    """A `receive` that gives a WebSocket's events as those of a request without a body."""
    events: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive_request() -> Message:
        if not events:
            await receive()
            events.append({"type": "http.disconnect"})
        return events.pop()

    return receive_request


# ---- the lifespan ------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _running(app: App) -> AsyncIterator[None]:
    """Runs the app's lifespan, and within it those of the mounted apps."""
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(running(app))
        for mount in app.mounts:
            await stack.enter_async_context(mount.running())
        yield
