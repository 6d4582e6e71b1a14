"""An app on a Fluvial loop in a thread of its own, called by tests from their threads."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .._loop import Loop
from .._serving.config import Config
from .._serving.load import adapt
from .._serving.server import Service, StartError
from .exchange import TestedWebSocket, tell

if TYPE_CHECKING:
    from .. import _core
    from .exchange import Exchange

T = TypeVar("T")


class TestedService(Service):
    """An app that is served without listening: each exchange makes a server of its own."""

    __test__ = False
    websocket_type = TestedWebSocket
    tell = staticmethod(tell)

    def __init__(self, app: Any, root_path: str, *, lifespan: bool) -> None:
        config = Config(root_path=root_path, access_log=False)
        super().__init__(adapt(app), [], config)
        self._with_lifespan = lifespan

    @contextlib.asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        if not self._with_lifespan:
            yield
            return
        async with super()._lifespan():
            yield

    async def _serve(
        self, loop: Loop, pool: _core.Pool, on_ready: Callable[[], None] | None
    ) -> None:
        self._place = loop, pool
        if on_ready is not None:
            on_ready()
        await self._stop.wait()

    def make_server(self, request_type: Any) -> _core.Server:
        """A server of this app, which hasn't been given a socket yet."""
        return self._make_server(*self._place, request_type=request_type)


def pair(server: _core.Server) -> socket.socket:
    """Connects with `server` within this process; returns the client's socket."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    server.take(theirs.detach())
    return ours


class Portal:
    """A thread with a running loop and the app on it, from `start()` to `stop()`.

    `connect` makes a connection with a server and returns the client's socket.
    """

    connect = staticmethod(pair)

    def __init__(self, app: Any, *, root_path: str = "", lifespan: bool) -> None:
        self._make = partial(TestedService, app, root_path, lifespan=lifespan)
        self.open: set[Exchange] = set()  # whose responses the test has not closed
        self._ready: Future[None] = Future()
        self._ended: Future[None] = Future()

    def start(self) -> None:
        """Starts the app. Raises: what its startup raises."""
        context = copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name="fluvial-testclient", daemon=True
        )
        self._thread.start()
        try:
            self._ready.result()
        except BaseException:
            self._thread.join()
            raise

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=Loop) as runner:
                runner.run(self._main())
        except BaseException as exc:
            cause = exc.__cause__ if isinstance(exc, StartError) and exc.__cause__ else exc
            (self._ended if self._ready.done() else self._ready).set_exception(cause)
        else:
            self._ended.set_result(None)

    async def _main(self) -> None:
        self.service = self._make()
        self.loop = asyncio.get_running_loop()
        await self.service.run(lambda: self._ready.set_result(None))

    def call(self, func: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Runs a coroutine on the app's loop, in a copy of the caller's context."""
        return asyncio.run_coroutine_threadsafe(func(*args), self.loop).result()

    def stop(self) -> None:
        """Closes responses that are still open, and stops the app. Raises: what its shutdown
        raises."""
        try:
            for exchange in tuple(self.open):
                exchange.finish()
        finally:
            self.loop.call_soon_threadsafe(self.service.stop)
            self._thread.join()
        self._ended.result()


class HerePortal(Portal):
    """The same on the running loop, which is one of ours, from `begin()` to `end()`.

    `call` is for other threads than the loop's.
    """

    async def begin(self) -> None:
        """Starts the app. Raises: what its startup raises."""
        self.loop = asyncio.get_running_loop()
        self.service = self._make()
        ready = asyncio.Event()
        self._task = asyncio.create_task(self.service.run(ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait((self._task, waiting), return_when="FIRST_COMPLETED")
        waiting.cancel()
        if not ready.is_set():
            try:
                await self._task
            except StartError as exc:
                raise exc.__cause__ or exc from None

    async def end(self) -> None:
        """The same as `stop`."""
        try:
            for exchange in tuple(self.open):
                await exchange.finish_here()
        finally:
            self.service.stop()
            await self._task
