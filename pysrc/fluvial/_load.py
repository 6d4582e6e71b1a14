"""Finding the app that "module:attribute" names."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ._interface import InterfaceError, adapt, kind_of

if TYPE_CHECKING:
    from ._app import App
    from ._interface import Foreign


class LoadError(Exception):
    """There is no such app; the message says why, in one line."""


def load_app(
    target: str, *, app_dir: str = "", factory: bool = False, interface: str = "auto"
) -> App | Foreign:
    """Imports the app that `target` names; with `factory` it is what the named callable returns.

    `interface` is one of INTERFACES.

    Raises: LoadError; what the module itself raises but for ImportError.
    """
    module_name, _, path = target.partition(":")
    if not module_name or not path:
        raise LoadError(f"{target!r} must be of the form module:attribute, as in main:app")
    sys.path.insert(0, app_dir)
    found: Any = _import(module_name, app_dir)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise LoadError(f"module {module_name!r} has no attribute {path!r}") from None
    if factory:
        found = _call_factory(found, target)
    try:
        return adapt(found, interface)
    except InterfaceError as exc:
        raise LoadError(f"{target} {exc}") from None


def _import(name: str, app_dir: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(f"{exc.name}.")):
            where = app_dir or "the current folder"
            raise LoadError(f"there is no module {name!r} in {where} or on sys.path") from None
        raise LoadError(f"module {name!r} can't be imported: {_describe(exc)}") from exc
    except ImportError as exc:
        raise LoadError(f"module {name!r} can't be imported: {_describe(exc)}") from exc


def _call_factory(factory: Any, target: str) -> Any:
    if not callable(factory):
        raise LoadError(f"{target} is not a factory but {kind_of(factory)}")
    return factory()


def _describe(exc: ImportError) -> str:
    """The cause, and the user's line that led to it."""
    place = ""
    traceback = exc.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if "importlib" not in code.co_filename and code.co_filename != __file__:
            place = f" ({code.co_filename}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return f"{exc}{place}"
