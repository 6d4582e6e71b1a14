"""The lifespan of an app whose middleware may heed it: it goes through the layers, as an ASGI
server would have it.

A layer that lets it pass, as most do, has nothing of it: apps with no other layers run without.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from .._application.lifespan import running
from .connections import is_ours, own_call, side_of

if TYPE_CHECKING:
    from ..applications import App
    from .protocol import Asgi3, Message, Receive, Send

log = logging.getLogger("fluvial")
_PASSED = "fluvial.lifespan"  # in the scope: notes that the layers have passed it on
_VERSIONS = {"version": "3.0", "spec_version": "2.0"}
Running = Callable[["App"], AbstractAsyncContextManager[None]]


def heeds_lifespan(app: App) -> bool:
    """Whether a layer, or the app's own __call__, isn't known to let the lifespan pass."""
    if own_call(app) is not None:
        return True
    return any(not _passes(layer.cls) for layer in app.user_middleware)


def is_passed_on(scope: Message) -> bool:
    """Whether the lifespan is on its way through the layers already."""
    return _PASSED in scope


def _passes(cls: Any) -> bool:
    """Whether its __call__ is one of ours."""
    found = (
        vars(each)["__call__"] for each in getattr(cls, "__mro__", ()) if "__call__" in vars(each)
    )
    return is_ours(next(found, None))


class _Passed:
    """One lifespan on its way through the layers."""

    def __init__(self, run: Running, receive: Receive) -> None:
        self.run = run
        self.reached = False
        self.received = False
        self._receive = receive

    async def receive(self) -> Message:
        """The server's next event."""
        self.received = True
        return await self._receive()


async def through_layers(
    outermost: Asgi3, app: App, run: Running, scope: Message, receive: Receive, send: Send
) -> None:
    """Passes the lifespan through the layers; `run` is the app's own.

    A layer that knows requests alone, and so returns or raises, doesn't keep the app from starting.
    """
    passed = _Passed(run, receive)
    scope = {**scope, _PASSED: passed, "app": app}
    try:
        await outermost(scope, passed.receive, send)
    except Exception:
        if passed.reached or passed.received:
            raise
        log.warning(
            "Middleware raised an exception in the lifespan; starting without it", exc_info=True
        )
    if not passed.reached and not passed.received:
        await answer(app, run, scope, receive, send)


async def reach(app: App, run: Running, scope: Message, receive: Receive, send: Send) -> None:
    """The innermost: runs the app's lifespan."""
    passed: _Passed | None = scope.get(_PASSED)
    if passed is not None:
        passed.reached, run = True, passed.run
    await answer(app, run, scope, receive, send)


async def answer(app: App, run: Running, scope: Message, receive: Receive, send: Send) -> None:
    """Runs the app's lifespan, as the server's lifespan events direct."""
    await receive()
    manager = run(app)
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


@asynccontextmanager
async def running_within_layers(app: App) -> AsyncIterator[None]:
    """Like `running`, on our own server, for an app whose layers may heed the lifespan.

    Raises: what the app's lifespan or a layer raises.
    """
    if not heeds_lifespan(app):
        async with running(app):
            yield
        return
    driver = _Driver(app)
    await driver.ask("startup")
    app.lifespan_state = {**driver.state, **app.lifespan_state}
    try:
        yield
    finally:
        await driver.ask("shutdown")


class _Driver:
    """The server's side, with the layers in a task of their own."""

    def __init__(self, app: App) -> None:
        self.state: dict[str, Any] = {}
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._reply: asyncio.Future[Message] = asyncio.Future()
        self._task = asyncio.create_task(self._run(app), name="lifespan")

    async def _run(self, app: App) -> None:
        outermost = own_call(app) or side_of(app).outermost
        assert outermost is not None  # it has a layer
        scope = {"type": "lifespan", "asgi": dict(_VERSIONS), "state": self.state}
        await through_layers(outermost, app, running, scope, self._events.get, self._send)

    async def _send(self, message: Message) -> None:
        if not self._reply.done():
            self._reply.set_result(message)

    async def ask(self, phase: str) -> None:
        """Sends an event, and waits for the reply. Raises: what the layers raise instead."""
        if self._task.done() and phase == "shutdown":
            return
        self._reply = asyncio.get_running_loop().create_future()
        self._events.put_nowait({"type": f"lifespan.{phase}"})
        try:
            await asyncio.wait((self._task, self._reply), return_when="FIRST_COMPLETED")
            failed = self._reply.done() and self._reply.result()["type"].endswith(".failed")
            if failed or phase == "shutdown":
                await asyncio.wait((self._task,))
        except asyncio.CancelledError:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            raise
        if self._task.done():
            self._task.result()
            if failed:
                raise RuntimeError(self._reply.result().get("message") or "without a reason")
