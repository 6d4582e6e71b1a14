"""Middleware as a method or function of (request, call_next).

Between the routes and other such middleware it is called as a function, without ASGI (see
_application/stack.py). Around ASGI middleware, the app inside is a coroutine that is run here step
by step, in the same task, up to each message that it sends. So context variables that handlers set
are seen here, and a cancellation reaches what is waiting inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

from .._asgi.offers import offer_no_paths
from ..requests import ClientDisconnect, Request
from ..responses import Response, StreamingResponse

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send

__all__ = ["BaseHTTPMiddleware", "DispatchFunction", "RequestResponseEndpoint"]

RequestResponseEndpoint = Callable[[Request], Awaitable[Response]]
DispatchFunction = Callable[[Request, RequestResponseEndpoint], Awaitable[Response]]

# How many messages of a response that was replaced are dropped silently. After that, an app that
# keeps sending gets an exception.
_DROPPED_MAX = 16


class BaseHTTPMiddleware:
    """Middleware around HTTP requests: derive and define `dispatch`, or give it as a function."""

    def __init__(self, app: Asgi3, dispatch: DispatchFunction | None = None) -> None:
        self.app = app
        self.dispatch_func = self.dispatch if dispatch is None else dispatch

    def as_function(self) -> DispatchFunction:
        """The middleware without ASGI."""
        return self.dispatch_func

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Returns the response, usually that of `await call_next(request)`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method `dispatch`")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        offer_no_paths(scope)
        request = Request(scope, receive, send)
        inside = _Inside(self.app, request, send)
        try:
            response = await self.dispatch_func(request, inside.call_next)
            await response(scope, receive, send)
        except BaseException:
            await inside.cancel()
            raise
        finally:
            if request._at_end is not None:
                request._at_end()
        await inside.finish()


class _Inside:
    """The app inside, called for one request."""

    def __init__(self, app: Asgi3, request: Any, send: Send) -> None:
        self._app = app
        self._request = request
        self._send = send
        self._run: _Steps | None = None
        self._body_given = False
        self._over = False
        self._dropped = 0

    async def call_next(self, request: Request) -> Response:
        """Runs the app until its response begins. Raises: what the app raises before that."""
        if self._run is not None:
            await self.cancel()
        run = self._run = _Steps()
        run.begin(self._app(request.scope, self._give, self._take))
        while (message := await run.next_message()) is not None:
            if message["type"] == "http.response.start":
                return _Passing(run, message)
            await self._send(message)  # hints and the like, which precede a response
        raise RuntimeError("the app inside returned without a response")

    async def _give(self) -> Message:
        """`receive` for the app. A body that the middleware has read is given again.

        What has been taken from stream() is not: the app gets the rest, which may be nothing.
        """
        if not self._over:
            with contextlib.suppress(ClientDisconnect):
                if not self._body_given:
                    return await self._next_piece()
                await self._request.until_gone()
        return {"type": "http.disconnect"}

    async def _next_piece(self) -> Message:
        """A piece of the body as an event.

        Raises: ClientDisconnect when the client leaves before the body's end.
        """
        cache = self._request._cache or {}
        body = cache.get("body")
        if body is None:
            body = await self._request.read()
        self._body_given = "body" in cache or self._request.is_read
        return {"type": "http.request", "body": body, "more_body": not self._body_given}

    async def _take(self, message: Message) -> None:
        """`send` for the app."""
        assert self._run is not None
        if not self._over:
            await self._run.pass_message(message)
            return
        self._dropped += 1
        if self._dropped > _DROPPED_MAX:
            raise ConnectionResetError("the middleware has sent another response")

    async def finish(self) -> None:
        """Runs the app to its end, after the response: it may have work left."""
        self._over = True
        if self._run is not None:
            with contextlib.suppress(ConnectionResetError):
                await self._run.to_end()

    async def cancel(self) -> None:
        """Ends the app where it is, because its response isn't wanted."""
        self._over = True
        if self._run is not None:
            with contextlib.suppress(asyncio.CancelledError, ConnectionResetError):
                await self._run.to_end(asyncio.CancelledError())
        self._over, self._run = False, None


