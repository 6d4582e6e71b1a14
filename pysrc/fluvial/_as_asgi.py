"""A Fluvial app under another ASGI server: `await app(scope, receive, send)`.

Routes are found and arguments bound by C as ever; calling handlers and answering go the way that
they go with middleware, and from there by ASGI messages.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from . import _core
from ._datastructures import URL, Address, State
from ._encode import encode_fallback, encode_json
from ._exceptions import ClientDisconnect, HTTPException, RequestValidationError
from ._lifespan import running
from ._middleware import make_entry
from ._request import Request
from ._responses import Response

if TYPE_CHECKING:
    from ._app import App
    from ._interface import Message, Receive, Send

log = logging.getLogger("fluvial")
BODY_LIMIT = 16 * 1024 * 1024  # bytes, as the server's own default


class AdoptedRequest(Request):
    """A request that another server has received."""

    _scope: Message
    _receive: Receive

    @property
    def client(self) -> Address | None:
        """The other end of the connection."""
        client = self._scope.get("client")
        return None if client is None else Address(*client)

    @property
    def server(self) -> tuple[str, int | None] | None:
        """Our end of it."""
        server = self._scope.get("server")
        return None if server is None else cast("tuple[str, int | None]", tuple(server))

    @property
    def state(self) -> State:
        """Whatever the app keeps with this request; begins with what its lifespan yielded."""
        return self._cached("state", lambda: State(self._scope.get("state")))

    @property
    def disconnected(self) -> bool:
        """Whether the client is known to have gone."""
        return bool(self._store().get("disconnected"))

    @property
    def base_url(self) -> URL:
        """The URL of the app's root."""
        root = self._scope.get("root_path", "")
        return self.url.replace(path=f"{root}/", query="", fragment="")

    def _make_url(self) -> URL:
        return URL(str(super()._make_url()), path=self._scope["path"])

    async def read(self) -> bytes:
        """The next piece of the body; empty at its end. Raises: ClientDisconnect."""
        cache = self._store()
        while not cache.get("read"):
            event = await self._receive()
            if event["type"] == "http.disconnect":
                cache["disconnected"] = True
                raise ClientDisconnect
            cache["read"] = not event.get("more_body", False)
            if body := event.get("body", b""):
                return cast("bytes", body)
        return b""


class AsgiSender:
    """What `Response.respond` writes to, in the place of `_core.Sender`."""

    def __init__(self, send: Send) -> None:
        self.started = False
        self._send = send
        self._start: Message | None = None
        self._end: asyncio.Future[None] | None = None

    def start(self, status_code: int, headers: list[tuple[bytes, bytes]], length: int = -1) -> None:
        """Begins the answer; it goes out with the first piece."""
        if self.started:
            raise RuntimeError("the answer has been started already")
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

    def end(self) -> None:
        """Completes the answer; `finish` waits for it."""
        if self._end is None:
            self._end = asyncio.ensure_future(self._last())

    async def finish(self) -> None:
        """Returns when the answer is complete."""
        self.end()
        assert self._end is not None
        await self._end

    async def _begin(self) -> None:
        start, self._start = self._start, None
        if start is not None:
            await self._send(start)

    async def _last(self) -> None:
        await self._begin()
        await self._send({"type": "http.response.body", "body": b""})


class AsgiSide:
    """What one app needs for calls by ASGI."""

    def __init__(self, app: App) -> None:
        self._app = app
        app.plan_routes()
        entry = make_entry(app.middlewares, app.errors, app.mounts, always=True)
        assert entry is not None
        self._entry = entry
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
            on_error=app.errors.answer_now,  # type: ignore[arg-type]  # the stub says Request of C
        )

    async def http(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        request = self._adopt(scope, receive)
        try:
            await self._answer(request, send)
        finally:
            self._core.release(request)

    async def _answer(self, request: AdoptedRequest, send: Send) -> None:
        try:
            await self._collect(request)
            response = await self._entry(request)
        except Exception as exc:
            response = await self._app.errors.answer(request, exc)
        if response.body is None:
            sender = AsgiSender(send)
            await response.respond(request, cast("_core.Sender", sender))
            if sender.started:
                await sender.finish()
        else:
            await _send_whole(response, send)

    def _adopt(self, scope: Message, receive: Receive) -> AdoptedRequest:
        path: str = scope["path"]
        root_path = scope.get("root_path", "")
        if root_path and (path == root_path or path.startswith(f"{root_path}/")):
            path = path.removeprefix(root_path) or "/"
        request: AdoptedRequest = self._core.adopt(
            scope["method"],
            0 if scope.get("http_version") == "1.0" else 1,
            path,
            scope.get("raw_path") or quote(scope["path"]).encode(),
            scope.get("query_string", b""),
            scope["headers"],
        )
        request._scope = scope
        request._receive = receive
        request._scheme = scope.get("scheme", "http")
        return request

    async def _collect(self, request: AdoptedRequest) -> None:
        """Reads the whole body where the handler wants all of it. Raises: HTTPException 413."""
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


async def _send_whole(response: Response, send: Send) -> None:
    body = response.body or b""
    headers = list(response.raw_headers)
    if response.status_code not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def serve_lifespan(app: App, scope: Message, receive: Receive, send: Send) -> None:
    """Runs the app's lifespan as the server says."""
    await receive()
    manager = running(app)
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


async def decline_websocket(receive: Receive, send: Send) -> None:
    """WebSockets are for Fluvial's own server."""
    await receive()
    await send({"type": "websocket.close", "code": 1000})
