"""Starting the server: what `fluvial.run` and the command line have in common.

Errors that a user can fix are reported in one line on stderr, and by the exit status.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .._loop.main_thread import hears_signals
from . import log
from .access_log import AccessLogError
from .certificates import Certificates
from .config import KEPT, Config, make_config
from .identity import IdentityError, become, ids_of, pid_file, with_umask
from .load import Load, LoadError, NestedRunError, exit_status, loading, make_load
from .log import LogConfigError
from .manager import ServiceManager
from .reload import Reloader
from .rolling import Rolling
from .secure import SecureError
from .server import StartError, StartStopped, serve_on
from .signals import StopSignals, ignore_others, ignore_others_until_the_end, restore
from .sockets import BindError, bind, closing
from .standard_descriptors import occupy_standard_descriptors
from .succession import Predecessor
from .supervisor import START_FAILED

Again = Callable[[], tuple[Load, Config]]

if TYPE_CHECKING:
    import socket

    from .supervisor import Supervised, Work
    from .watched_files import WatchedFiles


def run(
    app: Any,
    config: Config | None = None,
    *,
    app_dir: str | None = None,
    factory: bool = False,
    interface: str = "auto",
    **options: Any,
) -> None:
    """Serves `app` until SIGINT or SIGTERM: a Fluvial, ASGI or WSGI app, or "module:attribute".

    `options` are those of `Config`, as in `run(app, port=8000)`; they take precedence over
    `config`. A module is searched for in `app_dir` (default: the current folder) and on sys.path.
    With `factory`, `app` is a function that returns the app. `interface` says what kind of app it
    is: "auto", "fluvial", "asgi3", "asgi2" or "wsgi". With `workers` the app runs in several
    processes.

    Raises: TypeError or ValueError when an option is wrong; RuntimeError when an event loop is
    already running in this thread, when the call comes from a module that is being imported to be
    served, or when workers are requested outside the main thread; SystemExit when the app can't be
    served, after the reason has been written to stderr.
    """
    config = make_config("fluvial.run()", config, options)
    _check_place(config)
    name = "the object given to fluvial.run()"
    load = make_load(app, name, app_dir=app_dir, factory=factory, interface=interface)
    if status := start(load, config):
        raise SystemExit(status)


def start(
    load: Load,
    config: Config,
    *,
    to_the_end: bool = False,
    watched: WatchedFiles | None = None,
    again: Again | None = None,
) -> int:
    """Serves the app that `load` returns; returns the exit status.

    If the app can't be served, the reason has been written to stderr. With `to_the_end` the process
    exits afterwards: its signal handlers are kept, and its exit has a deadline, too. With
    `watched`, the app is loaded and served anew whenever one of these files changes. `again` reads
    the configuration once more, for a restart of workers.
    """
    occupy_standard_descriptors()
    with _ignoring(to_the_end), with_umask(config.umask):
        try:
            log.configure(config.log_level, config.log_config)
            if watched is not None:  # each reload would wait for it
                config = replace(config, drain_delay=0.0)
            before = Predecessor.from_environment()
            certificates = Certificates(config, sessions=before.legacy.sessions)
            with pid_file(config.pid, second=before.pid != 0):
                return _start(load, config, certificates, to_the_end, watched, again, before)
        except (BindError, SecureError, IdentityError, AccessLogError, LogConfigError) as exc:
            _print_error(exc)
            return 1
        except LoadError as exc:  # of an app that is preloaded
            _print_error(exc)
            return exc.status
        except KeyboardInterrupt:  # a SIGINT after the service has ended
            if not to_the_end:
                raise
            return 130


def _start(
    load: Load,
    config: Config,
    certificates: Certificates,
    to_the_end: bool,
    watched: WatchedFiles | None,
    again: Again | None,
    before: Predecessor,
) -> int:
    ids_of(config)  # so that only one process says that there is no such user
    manager = ServiceManager.from_environment()
    if config.supervised or watched is not None or before.pid:
        load = _preload(load) if config.preload and watched is None else load
        work = functools.partial(_work, load, config, certificates)
        renew = functools.partial(_renew, load, config, again)
        supervisor = (
            Rolling(config, work, renew, manager, before, certificates)
            if watched is None
            else Reloader(config, work, watched, manager)
        )
        return supervisor.run(to_the_end=to_the_end)
    with _stop_signals(config, to_the_end) as signals:
        return _serve(load, config, certificates, signals, manager=manager)


def _preload(load: Load) -> Load:
    """Loads the app in the supervisor. Raises: LoadError when it can't be loaded."""
    before = set(threading.enumerate())
    app = load()
    for thread in set(threading.enumerate()) - before:
        log.logger.warning(
            "--preload: the app has started the thread %r, which workers don't have: start it in "
            "the lifespan",
            thread.name,
        )
    return lambda: app


