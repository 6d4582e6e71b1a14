"""Finding the app that "module:attribute" names."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from .._asgi.foreign_app import Foreign, InterfaceError, kind_of, make_foreign
from .._calling.callables import is_async, signature_of
from ..applications import App
from .config import did_you_mean

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3

log = logging.getLogger("fluvial")
Load = Callable[[], App | Foreign]  # raises LoadError

# The module that is being imported now. If it called fluvial.run(), its import would never end.
loading: ContextVar[str | None] = ContextVar("loading", default=None)


class NestedRunError(RuntimeError):
    """A module that is being imported to be served has called fluvial.run()."""


class LoadError(Exception):
    """The app can't be loaded; the message says why in one line. `status` is the exit status."""

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def load_app(
    target: str, *, app_dir: str = "", factory: bool = False, interface: str = "auto"
) -> App | Foreign:
    """Imports the app that `target` names.

    With `factory`, `target` names a function that returns the app. `interface` is one of
    INTERFACES. The traceback of an ImportError or SyntaxError is logged at debug level, that of
    any other exception at error level.

    Raises: LoadError when there is no such app, or when the module or the factory raises.
    """
    module_name, path = _split(target, app_dir)
    found: Any = load_module(module_name, app_dir)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            hint = did_you_mean(name, dir(found))
            raise LoadError(f"module {module_name!r} has no attribute {path!r}{hint}") from None
    return make_app(found, target, factory=factory, interface=interface)


def make_load(app: Any, name: str, *, app_dir: str | None, factory: bool, interface: str) -> Load:
    """What loads `app`: an app, which messages call `name`, or a target as `load_app` takes it."""
    options: dict[str, Any] = {"factory": factory, "interface": interface}
    if isinstance(app, str):
        return partial(load_app, app, app_dir=os.path.abspath(app_dir or ""), **options)
    return partial(make_app, app, name, **options)


def load_module(module_name: str, app_dir: str) -> ModuleType:
    """Imports a module, also from `app_dir`. Raises: LoadError when it can't be imported."""
    if app_dir not in sys.path[:1]:
        sys.path.insert(0, app_dir)
    with _explained(f"module {module_name!r}", "be imported"):
        return _import(module_name, app_dir)


def make_app(found: Any, name: str, *, factory: bool, interface: str) -> App | Foreign:
    """`found`, or with `factory` what it returns, as an app to serve; messages call it `name`.

    Raises: LoadError when the factory fails, when the object isn't an app, or when one of the app's
    routes can't be planned.
    """
    if factory:
        found = _call_factory(found, name)
    try:
        made = adapt(found, interface)
    except InterfaceError as exc:
        hint = "; is it a factory? then say --factory" if exc.factory else ""
        raise LoadError(f"{name} {exc}{hint}") from None
    if isinstance(made, App):
        try:
            made.plan_routes()
        except (NameError, TypeError, ValueError) as exc:
            log.debug("%s can't be served", name, exc_info=exc)
            raise LoadError(f"{name} can't be served: {exc}") from None
    return made


def adapt(found: Any, interface: str = "auto") -> App | Foreign:
    """`found` as an app to serve. Raises: InterfaceError when it isn't an app."""
    if isinstance(found, App) and interface in ("auto", "fluvial"):
        return found
    return make_foreign(found, interface)


# ---- Names ----------------------------------------------------------------------------------


def _split(target: str, app_dir: str) -> tuple[str, str]:
    """The names of the module and the attribute. Raises: LoadError when `target` is malformed."""
    module, colon, path = target.partition(":")
    if hint := _file_hint(module, path or "app", app_dir):
        raise LoadError(f"{target!r} names a file, not a module: write {hint}")
    if not module.strip(".") or not path:
        example = f"{module}:app" if module.strip(".") and not colon else "main:app"
        raise LoadError(f"{target!r} must be of the form module:attribute, as in {example}")
    if module.startswith("."):
        raise LoadError(f"{target!r} is a relative name: write {module.lstrip('.')}:{path}")
    return module, path


def _file_hint(module: str, path: str, app_dir: str) -> str:
    """What to write instead of a file's name; empty if `module` isn't a file's name."""
    stem = module.removesuffix(".py").rstrip("/")
    if "/" not in module:
        is_file = stem != module and os.path.isfile(os.path.join(app_dir, module))
        return f"{stem}:{path}" if is_file else ""
    folder, name = "", os.path.normpath(stem)
    parents = name.split(os.sep)[:-1]
    if not all(parent.isidentifier() for parent in parents):  # not packages: "..", "/srv", "my app"
        folder, name = os.path.split(name)
    option = f"--app-dir {shlex.quote(folder)} " if folder else ""
    return f"{option}{name.replace(os.sep, '.')}:{path}"


