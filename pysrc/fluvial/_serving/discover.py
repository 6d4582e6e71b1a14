"""Finds the app when the command line names none, as in `fluvial dev`."""

from __future__ import annotations

import os
from types import ModuleType

from ..applications import App
from .load import LoadError

# In this order; a file within app/ is a module of the package "app".
_FILES = ("main.py", "app.py", "api.py", "app/main.py", "app/app.py", "app/api.py")
_NAMES = ("app", "api")


def find_module(folder: str) -> str:
    """The module of the first of the usual files that exists in `folder`, such as "app.main".

    Raises: LoadError when there is none.
    """
    for file in _FILES:
        if os.path.isfile(os.path.join(folder, file)):
            return file.removesuffix(".py").replace("/", ".")
    where = folder or "."
    raise LoadError(f"found none of {', '.join(_FILES)} in {where}: name the app, as in main:app")


def find_app(module: ModuleType) -> str:
    """The name of the App in a module: `app`, `api`, or the only one.

    Raises: LoadError when there is none, or when there are several.
    """
    module_name = module.__name__
    found = [name for name, value in vars(module).items() if isinstance(value, App)]
    for name in (*_NAMES, *found):
        if name in found and (name in _NAMES or len(found) == 1):
            return name
    if found:
        raise LoadError(
            f"module {module_name!r} has several apps: name one, as in {module_name}:{found[0]}"
        )
    raise LoadError(f"module {module_name!r} has no App: name the app, as in {module_name}:app")