def _renew(
    load: Load, config: Config, again: Again | None, certificates: Certificates
) -> tuple[Config, Work, Certificates]:
    """The configuration after a SIGHUP, what new workers run, and their certificates, instead of
    `certificates`.

    Raises: SecureError when a certificate is wrong, ValueError when the configuration is, also that
    of logging.
    """
    before = config
    if again is not None:
        loaded, config = again()
        load = load if before.preload else loaded
        if changed := [name for name in KEPT if getattr(config, name) != getattr(before, name)]:
            words = "%s can't change while the server runs: start it anew for that"
            log.logger.warning(words, ", ".join(changed))
            config = replace(config, **{name: getattr(before, name) for name in KEPT})
    if config.preload:
        log.logger.warning("--preload: the app's code stays as it was when the server started")
    certificates = Certificates(config, certificates)
    log.configure(config.log_level, config.log_config)
    several = replace(config, workers=max(config.workers, 2))  # old and new ones share sockets
    work = functools.partial(_work, load, several, certificates)
    return config, work, certificates


@contextlib.contextmanager
def _ignoring(to_the_end: bool) -> Iterator[None]:
    if not hears_signals():
        yield
    elif to_the_end:
        ignore_others_until_the_end()
        yield
    else:
        before = ignore_others()
        try:
            yield
        finally:
            restore(before)


@contextlib.contextmanager
def _stop_signals(config: Config, to_the_end: bool) -> Iterator[StopSignals | None]:
    if not hears_signals():
        yield None
        return
    signals = StopSignals(config)
    signals.open()
    try:
        yield signals
    finally:
        signals.detach()
        if not to_the_end:
            signals.close()


def _work(
    load: Load,
    config: Config,
    certificates: Certificates,
    sockets: list[socket.socket],
    supervised: Supervised,
) -> int:
    """What a worker does in its process; returns the exit status like `_serve`."""
    become(config)  # first: it makes the kernel forget whose end the worker's signals watch
    signals = StopSignals(config, supervised.parent, supervised.mask)
    signals.open()
    try:
        return _serve(load, config, certificates, signals, sockets, supervised)
    finally:
        signals.detach()


def _serve(
    load: Load,
    config: Config,
    certificates: Certificates,
    signals: StopSignals | None,
    sockets: list[socket.socket] | None = None,
    supervised: Supervised | None = None,
    manager: ServiceManager | None = None,
) -> int:
    """Loads and serves the app in this process; returns the exit status.

    An app that is to run as another user is loaded as that user, after the sockets were bound.
    Raises: BindError when an address can't be listened on; IdentityError when the process may not
    run as that user.
    """
    manager = manager or ServiceManager()
    try:
        if signals is not None:
            signals.listen()  # only here, because KeyboardInterrupt is caught below
        with contextlib.ExitStack() as stack:
            if sockets is None and (config.user or config.group or manager.passed):
                sockets = bind(config, manager.passed)
            if sockets is not None:
                stack.enter_context(closing(sockets))
            if supervised is None:
                become(config)
            app = load()
            if sockets is None:
                sockets = stack.enter_context(closing(bind(config)))
            what = (app, sockets, config, certificates, signals)
            serve_on(*what, supervised=supervised, manager=manager)
    except LoadError as exc:
        _print_error(exc)
        return exc.status
    except SystemExit as exc:  # by the app's startup or its end
        status, text = exit_status(exc)
        _print_error(f"the app called sys.exit({text})")
        return status
    except StartError:
        return START_FAILED
    except (StartStopped, KeyboardInterrupt) as exc:
        return _interrupted(exc, signals)
    return 0


def _interrupted(exc: BaseException, signals: StopSignals | None) -> int:
    """The exit status of a startup that a signal, or the app itself, has ended."""
    if isinstance(exc, KeyboardInterrupt) and signals is not None and not signals.number:
        _print_error("the app raised KeyboardInterrupt")
        return 130
    return 130 if signals is None else signals.status


def _print_error(reason: Exception | str) -> None:
    sys.stderr.write(f"Error: {reason}\n")  # one write: other processes' lines can't split it
    sys.stderr.flush()


def _check_place(config: Config) -> None:
    """Checks where run() is called.

    Raises: RuntimeError in a place where a server could not run, or could never be stopped.
    """
    if config.supervised and not hears_signals():
        raise RuntimeError(
            "fluvial.run() starts workers only in the main thread, which receives signals: call it "
            f"there, or without {config.supervised[0]}"
        )
    if (module := loading.get()) is not None:
        raise NestedRunError(
            f"fluvial.run() was called while the module {module!r} was being imported to be "
            'served: put it below `if __name__ == "__main__":`'
        )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("fluvial.run() can't be called from a coroutine: an event loop is running")