# ---- Importing ------------------------------------------------------------------------------


def _import(name: str, app_dir: str) -> ModuleType:
    token = loading.set(name)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(f"{exc.name}.")):
            where = app_dir or "the current folder"
            hint = f"; say {name.removesuffix('.py')}" if name.endswith(".py") else ""
            missing = f"there is no module {name!r} in {where} or on sys.path{hint}"
            raise LoadError(missing) from None
        raise
    finally:
        loading.reset(token)


def _call_factory(factory: Any, target: str) -> Any:
    _check_factory(factory, target)
    with _explained(f"the factory {target}", "make the app"):
        made = factory()
    if inspect.isawaitable(made):
        if inspect.iscoroutine(made):
            made.close()
        raise LoadError(f"the factory {target} returned an awaitable: it must return the app")
    return made


def _check_factory(factory: Any, target: str) -> None:
    """Raises: LoadError unless `factory` can be called without arguments."""
    if isinstance(factory, App):
        raise LoadError(f"{target} is the app, not a factory: leave out --factory")
    if not callable(factory):
        raise LoadError(f"{target} is not a factory but {kind_of(factory)}")
    needed = _required_arguments(factory)
    if needed and _is_app(factory):
        raise LoadError(f"{target} is the app, not a factory: leave out --factory")
    if needed:
        names = ", ".join(needed)
        raise LoadError(f"the factory {target} must take no arguments, but it needs {names}")
    if is_async(factory):
        raise LoadError(f"the factory {target} is async: it must be a plain function (def)")


def _required_arguments(factory: Callable[..., Any]) -> list[str]:
    try:
        parameters = signature_of(factory).parameters.values()
    except (TypeError, ValueError):
        return []
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in variable]


def _is_app(found: Asgi3) -> bool:
    try:
        return isinstance(adapt(found), Foreign)
    except InterfaceError:
        return False


# ---- What goes wrong ------------------------------------------------------------------------


@contextmanager
def _explained(what: str, deed: str) -> Iterator[None]:
    """Turns what the user's code raises into a LoadError of one line.

    Errors from the import system and the compiler explain themselves, so their tracebacks are
    logged at debug level only. Any other exception needs its traceback to show where it comes from,
    so that is logged as an error.
    """
    try:
        yield
    except (LoadError, KeyboardInterrupt):
        raise
    except SystemExit as exc:
        status, text = exit_status(exc)
        raise LoadError(f"{what} can't {deed}: it called sys.exit({text})", status=status) from exc
    except BaseException as exc:  # not only Exception: asyncio.CancelledError, for example
        trace = _own_frames(exc.__traceback__)
        quiet = isinstance(exc, ImportError | SyntaxError | NestedRunError)
        level = logging.DEBUG if quiet else logging.ERROR
        log.log(level, "%s can't %s", what, deed, exc_info=(type(exc), exc, trace))
        raise LoadError(f"{what} can't {deed}: {_describe(exc, trace)}") from exc


def exit_status(exc: SystemExit) -> tuple[int, str]:
    """The exit status that Python would exit with, and the argument as it was written."""
    if exc.code is None:
        return 0, ""
    return (exc.code if isinstance(exc.code, int) else 1), repr(exc.code)


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """`trace` from the first frame that is neither ours nor the import system's."""
    while trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_machinery(filename: str) -> bool:
    return filename in (__file__, importlib.__file__) or filename.startswith("<frozen importlib")


def _is_installed(filename: str) -> bool:
    """Whether a file belongs to Python or an installed package, not to the user's own code."""
    import sysconfig  # large, and rarely needed

    packages = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
    if filename.startswith("<frozen ") or any(folder in filename for folder in packages):
        return True
    folders = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    return filename.startswith(tuple(f"{folder}{os.sep}" for folder in folders))


def _describe(exc: BaseException, trace: TracebackType | None) -> str:
    """The cause, and the user's line that led to it."""
    if isinstance(exc, SyntaxError) and exc.filename is not None:
        return f"{exc.msg} ({exc.filename}, line {exc.lineno})"
    text = str(exc) if isinstance(exc, ImportError | NestedRunError) else _one_line(exc)
    frames = [frame for frame in traceback.extract_tb(trace) if not _is_machinery(frame.filename)]
    own = [frame for frame in frames if not _is_installed(frame.filename)]
    for frame in reversed(own or frames):
        return f"{text} ({frame.filename}, line {frame.lineno})"
    return text


def _one_line(exc: BaseException) -> str:
    return " ".join(traceback.format_exception_only(exc)[-1].split())
