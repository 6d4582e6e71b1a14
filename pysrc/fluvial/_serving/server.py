"""Serving an app in this process, from its startup to the last response: the app's lifespan, the
sockets, the thread pool and the C server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import _core
from .._application.core_options import core_options
from .._application.websocket_runner import Runner
from .._asgi.bridge import Bridge, LifespanError
from .._asgi.connections import Layers, own_call, side_of
from .._asgi.layered_lifespan import running_within_layers
from .._calling.anyio_threads import greeting
from .._calling.threads import call_on_loop, register_pool, unregister_pool
from .._forms.limits import limits_of_server
from .._loop import Loop
from .._wsgi.bridge import WsgiBridge
from ..applications import App
from ..exceptions import WebSocketDisconnect, WebSocketException
from ..requests import Request
from ..websockets import WebSocket
from .access_log import AccessLog
from .certificates import Certificates, renewing, watching
from .compression import tell_core
from .core_arguments import rules_of
from .draining import CANCELLED_SHARE, drain, end_tasks
from .limits import SECONDS
from .manager import ServiceManager
from .monitoring import Monitoring
from .refusals import Refusals
from .reopening import reopening
from .reporting import RETIRE, report
from .sockets import BindError, describe
from .starting import answering
from .stopping import Stop, current_stop

if TYPE_CHECKING:
    from .._asgi.foreign_app import Foreign
    from .config import Config
    from .metrics import Counting
    from .signals import StopSignals
    from .supervisor import Supervised

    MountedInCore = _core.AsgiApp | _core.WsgiApp | _core.StaticFiles

log = logging.getLogger("fluvial")


class StartError(Exception):
    """The app's lifespan failed before the first request; the reason has been logged."""


class StartStopped(Exception):
    """The server was stopped before the app's startup was complete."""


