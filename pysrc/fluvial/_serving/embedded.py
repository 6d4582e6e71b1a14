"""Serving an app from within a program that does other things as well.

Here the process belongs to that program: no signal is handled, no process is forked, the logging is
left as it is, and what goes wrong is raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Self

from .._loop import Loop
from .bounded_executor import BoundedExecutor
from .certificates import Certificates
from .config import Config, make_config
from .load import LoadError, make_load
from .secure import SecureError
from .server import Service, StartError, StartStopped
from .sockets import BindError, bind, closing, describe

if TYPE_CHECKING:
    from collections.abc import Callable

_WAYS = (
    "run the program with fluvial.run_async(main()) or "
    "asyncio.Runner(loop_factory=fluvial.Loop), or serve in a thread: with fluvial.Server(app):"
)


class Server:
    """An app that is served in this process, on the running fluvial.Loop or in a thread.

    `async with Server(app)` serves on the running loop, `with Server(app)` on a loop of its own in
    a thread, as a notebook or a program on another event loop needs it. `start()` and `stop()`, or
    `start_thread()` and `stop_thread()`, do the same without a block. Requests get responses as
    soon as the block has begun; at its end those under way have `graceful_timeout` to finish. A
    server is started once.

    `app`, `config`, `app_dir`, `factory` and `interface` are those of `fluvial.run`, and `options`
    are those of `Config`. `log_level` has no effect, since the logging is the program's.
    `cleanup_timeout` counts for handlers that are cancelled, but nothing ends the process after it.
    Several `workers` and what replaces workers are refused, and so are `user`, `group`, `umask` and
    `pid`. Sockets that a service manager has passed to the process are used only if `bind` names
    them ("fd://3").

    Raises: TypeError or ValueError when an option is wrong or refused.
    """

    def __init__(
        self,
        app: Any,
        config: Config | None = None,
        *,
        app_dir: str | None = None,
        factory: bool = False,
        interface: str = "auto",
        **options: Any,
    ) -> None:
        self._config = make_config("fluvial.Server()", config, options)
        _refuse_options_of_processes(self._config)
        what = "the object given to fluvial.Server()"
        self._load = make_load(app, what, app_dir=app_dir, factory=factory, interface=interface)
        self._addresses: tuple[str, ...] = ()
        self._service: Service | None = None
        self._loop: Loop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._stops = 0  # how often it was asked, perhaps before there was a service
        self._ended: Future[None] = Future()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens once it is started: "http://127.0.0.1:8000", "unix:/run/app.sock"."""
        return self._addresses

    # ---- On the running loop ------------------------------------------------------------------

    async def start(self) -> None:
        """Starts serving on the running loop; returns when requests are answered.

        Raises: RuntimeError when the loop isn't a fluvial.Loop, when the server has been started
        already, or when the app or the certificate can't be loaded; OSError when an address can't
        be listened on; what the app's startup raises.
        """
        self._loop = _our_loop("fluvial.Server.start()")
        self._refuse_second_start()
        ready = asyncio.Event()
        self._task = self._loop.create_task(self._run(ready.set), name="fluvial-server")
        waiting = self._loop.create_task(ready.wait())
        try:
            await asyncio.wait((self._task, waiting), return_when="FIRST_COMPLETED")
        except asyncio.CancelledError:
            self._ask_to_stop()
            await asyncio.gather(self._task, return_exceptions=True)
            raise
        finally:
            waiting.cancel()
        if not ready.is_set():
            await self._task

    async def stop(self) -> None:
        """Stops serving; returns when the app's shutdown is complete.

        A second call doesn't wait for the requests under way.

        Raises: what the app's shutdown raises; RuntimeError when the server runs in a thread.
        """
        if self._thread is not None:
            raise RuntimeError("this fluvial.Server runs in a thread: call its stop_thread()")
        if self._task is None:
            return
        self._ask_to_stop()
        await self.wait_stopped()

    async def wait_stopped(self) -> None:
        """Returns when the server has stopped. Raises: what the app's shutdown raises."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    # ---- In a thread ----------------------------------------------------------------------------

    def start_thread(self) -> None:
        """Starts serving in a thread; returns when requests are answered.

        The thread doesn't keep the process alive.

        Raises: RuntimeError when it has been started before, or what `start()` raises when the
        server can't serve.
        """
        self._refuse_second_start()
        ready: Future[None] = Future()
        target = functools.partial(copy_context().run, self._run_thread, ready)
        self._thread = threading.Thread(target=target, name="fluvial-server", daemon=True)
        self._thread.start()
        try:
            ready.result()
        except BaseException:
            self._ask_to_stop()  # an interrupt of the waiting thread, perhaps
            self._thread.join()
            raise

    def stop_thread(self) -> None:
        """Stops serving; returns when the thread has ended.

        A second call, from another thread, doesn't wait for the requests under way. The app may
        run functions in asyncio's threads. Those that exceed `cleanup_timeout` are not waited for
        here, but when the interpreter exits.

        Raises: what the app's shutdown raises; RuntimeError in the server's own thread, or when the
        server runs on a loop.
        """
        if self._task is not None:
            raise RuntimeError("this fluvial.Server runs on a loop: await its stop()")
        if self._thread is None:
            return
        if self._thread is threading.current_thread():
            raise RuntimeError("fluvial.Server.stop_thread() was called in the server's own thread")
        self._ask_to_stop()
        self._thread.join()
        self._ended.result()

    def __enter__(self) -> Self:
        self.start_thread()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop_thread()

    def _run_thread(self, ready: Future[None]) -> None:
        try:
            with asyncio.Runner(loop_factory=Loop) as runner:
                self._loop = runner.get_loop()  # type: ignore[assignment]  # the factory's
                executor = BoundedExecutor(self._config.cleanup_timeout)
                runner.get_loop().set_default_executor(executor)
                runner.run(self._run(lambda: ready.set_result(None)))
        except BaseException as exc:
            if ready.done():
                self._ended.set_exception(exc)
                return
            ready.set_exception(exc)
        self._ended.set_result(None)

    # ---- Both -----------------------------------------------------------------------------------

    def _refuse_second_start(self) -> None:
        if self._task is not None or self._thread is not None:
            raise RuntimeError("this fluvial.Server has been started already: make another one")

    async def _run(self, on_ready: Callable[[], None]) -> None:
        """Serves until stopped. Raises: what `start()` says."""
        config = self._config
        try:
            app = self._load()
            certificates = Certificates(config)
            with closing(bind(config)) as sockets:
                found = (describe(sock, config.scheme) for sock in sockets)
                self._addresses = tuple(address.partition(" ")[0] for address in found)
                self._service = Service(app, sockets, config, certificates)
                if self._stops:
                    self._service.stop()
                await self._service.run(on_ready)
        except BindError as exc:
            raise OSError(str(exc)) from exc
        except (LoadError, SecureError) as exc:
            raise RuntimeError(str(exc)) from exc
        except StartError as exc:
            raise (exc.__cause__ or exc) from None
        except StartStopped:
            raise RuntimeError("the server was stopped before its app had started") from None

    def _ask_to_stop(self) -> None:
        """Calls the service's stop() in its loop's thread, from any thread."""
        self._stops += 1
        if self._loop is None or self._service is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has been closed: it has stopped
            self._loop.call_soon_threadsafe(self._service.stop)


def _refuse_options_of_processes(config: Config) -> None:
    """Raises: ValueError when there is an option that would change the program's process."""
    if config.supervised:
        raise ValueError(
            "fluvial.Server() serves in this process: "
            f"{config.supervised[0]} is an option of fluvial.run()"
        )
    for name in ("user", "group", "umask", "pid"):
        if getattr(config, name) is not None:
            raise ValueError(
                f"fluvial.Server() leaves this process as it is: {name} is that of fluvial.run()"
            )


async def serve(app: Any, config: Config | None = None, **options: Any) -> None:
    """Serves `app` on the running fluvial.Loop until the task is cancelled.

    A cancellation lets the requests under way finish, as `Server.stop` does; a second one doesn't.
    The arguments are those of `Server`. With `asyncio.Runner` and `fluvial.run_async` a Ctrl+C
    cancels the main task.

    Raises: what `Server` and its `start()` raise.
    """
    _our_loop("fluvial.serve()")
    server = Server(app, config, **options)
    await server.start()
    try:
        await server.wait_stopped()
    except asyncio.CancelledError:
        await _stop_despite_cancellation(server)
        raise


async def _stop_despite_cancellation(server: Server) -> None:
    try:
        await server.stop()
    except asyncio.CancelledError:
        await server.stop()  # the second time it is quick


def _our_loop(caller: str) -> Loop:
    """The running loop. Raises: RuntimeError when it isn't one of ours."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(f"{caller} needs a running fluvial.Loop: {_WAYS}") from None
    if not isinstance(loop, Loop):
        kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        raise RuntimeError(f"{caller} needs a fluvial.Loop, and {kind} is running: {_WAYS}")
    return loop
