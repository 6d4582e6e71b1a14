"""The orderly end of a server's requests: what is cut off when, and what the log says of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .. import _core
from .._loop.asyncio_private import forget_task

if TYPE_CHECKING:
    from .config import Config

log = logging.getLogger("fluvial")

# The share of `graceful_timeout` after which streams are cancelled that go on.
_STREAMS_SHARE = 0.5
# The share of `cleanup_timeout` that cancelled handlers may take.
CANCELLED_SHARE = 0.4
# Seconds after which connections are closed that have sent no request since they were opened, or
# since a response which had said that they stay.
_FIRST_REQUEST = 0.6
# Seconds for which a worker that is replaced keeps idle connections: their next response closes
# them. A connection that is closed under a request which is on its way would lose it.
RETIRING = 2.0
_NAMED = 20  # requests that a line of the log names

Pending = tuple[str, str, float, bool]


async def drain(
    server: _core.Server, config: Config, now: asyncio.Event, *, retiring: bool = False
) -> None:
    """Lets the current requests finish, within `graceful_timeout` and until `now` is set.

    Streams that may never end, and have not ended by themselves, are cancelled when half of the
    time is over. With `retiring`, connections are given a little time for a last request, and what
    waits in the sockets' queues is left to the worker that accepts from them now.
    """
    drained = server.drain(idle=not retiring, queued=not retiring)
    timeout = config.graceful_timeout
    idle = min(RETIRING if retiring else _FIRST_REQUEST, timeout * _STREAMS_SHARE)
    loop = asyncio.get_running_loop()
    streams = timeout * _STREAMS_SHARE
    timer = loop.call_later(streams, _end_streams, server, streams)
    closing = asyncio.ensure_future(_close_idle(server, idle))
    finished = asyncio.ensure_future(_finish(server, drained))
    hurried = asyncio.ensure_future(now.wait())
    try:
        await asyncio.wait((finished, hurried), timeout=timeout, return_when="FIRST_COMPLETED")
    finally:
        hurried.cancel()
        closing.cancel()
        timer.cancel()
    if not finished.done():
        finished.cancel()
        await _abort(server, config, "at once" if now.is_set() else f"after {timeout:g} seconds")


async def _close_idle(server: _core.Server, after: float) -> None:
    """Closes connections without a request, again and again: a response that ends later may have
    said that its connection stays."""
    while True:
        await asyncio.sleep(after)
        server.drain()
        after = _FIRST_REQUEST


async def _finish(server: _core.Server, drained: asyncio.Future[None]) -> None:
    """Waits for the last response, and for background tasks and clean-ups."""
    await asyncio.shield(drained)
    while tasks := _request_tasks(server):
        await asyncio.wait(tasks)


def _end_streams(server: _core.Server, after: float) -> None:
    if streams := [each for each in server.pending() if each[3]]:
        _tell("streamed response", streams, f"after {after:g} seconds")
        server.end_streams()


async def _abort(server: _core.Server, config: Config, when: str) -> None:
    """Ends the current requests, before the lifespan removes what their handlers use."""
    pending = server.pending()
    _tell("request", [each for each in pending if each[0] != "WebSocket"], when)
    _tell("WebSocket", [each for each in pending if each[0] == "WebSocket"], when)
    others = [task for task in _request_tasks(server) if not _is_pending(task)]
    if others:
        log.warning("Cancelled %s %s", _count("background task", len(others)), when)
    await server.abort()
    tasks = _request_tasks(server)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CANCELLED_SHARE * config.cleanup_timeout)


def _tell(what: str, cut: list[Pending], when: str) -> None:
    """Logs how many requests were cut off, and names them, those that took longest first."""
    if not cut:
        return
    longest = sorted(cut, key=lambda each: -each[2])
    names = [f"{method} {path} ({seconds:.1f} s)" for method, path, seconds, _ in longest[:_NAMED]]
    if len(cut) > _NAMED:
        names.append(f"and {len(cut) - _NAMED} more")
    log.warning("Cut off %s %s: %s", _count(what, len(cut)), when, ", ".join(names))


def _count(what: str, count: int) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _request_tasks(server: _core.Server) -> list[asyncio.Task[object]]:
    """The tasks of the server's requests that are not over, background and clean-up included."""
    tasks: Iterable[asyncio.Task[object]] = asyncio.all_tasks()
    return [task for task in tasks if _server_of(task) is server]


def _is_pending(task: asyncio.Task[object]) -> bool:
    """Whether the task's request is one of `server.pending()`; its background tasks are not."""
    coro = task.get_coro()
    return isinstance(coro, _core.RequestCoro) and coro.pending


def _server_of(task: asyncio.Task[object]) -> object:
    coro = task.get_coro()
    return coro.server if isinstance(coro, _core.HandlerCoro | _core.AsgiCall) else None


async def end_tasks(patience: float) -> None:
    """Cancels the tasks that the app has left running, and abandons those that don't end."""
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    done, pending = await asyncio.wait(tasks, timeout=patience)
    for task in done:
        if not task.cancelled() and (exc := task.exception()) is not None:
            message = "unhandled exception while the server stopped"
            loop.call_exception_handler({"message": message, "exception": exc, "task": task})
    for task in pending:
        log.warning("A task keeps running although it was cancelled: %r", task)
        forget_task(task)
