"""Serving an app in this process: sockets, pool and C server around the app's lifespan, from the
start to the last answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from . import _core
from ._app import App
from ._asgi import Bridge, LifespanError
from ._encode import encode_fallback, encode_json
from ._exceptions import (
    ClientDisconnect,
    HTTPException,
    RequestValidationError,
    WebSocketDisconnect,
    WebSocketException,
)
from ._lifespan import running
from ._loop import Loop
from ._main_thread import hears_signals
from ._request import Request
from ._responses import Response
from ._secure import log_refused, make_secure
from ._sockets import BindError, describe
from ._threads import register_pool, unregister_pool
from ._websocket import Runner, WebSocket
from ._wsgi import WsgiBridge

if TYPE_CHECKING:
    from ._config import Config
    from ._interface import Foreign

log = logging.getLogger("fluvial")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
STDOUT = 1
_CANCEL_TIMEOUT = 5.0  # seconds that cancelled handlers have to clean up


class StartError(Exception):
    """The app's lifespan failed before the first request; the reason has been logged."""


class Service:
    """An app on bound sockets.

    `stop()` finishes the requests under way within the configured time, a second call ends them at
    once; both from the loop's thread. `secure` is what make_secure() has made of `config`, if that
    was done before.
    """

    def __init__(
        self,
        app: App | Foreign,
        sockets: list[socket.socket],
        config: Config,
        secure: _core.SecureContext | None = None,
    ) -> None:
        self._app = app if isinstance(app, App) else App()
        self._bridge = None if isinstance(app, App) else _make_bridge(app, config)
        self._mounts = [
            (mount.prefix, _make_bridge(mount.app, config, mount.prefix))
            for mount in self._app.mounts
        ]
        self._sockets = sockets
        self._config = config
        self._secure = make_secure(config) if secure is None else secure
        self._stops = 0
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()

    async def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Serves until stopped. Raises: StartError; what the lifespan's end raises."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        self._app.plan_routes()
        pool = _core.Pool(loop, threads=self._config.threads, queue=self._config.thread_queue)
        register_pool(loop, pool)
        try:
            await self._run_lifespan(loop, pool, on_ready)
        finally:
            unregister_pool(loop)
            pool.close(0.0 if self._stops > 1 else 1.0)

    async def _run_lifespan(
        self, loop: Loop, pool: _core.Pool, on_ready: Callable[[], None] | None
    ) -> None:
        lifespan = self._lifespan()
        try:
            await lifespan.__aenter__()
        except LifespanError as exc:
            log.error("the app's start failed: %s", exc)
            raise StartError from exc
        except Exception as exc:
            log.exception("the app's start failed")
            raise StartError from exc
        try:
            await self._serve(loop, pool, on_ready)
        finally:
            await lifespan.__aexit__(None, None, None)

    @contextlib.asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        """The app's, and within it those of the apps that are mounted."""
        async with contextlib.AsyncExitStack() as stack:
            bridge = self._bridge
            await stack.enter_async_context(bridge.running() if bridge else running(self._app))
            for mount, (_, mounted) in zip(self._app.mounts, self._mounts, strict=True):
                await stack.enter_async_context(mounted.running())
                mount.state, mount.root_path = mounted.state, self._config.root_path
            yield

    async def _serve(
        self, loop: Loop, pool: _core.Pool, on_ready: Callable[[], None] | None
    ) -> None:
        server = self._make_server(loop, pool)
        addresses = [self._listen(server, sock) for sock in self._sockets]
        log.info("Fluvial serves %s (Ctrl+C stops)", ", ".join(addresses))
        if on_ready is not None:
            on_ready()
        await self._stop.wait()
        await self._drain(server)
        server.close()

    def _listen(self, server: _core.Server, sock: socket.socket) -> str:
        """Hands a socket over to the core; gives its address as a URL. Raises: BindError."""
        address = describe(sock, self._config.scheme)
        is_unix = sock.family == socket.AF_UNIX
        try:
            server.listen(sock.detach(), unix=is_unix, backlog=self._config.backlog)
        except OSError as exc:
            raise BindError(f"can't listen on {address}: {exc.strerror}") from exc
        return address

    async def _drain(self, server: _core.Server) -> None:
        """Finishes what is under way, but not for ever."""
        drained = server.drain()
        finished = asyncio.ensure_future(self._finish(drained))
        now = asyncio.ensure_future(self._stop_now.wait())
        timeout = self._config.graceful_timeout
        await asyncio.wait((finished, now), timeout=timeout, return_when="FIRST_COMPLETED")
        now.cancel()
        if not finished.done():
            finished.cancel()
            await self._abort(server)

    @staticmethod
    async def _finish(drained: asyncio.Future[None]) -> None:
        """Waits for the last answer and for what follows answers."""
        await asyncio.shield(drained)
        while tasks := _request_tasks():
            await asyncio.wait(tasks)

    @staticmethod
    async def _abort(server: _core.Server) -> None:
        """Ends what is under way while everything that the lifespan made is still there."""
        log.warning("stops with %d requests unanswered", server.stats()["in_flight"])
        await server.abort()
        tasks = _request_tasks()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_TIMEOUT)

    def stop(self) -> None:
        """Stops; called again, at once."""
        self._stops += 1
        self._stop.set()
        if self._stops > 1:
            self._stop_now.set()

    def _make_server(self, loop: Loop, pool: _core.Pool) -> _core.Server:
        app = self._app
        return _core.Server(
            loop,
            app.router,
            pool,
            app=app,
            request_type=Request,
            response_type=Response,
            validation_error=RequestValidationError,
            http_exception=HTTPException,
            client_disconnect=ClientDisconnect,
            encode=encode_json,
            encode_fallback=encode_fallback,
            on_error=app.errors.answer_now,  # type: ignore[arg-type]
            entry=app.make_entry(),  # type: ignore[arg-type]
            custom_errors=app.errors.customised,
            root=None if self._bridge is None else self._bridge.core,
            mounts=tuple((prefix, bridge.core) for prefix, bridge in self._mounts),
            limits=self._config.limits | {"ws_deflate": int(self._config.ws_per_message_deflate)},
            access_log=STDOUT if self._config.access_log else -1,
            websockets=self._websockets(),
            ws_origins=" ".join(self._config.ws_origins).lower(),
            secure=self._secure,
            on_refused=log_refused,
        )

    def _websockets(self) -> tuple[Any, ...]:
        run = Runner(self._app.errors).run
        router = self._app.websockets.router
        return router, WebSocket, WebSocketDisconnect, WebSocketException, run


