"""Serving ASGI apps: what C calls once per app or for rare messages, and the lifespan."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any

from .. import _core
from .._calling.failures import is_taken, log_unhandled
from .._calling.threads import call_on_loop
from .files import send_file

if TYPE_CHECKING:
    from .._application.exception_handlers import ErrorHandlers
    from ..requests import Request
    from .files import Copy
    from .protocol import Asgi3, Message, Send

log = logging.getLogger("fluvial")
debug_log = logging.getLogger("fluvial.asgi")
VERSIONS = {"version": "3.0", "spec_version": "2.0"}  # of the lifespan specification

# Extensions for scopes of HTTP, offered only with --asgi-extensions. An app may use any extension
# that it is offered; middleware around the app that doesn't know the extension then sees no bodies.
EXTENSIONS: dict[str, dict[str, Any]] = {
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
    "http.response.early_hint": {},
}
DEBUG: dict[str, dict[str, Any]] = {"http.response.debug": {}}  # only with --asgi-debug


class ClientGone(ConnectionResetError):
    """The client disconnected before the response was complete; `send` raises this from then on."""


class LifespanError(Exception):
    """The app's startup or shutdown failed; the message is the app's own, and the cause of a failed
    startup what it has raised."""


class Bridge:
    """An ASGI app as the core serves it.

    `root_path` is put before every path: it is the prefix that a proxy in front has removed.
    `prefix` is where the app is mounted below it. `scheme` is "http" or, if the server uses TLS,
    "https". `lifespan` is one of LIFESPAN_MODES. `extensions` offers EXTENSIONS, and trailers to
    clients that accept them; `debug` offers the extension http.response.debug. `errors` makes the
    response when the app raises an HTTPException, or any exception if the app is middleware
    `around` the routes.
    """

    def __init__(
        self,
        app: Asgi3,
        *,
        root_path: str = "",
        prefix: str = "",
        scheme: str = "http",
        lifespan: str = "auto",
        extensions: bool = False,
        debug: bool = False,
        errors: ErrorHandlers | None = None,
        around: bool = False,
        bare: bool = False,
    ) -> None:
        self._app = app
        self._bare = bare
        self._around = around
        self._errors = errors
        self._mode = lifespan
        self.core = _core.AsgiApp(
            app,
            root_path=root_path,
            prefix=prefix,
            scheme=scheme,
            extensions=(EXTENSIONS if extensions else {}) | (DEBUG if debug else {}),
            report=_report,
            extend=_extend,
            gone_error=ClientGone,
            later=call_on_loop,
            recover=self._recover,
        )

    @property
    def state(self) -> dict[str, Any] | None:
        """The state that the app's lifespan has set up; None when the app isn't running."""
        return self.core.state

    def _recover(
        self, request: Request, send: Send, exc: BaseException
    ) -> Coroutine[Any, Any, None] | None:
        """A coroutine that sends the response when the app has raised what the handlers know."""
        if self._errors is None or not (self._around or self._errors.find(exc) is not None):
            return None
        if self._bare and is_taken(exc):
            return None  # nothing of an app of ours is around it that would handle the exception
        from .responses import respond_to_exception  # needed by few apps

        return respond_to_exception(self._errors, request, send, exc)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts the app on entry and stops it on exit; a failed shutdown is logged.

        Raises: LifespanError when the startup fails.
        """
        async with running_asgi(self._app, self._mode) as self.core.state:
            try:
                yield
            finally:
                self.core.state = None


@contextlib.asynccontextmanager
async def running_asgi(app: Asgi3, mode: str) -> AsyncIterator[dict[str, Any] | None]:
    """Like `Bridge.running`; yields the dict that every scope["state"] is a copy of, or None."""
    if mode == "off":
        yield None
        return
    lifespan = Lifespan(app, required=mode == "on")
    await lifespan.start()
    try:
        yield lifespan.state if lifespan.supported else None
    finally:
        try:
            await lifespan.stop()
        except LifespanError as exc:
            log.error("Application shutdown failed: %s", exc)


class Lifespan:
    """The lifespan protocol, in a task of its own; `state` is the dict that the app fills."""

    def __init__(self, app: Asgi3, *, required: bool) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._required = required
        self._task: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._reply: asyncio.Future[Message] | None = None
        self._phase = ""

    @property
    def supported(self) -> bool:
        """Whether the app supports the protocol."""
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Returns when the app has started, or has turned out not to support the protocol.

        Raises: LifespanError when the startup fails, or when the lifespan is required but not
        supported.
        """
        self._task = asyncio.create_task(self._run(), name="lifespan")
        await self._ask("startup")
        if self._task.done() and self._required:
            reason = _reason(self._task)
            raise LifespanError(
                "the app does not support the lifespan protocol, which --lifespan on requires"
                f"{reason}"
            )

    async def stop(self) -> None:
        """Returns when the app has stopped. Raises: LifespanError when its shutdown fails."""
        assert self._task is not None
        if self._task.done():
            return
        await self._ask("shutdown")
        await asyncio.wait((self._task,))
        if reason := _reason(self._task):
            raise LifespanError(reason.removeprefix(": "))

    async def _ask(self, phase: str) -> None:
        """Sends `lifespan.<phase>` and waits for the app's reply or return."""
        assert self._task is not None
        self._phase = phase
        self._reply = asyncio.get_running_loop().create_future()
        self._events.put_nowait({"type": f"lifespan.{phase}"})
        await asyncio.wait((self._task, self._reply), return_when="FIRST_COMPLETED")
        if not self._reply.done():
            if phase == "startup" and not self._required:
                log.info("The app does not support the lifespan protocol%s", _reason(self._task))
            return
        reply = self._reply.result()
        if reply["type"] == f"lifespan.{phase}.failed":
            await asyncio.wait((self._task,))
            reason = reply.get("message") or _reason(self._task).removeprefix(": ")
            raise LifespanError(reason or "without a reason") from _raised(self._task)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": dict(VERSIONS), "state": self.state}
        await self._app(scope, self._events.get, self._send)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        expected_kinds = (f"lifespan.{self._phase}.complete", f"lifespan.{self._phase}.failed")
        assert self._reply is not None
        if kind not in expected_kinds or self._reply.done():
            expected = "nothing" if self._reply.done() else " or ".join(expected_kinds)
            raise RuntimeError(f"unexpected ASGI message {kind!r}: expected {expected}")
        self._reply.set_result(message)


def _raised(task: asyncio.Task[None]) -> BaseException | None:
    """The exception that the app raised."""
    return task.exception() if task.done() and not task.cancelled() else None


def _reason(task: asyncio.Task[None]) -> str:
    """The exception that the app raised, as text that starts with ": "; empty without one."""
    exc = _raised(task)
    return "" if exc is None else f": {type(exc).__name__}: {exc}"


def _report(text: str, exc: BaseException | None) -> None:
    """Logs that the app has not completed the response to a request."""
    log_unhandled(text, exc)


async def _extend(send: Send, copy: Copy | None, message: Message) -> None:
    """Sends a file, or logs the information in a http.response.debug message.

    Without `copy` the message is part of a body that isn't needed, of a response to HEAD. Other
    tasks of the app get a turn then, which may cancel the one that sends.
    """
    if copy is None:
        await asyncio.sleep(0)
    elif message["type"] == "http.response.debug":
        _log_debug(message.get("info"))
    else:
        await send_file(send, copy, message)


def _log_debug(info: Any) -> None:
    if not isinstance(info, dict):
        raise TypeError(f"http.response.debug needs a dict 'info', not {info!r}")
    debug_log.debug("http.response.debug: %r", info)