class Service:
    """An app on bound sockets.

    `stop()` lets the current requests finish within the configured time; a second call aborts them
    at once. Both must be called in the loop's thread. The first call also cancels the app's startup
    if that isn't complete, the second one also its shutdown. `certificates` are those of `config`,
    if they have been read already. `worker` is the number of this worker process, counted from 1; 0
    if there is only one.
    """

    websocket_type: type[WebSocket] = WebSocket
    # What puts a connection's facts into each scope or environ, where they aren't the socket's. It
    # may return what makes another `send` of the server's.
    tell: Callable[[Any], Any] | None = None
    server: _core.Server  # once the app has started

    def __init__(
        self,
        app: App | Foreign,
        sockets: list[socket.socket],
        config: Config,
        certificates: Certificates | None = None,
        worker: int = 0,
        counting: Counting | None = None,
    ) -> None:
        if isinstance(app, App):  # what the app says of itself counts
            config = replace(config, root_path=app.root_path or config.root_path)
            app.served_root = config.root_path
        self._app = app if isinstance(app, App) else App(openapi_url=None)
        self._monitoring = Monitoring(config, counting)
        self._bridge = None
        if not isinstance(app, App):
            self._bridge = self._make_bridge(app, config, bare=True)
        self._mounts = [
            (mount.prefix, self._make_bridge(each, config, mount.prefix))
            for mount in self._app.mounts
            for each in [mount.within(self._app, config.root_path)]
        ]
        self._app.form_limits = limits_of_server(config.limits)
        self._sockets = sockets
        self._config = config
        self._access_log = AccessLog(config, worker)
        self.certificates = Certificates(config) if certificates is None else certificates
        self._stops = 0
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._stopping = Stop()
        self._retiring = False
        self.is_over = False  # no request is handled any more
        self.alone = True  # no other process serves the sockets before, during or after its run
        self._cancel_at = 0  # the number of stop() calls that cancels the task; 0: none
        self._task: asyncio.Task[Any] | None = None
        self._on_stop: Callable[[], None] | None = None

    async def run(
        self,
        on_ready: Callable[[], None] | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        """Serves until stopped. `on_stop` is called when that begins.

        Raises: StartError when the app's startup fails, StartStopped when stop() ends it;
        AccessLogError; what the app's shutdown raises.
        """
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        current_stop.set(self._stopping)  # the handlers' contexts are copies of this one
        self._on_stop = on_stop
        self._app.plan_routes()
        self._app.compile_middleware()
        pool = self._make_pool(loop)
        register_pool(loop, pool)
        try:
            self._access_log.open()
            async with self._monitoring.serving(loop, pool):
                await self._run_lifespan(loop, pool, on_ready)
        finally:
            self._access_log.close()
            unregister_pool(loop, pool)
            until = loop.time() + (0.0 if self._stops > 1 else 1.0)
            for each in (self._monitoring, pool):
                each.close(max(until - loop.time(), 0.0))

    def _make_pool(self, loop: Loop) -> _core.Pool:
        config = self._config
        return _core.Pool(
            loop,
            threads=config.threads,
            queue=config.thread_queue,
            greet=greeting(loop),
            patience=config.limits.get("queue_time", 0) / SECONDS,
        )

    async def _run_lifespan(
        self, loop: Loop, pool: _core.Pool, on_ready: Callable[[], None] | None
    ) -> None:
        lifespan = self._lifespan()
        async with self._starting(loop, pool):
            await self._begin(lifespan)
        try:
            await self._serve(loop, pool, on_ready)
        finally:
            await self._cancellable(2, lifespan.__aexit__(None, None, None))

    def _starting(
        self, loop: Loop, pool: _core.Pool
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """Has the probes respond during the startup, unless others may be serving the sockets, or
        were and will (workers, --reload, systemd's): then what comes waits in the queue."""
        if not (probes := self._monitoring.probes()) or not self.alone:
            return contextlib.nullcontext()

        def listen(server: _core.Server) -> None:
            for sock in self._sockets:
                self._listen(server, socket.fromfd(sock.fileno(), sock.family, sock.type))

        options = {**rules_of(self._config), "secure": self.certificates.secure, **probes}
        return answering(loop, pool, listen, options)

    async def _begin(self, lifespan: contextlib.AbstractAsyncContextManager[None]) -> None:
        try:
            await self._cancellable(1, lifespan.__aenter__())
        except LifespanError as exc:
            log.error("Application startup failed: %s", exc)
            raise StartError from exc.__cause__ or exc
        except asyncio.CancelledError as exc:
            if not self._stops:
                raise
            log.warning("Shutting down before application startup is complete")
            raise StartStopped from exc
        except Exception as exc:
            log.exception("Application startup failed")
            raise StartError from exc

    async def _cancellable(self, stops: int, part: Awaitable[Any]) -> None:
        """Awaits `part`; cancels it when stop() has been called `stops` times."""
        self._task, self._cancel_at = asyncio.current_task(), stops
        if stops == 1 and self._stops:
            self._cancel()
        try:
            await part
        except asyncio.CancelledError:
            if stops == 1 or self._stops < stops:
                raise
            log.warning("Application shutdown was interrupted")
        finally:
            self._cancel_at = 0

    def _cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()

    @contextlib.asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        """Runs the app's lifespan, and within it those of the mounted apps."""
        self._app.root_path = self._app.root_path or self._config.root_path
        async with contextlib.AsyncExitStack() as stack:
            bridge = self._bridge
            run = bridge.running() if bridge else running_within_layers(self._app)
            await stack.enter_async_context(run)
            for mount, (_, mounted) in zip(self._app.mounts, self._mounts, strict=True):
                await stack.enter_async_context(mounted.running())
                mount.state, mount.root_path = mounted.state, self._config.root_path
            yield

    async def _serve(
        self, loop: Loop, pool: _core.Pool, on_ready: Callable[[], None] | None
    ) -> None:
        self.server = server = self._make_server(loop, pool)
        self._monitoring.counts(server)
        tell_core(server, self._config)
        try:
            await self._serve_until_stopped(server, on_ready)
        except BaseException:  # the task was cancelled, perhaps
            self._stopping.set()
            await server.abort()
            raise
        finally:
            self.is_over = True
            server.close()

    async def _serve_until_stopped(
        self, server: _core.Server, on_ready: Callable[[], None] | None
    ) -> None:
        self._monitoring.set_ready(True)
        addresses = [self._listen(server, sock) for sock in self._sockets]
        if on_ready is not None:
            on_ready()  # before the log line, since a reader of the log may then send a signal
        log.info("Fluvial running on %s (press Ctrl+C to stop)", ", ".join(addresses))
        with watching(asyncio.get_running_loop(), self.certificates, server):
            await self._stop.wait()
        if self._on_stop is not None:
            self._on_stop()
        if not self._retiring:
            await self._delay()
        self._stopping.set()
        await drain(server, self._config, self._stop_now, retiring=self._retiring)

    async def _delay(self) -> None:
        """Serves on, but isn't ready any more, until load balancers have seen that."""
        self._monitoring.set_ready(False)
        if seconds := self._config.drain_delay:
            log.info("Not ready any more; still serving for %g seconds", seconds)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop_now.wait(), seconds)

    def _listen(self, server: _core.Server, sock: socket.socket) -> str:
        """Passes a socket to C; returns its address as a URL.

        Raises: BindError when listen() fails on it.
        """
        address = describe(sock, self._config.scheme)
        is_unix = sock.family == socket.AF_UNIX
        try:
            server.listen(
                sock.detach(),
                unix=is_unix,
                backlog=self._config.backlog,
                shared=bool(self._config.supervised),
                proxied=self._config.proxy_protocol,
            )
        except OSError as exc:
            raise BindError(f"can't listen on {address}: {exc.strerror}") from exc
        return address

    def stop(self) -> None:
        """Stops the server gracefully; a second call stops it at once."""
        self._stops += 1
        self._stop.set()
        if self._stops > 1:
            self._stop_now.set()
        if 0 < self._cancel_at <= self._stops:
            self._cancel()

    def retire(self) -> None:
        """Stops the server gracefully; connections have a little time for a last request.

        For a worker that another one has replaced.
        """
        self._retiring = True
        self._stop.set()

    def reopen_logs(self) -> None:
        """Opens the access log's file anew. For the loop's thread."""
        if not self.is_over:
            self._access_log.reopen(getattr(self, "server", None))

    def renew_certificates(self) -> None:
        """Reads the certificates' files again, for new connections. For the loop's thread."""
        log.info("Received SIGHUP")
        secure = self.certificates.secure if self.certificates.read_now() else None
        if secure is not None and hasattr(self, "server") and not self.is_over:
            self.server.renew_secure(secure)

    def _make_server(
        self, loop: Loop, pool: _core.Pool, request_type: type[Request] = Request
    ) -> _core.Server:
        app = self._app
        around = self._around()
        root = self._bridge or around
        core = core_options(app.errors)
        if app.served_root:
            core["root_path"] = app.served_root
        return _core.Server(
            loop,
            app.table,
            pool,
            app=app,
            request_type=request_type,
            **core,
            entry=None if around else app.make_entry(),  # type: ignore[arg-type]
            custom_errors=app.errors.customised,
            root=None if root is None else root.core,
            around=around is not None,
            mounts=tuple(self._served_mounts()),
            **self._access_log.options(),
            request_ids=self._config.request_id_header,
            **self._monitoring.options(loop),
            websockets=self._websockets(),
            **rules_of(self._config),
            secure=self.certificates.secure,
            on_refused=Refusals().log,
        )

    def _served_mounts(self) -> Iterator[tuple[str, MountedInCore]]:
        for mount, (prefix, bridge) in zip(self._app.mounts, self._mounts, strict=True):
            from ..staticfiles import served_by_core  # needed by few apps

            core = bridge.core
            files = None
            if isinstance(core, _core.AsgiApp):
                files = served_by_core(mount.app, core, prefix)
            yield prefix, files or core

    def _around(self) -> Bridge | None:
        """The app's ASGI middleware as the app that gets all requests; None when it has none."""
        app = self._app
        stack = app.compile_middleware()
        outer = own_call(app) or stack.watched or stack.outer
        if self._config.otel and self._bridge is None:
            outer = self._monitoring.around(outer or Layers(app))
        if outer is None:
            return None
        side = side_of(app)
        around = side.telling_late(outer)

        def call(scope: Any, receive: Any, send: Any) -> Any:
            scope["app"] = scope["router"] = app
            return around(scope, receive, send)

        config = self._config
        bridge = Bridge(
            _told(self.tell, call),
            root_path=config.root_path,
            scheme=config.scheme,
            extensions=config.asgi_extensions,
            debug=config.asgi_debug,
            errors=app.errors,
            around=True,
        )
        bridge.core.state = app.lifespan_state
        side.body_limit, side.limits_time = 0, False
        return bridge

    def _make_bridge(
        self, app: Foreign, config: Config, prefix: str = "", *, bare: bool = False
    ) -> Bridge | WsgiBridge:
        """What serves an app of another interface, alone or mounted at `prefix`."""
        if app.interface == "wsgi":
            wsgi = self._monitoring.around_wsgi(app.app) if bare else app.app
            return WsgiBridge(_told(self.tell, wsgi), config, prefix=prefix)
        asgi = app.as_asgi3()
        return Bridge(
            _told(self.tell, self._monitoring.around(asgi) if bare else asgi),
            root_path=config.root_path,
            prefix=prefix,
            scheme=config.scheme,
            lifespan=config.lifespan,
            extensions=config.asgi_extensions,
            debug=config.asgi_debug,
            errors=self._app.errors,
            bare=bare,
        )

    def _websockets(self) -> tuple[Any, ...]:
        run = Runner(self._app.errors).run
        router = self._app.websockets.router
        return (
            router,
            self.websocket_type,
            WebSocketDisconnect,
            WebSocketException,
            run,
            call_on_loop,
        )


def _told(tell: Callable[[Any], Any] | None, app: Any) -> Any:
    """The app, called after `tell` has changed its scope or environ."""
    if tell is None:
        return app

    def call(facts: Any, *args: Any) -> Any:
        if (make_send := tell(facts)) is not None:
            args = (args[0], make_send(args[1]))
        return app(facts, *args)

    return call


def serve_on(
    app: App | Foreign,
    sockets: list[socket.socket],
    config: Config,
    certificates: Certificates | None = None,
    signals: StopSignals | None = None,
    *,
    supervised: Supervised | None = None,
    manager: ServiceManager | None = None,
) -> None:
    """Serves `app` on bound sockets, until one of the signals in `signals` arrives.

    `certificates` are those of `config`. A worker also stops when its supervisor has ended.

    Raises: StartError when the app's startup fails, StartStopped when a signal ends it.
    """

    def make() -> Service:
        number, counting = (supervised.number, supervised.counting) if supervised else (0, None)
        service = Service(app, sockets, config, certificates, number, counting)
        service.alone = supervised is None and not (manager and manager.passed)
        return service

    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(_main(make, config, signals, supervised, manager or ServiceManager()))
    finally:
        if signals is not None:
            signals.detach()


async def _main(
    make: Callable[[], Service],
    config: Config,
    signals: StopSignals | None,
    supervised: Supervised | None,
    manager: ServiceManager,
) -> None:
    service = make()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)

    def orphaned(lifeline: int) -> None:
        loop.remove_reader(lifeline)
        assert signals is not None
        signals.lose_parent()

    def ready() -> None:
        if signals is not None:
            signals.started()
        if supervised is not None:
            report(supervised, loop, service)
        manager.ready()

    if supervised is not None:
        loop.add_reader(supervised.lifeline, orphaned, supervised.lifeline)
        loop.add_signal_handler(RETIRE, service.retire)
    if signals is not None:
        signals.attach(loop, service)
    manager.live_on(loop)
    try:
        alone = supervised is None
        with reopening(loop, config, service), renewing(loop, service, alone=alone):
            await service.run(ready, manager.stopping)
    finally:
        await end_tasks(config.cleanup_timeout * CANCELLED_SHARE)