class _Passing(StreamingResponse):
    """The response of the app inside."""

    def __init__(self, run: _Steps, start: Message) -> None:
        self._run = run
        self._start = start
        self._own = self._pieces()
        super().__init__(self._own, start["status"])
        self.raw_headers = [(bytes(name), bytes(value)) for name, value in start.get("headers", ())]

    async def _pieces(self) -> AsyncIterator[bytes]:
        more = True
        while more and (message := await self._run.next_message()) is not None:
            more = message.get("more_body", False)
            if body := message.get("body"):
                yield body

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        head = {**self._start, "status": self.status_code, "headers": self.raw_headers}
        if self.body is None and self._iterator is self._own:
            await send(head)
            while (message := await self._run.next_message()) is not None:
                await send(message)
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    break
        else:
            await send(head)
            async for piece in self.body_iterator:
                data = self._render_piece(piece)
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        await self.run_backgrounds()


class _Steps:
    """A coroutine that is run by the task that awaits the methods, from message to message."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._task: asyncio.Task[Any] | None = None  # which takes the steps
        self._iterator: Any = None
        self._waits_for: asyncio.Future[Any] | None = None  # what the coroutine awaits
        self._alarm: asyncio.Future[None] | None = None  # what the task awaits meanwhile
        self._taken = asyncio.Event()  # for other tasks that send
        self._ended = False

    def begin(self, awaitable: Awaitable[None]) -> None:
        """Sets what is run."""
        self._iterator = awaitable.__await__()

    async def pass_message(self, message: Message) -> None:
        """Called by the coroutine: returns when the message has been taken."""
        self._messages.append(message)
        if asyncio.current_task() is self._task:
            await _pause(self)
            return
        self._taken.clear()
        self._ring()
        while message in self._messages and not self._ended:
            await self._taken.wait()

    async def next_message(self) -> Message | None:
        """The next message; None when the coroutine has returned. Raises: what it raises."""
        await self._go()
        return self._pop()

    async def to_end(self, exc: BaseException | None = None) -> None:
        """Runs the coroutine to its end, with `exc` raised in it, and drops its messages."""
        while not self._ended:
            self._messages.clear()
            self._taken.set()
            await self._go(exc)
            exc = None

    def _pop(self) -> Message | None:
        self._taken.set()
        return self._messages.popleft() if self._messages else None

    def _ring(self, _: object = None) -> None:
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)

    @types.coroutine
    def _go(self, exc: BaseException | None = None) -> Generator[Any, Any, None]:
        """Takes steps until there is a message or the coroutine has ended."""
        self._task = asyncio.current_task()
        value: Any = None
        while not (self._messages or self._ended):
            if self._waits_for is not None and exc is None:
                yield from self._wait(self._waits_for)
                continue
            self._waits_for = None
            try:
                step = self._iterator.send(value) if exc is None else self._iterator.throw(exc)
            except StopIteration:
                self._ended = True
                return
            except BaseException:
                self._ended = True
                raise
            value = exc = None
            if step is self:
                return  # in pass_message
            if getattr(step, "_asyncio_future_blocking", False):
                step._asyncio_future_blocking = False
                self._waits_for = step
                continue
            try:
                value = yield step  # as asyncio.sleep(0) does
            except BaseException as error:
                exc = error

    def _wait(self, future: asyncio.Future[Any]) -> Generator[Any, Any, None]:
        """Waits until the future is done, or another task has sent a message."""
        self._alarm = asyncio.get_running_loop().create_future()
        future.add_done_callback(self._ring)
        try:
            if not future.done():
                yield from self._alarm
        except asyncio.CancelledError:
            if not future.cancel():
                raise
        finally:
            self._alarm = None
            future.remove_done_callback(self._ring)
        if future.done():
            self._waits_for = None


@types.coroutine
def _pause(run: _Steps) -> Generator[Any, Any, None]:
    yield run
