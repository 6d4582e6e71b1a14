"""A Fluvial app under another ASGI server: `await app(scope, receive, send)`.

C looks up routes and binds arguments, as on Fluvial's own server. Handlers are called as they are
for an app with middleware, and their responses are sent as ASGI messages. WebSocket handlers are
run by the same Runner as on Fluvial's own server, only with a different WebSocket class.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from .. import _core
from .._application.exception_handlers import is_answered
from .._application.lifespan import running
from .._application.middleware import make_entry
from .._application.websocket_runner import Runner
from .._calling.threads import call_on_loop
from .._messages.header_fields import check_head
from .._validation.write_json import encode_fallback, encode_json
from ..exceptions import (
    ClientDisconnect,
    HTTPException,
    RequestValidationError,
    WebSocketDisconnect,
    WebSocketException,
)
from ..responses import Response, checked
from ..websockets import CLOSED
from .adopted_requests import AdoptedRequest, AdoptedWebSocket
from .mounts import path_below

if TYPE_CHECKING:
    from .._application.exception_handlers import ErrorHandlers
    from ..applications import App
    from ..requests import Request
    from .protocol import Message, Receive, Send

BODY_LIMIT = 16 * 1024 * 1024  # bytes; the default of Fluvial's own server


class AsgiSender:
    """What `Response.respond` writes to, in place of `_core.Sender`."""

    def __init__(self, send: Send) -> None:
        self.started = False
        self.given_up = False  # because the client has disconnected
        self.watch: asyncio.Future[None] | None = None  # waits until the client disconnects
        self._send = send
        self._start: Message | None = None
        self._body = b""
        self._end: asyncio.Future[None] | None = None

    def start(self, status_code: int, headers: list[tuple[bytes, bytes]], length: int = -1) -> None:
        """Starts the response; its head is sent with the first piece."""
        if self.started:
            raise RuntimeError("the response has already been started")
        check_head(status_code, headers)  # not every server checks it
        headers = list(headers)
        if length >= 0 and not any(name == b"content-length" for name, _ in headers):
            headers.append((b"content-length", b"%d" % length))
        self._start = {
            "type": "http.response.start",
            "status": status_code,
            "headers": headers,
        }
        self.started = True

    async def send(self, data: bytes) -> None:
        """Writes a piece."""
        await self._begin()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def send_file(self, fd: int, offset: int, size: int) -> int:
        """Sends nothing and says so, so that the caller reads the file instead."""
        return 0

    def whole(self, status_code: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Sets the whole response; `end` sends it."""
        self.start(status_code, headers, len(body))
        self._body = body

    def end(self) -> None:
        """Starts to send the end of the response; `finish` waits for that."""
        if self.watch is not None:
            self.watch.cancel()
        if self._end is None:
            self._end = asyncio.ensure_future(self._last())

    async def finish(self) -> None:
        """Sends the end of the response, and returns when the response is complete."""
        self.end()
        assert self._end is not None
        await self._end

    async def _begin(self) -> None:
        start, self._start = self._start, None
        if start is not None:
            await self._send(start)

    async def _last(self) -> None:
        await self._begin()
        await self._send({"type": "http.response.body", "body": self._body})