def _make_bridge(app: Foreign, config: Config, prefix: str = "") -> Bridge | WsgiBridge:
    if app.interface == "wsgi":
        return WsgiBridge(app.app, config, prefix=prefix)
    return Bridge(
        app.as_asgi3(),
        root_path=config.root_path,
        prefix=prefix,
        scheme=config.scheme,
        lifespan=config.lifespan,
        debug=config.asgi_debug,
    )


def _request_tasks() -> list[asyncio.Task[Any]]:
    """The tasks of requests that are not over yet, background and clean-up included."""
    tasks = asyncio.all_tasks()
    return [task for task in tasks if isinstance(task.get_coro(), _core.RequestCoro)]


def serve_on(
    app: App | Foreign,
    sockets: list[socket.socket],
    config: Config,
    secure: _core.SecureContext | None = None,
    *,
    lifeline: int | None = None,
) -> None:
    """Serves `app` on bound sockets, which are closed afterwards. Raises: StartError.

    `secure` is what make_secure() has made of `config`.

    Also stops once `lifeline`, the read end of a pipe, is at its end: its writer is gone.
    """
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(_main(lambda: Service(app, sockets, config, secure), lifeline))
    finally:
        for sock in sockets:
            sock.close()
        if config.uds is not None:
            _unlink(config.uds)


async def _main(make: Callable[[], Service], lifeline: int | None) -> None:
    service = make()
    loop = asyncio.get_running_loop()

    def orphaned(fd: int) -> None:
        loop.remove_reader(fd)
        log.error("worker %d has lost its parent: stops", os.getpid())
        service.stop()

    if lifeline is not None:
        loop.add_reader(lifeline, orphaned, lifeline)
    if hears_signals():
        for number in _SIGNALS:
            loop.add_signal_handler(number, service.stop)
    await service.run()


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        log.warning("%s could not be removed", path)