class AsgiSide:
    """What one app needs to be called by another ASGI server."""

    def __init__(self, app: App) -> None:
        self._app = app
        app.plan_routes()
        entry = make_entry(app.middlewares, app.errors, app.mounts, always=True)
        assert entry is not None
        self._entry = entry
        self._runner = Runner(app.errors)
        self._core = _core.Server(
            None,
            app.router,
            None,
            app=app,
            request_type=AdoptedRequest,
            response_type=Response,
            validation_error=RequestValidationError,
            http_exception=HTTPException,
            client_disconnect=ClientDisconnect,
            encode=encode_json,
            encode_fallback=encode_fallback,
            on_error=app.errors.answer_now,  # type: ignore[arg-type]  # the stub has the C type
            websockets=(
                app.websockets.router,
                AdoptedWebSocket,
                WebSocketDisconnect,
                WebSocketException,
                self._runner.run,  # type: ignore[arg-type]  # likewise
                call_on_loop,
            ),
        )

    async def http(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handles one request and sends its response."""
        request = self._adopt(scope, receive)
        try:
            await self._answer(request, send)
        finally:
            if request._at_end is not None:
                request._at_end()
            self._core.release(request)

    async def _answer(self, request: AdoptedRequest, send: Send) -> None:
        try:
            await self._collect(request)
            response = await self._entry(request)
            if response.body is not None:
                checked(response)
        except Exception as exc:
            response = await self._app.errors.answer(request, exc)
        try:
            await _send_response(response, request, send)
        except Exception as exc:
            if response.body is not None or is_answered(request):
                raise
            response = await self._app.errors.answer(request, exc)
            await _send_response(response, request, send)

    def _adopt(self, scope: Message, receive: Receive, *, websocket: bool = False) -> Any:
        path = path_below(scope).encode(errors="surrogatepass").decode(errors="replace")
        adopted = self._core.adopt(
            scope.get("method", "GET"),
            0 if scope.get("http_version") == "1.0" else 1,
            path,
            scope.get("raw_path") or quote(scope["path"], errors="replace").encode(),
            scope.get("query_string", b""),
            scope["headers"],
            websocket,
        )
        adopted._scope = scope
        adopted._receive = receive
        adopted._scheme = scope.get("scheme", "ws" if websocket else "http")
        return adopted

    async def _collect(self, request: AdoptedRequest) -> None:
        """Reads the whole body if the handler wants it as a whole.

        Raises: HTTPException with status 413 when it is larger than the limit.
        """
        plan = request.plan
        if plan is None or plan.body != _core.BODY_COLLECT:
            return
        limit = BODY_LIMIT if plan.body_limit < 0 else plan.body_limit
        size = 0
        while piece := await request.read():
            size += len(piece)
            if limit and size > limit:
                raise HTTPException(413)
            self._core.collect(request, piece)

    # ---- WebSockets ------------------------------------------------------------------------

    async def websocket(self, scope: Message, receive: Receive, send: Send) -> None:
        """Runs one WebSocket: the route's handler, or the app that is mounted at its path."""
        websocket: AdoptedWebSocket = self._adopt(scope, receive, websocket=True)
        try:
            if websocket.plan is not None:
                await self._converse(websocket, send)
                return
        finally:
            self._core.release(websocket)
        for mount in self._app.mounts:
            if mount.fits(websocket.path):
                if mount.app.interface != "wsgi":
                    await mount.asgi(mount.below(scope), receive, send)
                    return
                break
        await self._answer_offer(scope, receive, send)

    async def _converse(self, websocket: AdoptedWebSocket, send: Send) -> None:
        plan = websocket.plan
        assert plan is not None
        if not await websocket.connect(send):
            return
        try:
            args, kwargs = plan.bind(websocket)
            response = await self._runner.run(websocket, plan.handler(*args, **kwargs))
        except Exception as exc:
            response = await self._app.errors.answer(
                websocket,  # type: ignore[arg-type]  # users' handlers get either kind
                exc,
            )
        if response is not None:
            await _deny(websocket, response)

    async def _answer_offer(self, scope: Message, receive: Receive, send: Send) -> None:
        """Responds to an opening handshake that no route and no mounted app takes.

        It is treated like any other request, as on our own server.
        """
        if (await receive())["type"] == "websocket.disconnect":
            return
        if not _has_denials(scope):
            await send({"type": "websocket.close"})
            return
        scheme = "https" if scope.get("scheme") == "wss" else "http"
        request = {**scope, "type": "http", "method": "GET", "scheme": scheme, "extensions": {}}
        await self.http(request, _without_body(receive), _as_denial(send))


# ---- responses ---------------------------------------------------------------------------------


async def _send_response(response: Response, request: Request, send: Send) -> None:
    if response.body is not None:
        await _send_whole(response, send)
        return
    sender = AsgiSender(send)
    core = cast("_core.Sender", sender)
    if isinstance(request, AdoptedRequest):
        async with _Watch(request, sender):
            await response.respond(request, core)
    else:  # a WebSocket's opening handshake is rejected
        await response.respond(request, core)
    if sender.started and not sender.given_up:
        await sender.finish()


class _Watch:
    """Cancels the task that writes a response, once, if the client disconnects before its end.

    An exception from `send` isn't enough: a server need not raise one for a client that has
    disconnected, and a stream may have nothing to send.
    """

    def __init__(self, request: Request, sender: AsgiSender) -> None:
        self._request = request
        self._sender = sender

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._sender.watch = asyncio.ensure_future(self._request.until_gone())
        self._sender.watch.add_done_callback(self._left)

    def _left(self, watch: asyncio.Future[None]) -> None:
        if watch.cancelled() or watch.exception() is not None:
            return
        self._sender.given_up = True
        self._task.cancel()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        watch = self._sender.watch
        assert watch is not None
        watch.remove_done_callback(self._left)
        watch.cancel()
        if not self._sender.given_up:
            return False
        alone = self._task.uncancel() == 0
        return alone and kind is not None and issubclass(kind, asyncio.CancelledError)


async def answer_raised(
    errors: ErrorHandlers, request: Request, send: Send, exc: BaseException
) -> None:
    """Sends the response that the exception handlers make for `exc`."""
    response = await errors.answer(request, exc)
    try:
        await _send_response(response, request, send)
    finally:
        await response.clean_up()


async def _send_whole(response: Response, send: Send) -> None:
    body = response.body or b""
    headers = list(response.raw_headers)
    if response.status_code not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _deny(websocket: AdoptedWebSocket, response: Response) -> None:
    """Rejects the WebSocket with `response`, or with 403 if the server can't send a response."""
    if _has_denials(websocket._scope):
        websocket.session_state = CLOSED
        send = _as_denial(websocket._send)
        await _send_response(response, cast("Request", websocket), send)
        return
    await websocket.close()
    rest = Response()
    rest.take_over(response)
    await rest.clean_up()


def _has_denials(scope: Message) -> bool:
    return "websocket.http.response" in (scope.get("extensions") or {})


def _as_denial(send: Send) -> Send:
    """A `send` that turns a response's messages into those of "websocket.http.response"."""

    async def send_denial(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return send_denial


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


async def serve_lifespan(app: App, scope: Message, receive: Receive, send: Send) -> None:
    """Runs the app's lifespan, as the server's lifespan events direct."""
    await receive()
    manager = _running(app)
    try:
        await manager.__aenter__()
    except Exception as exc:
        await send({"type": "lifespan.startup.failed", "message": f"{type(exc).__name__}: {exc}"})
        raise
    if "state" in scope:
        scope["state"].update(app.lifespan_state)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    try:
        await manager.__aexit__(None, None, None)
    except Exception as exc:
        await send({"type": "lifespan.shutdown.failed", "message": f"{type(exc).__name__}: {exc}"})
        raise
    await send({"type": "lifespan.shutdown.complete"})
