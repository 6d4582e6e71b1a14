"""Runs programs that import FastAPI and Starlette, unmodified, on Fluvial.

After `install()` the modules `fastapi.*` and `starlette.*` are Fluvial's, whether or not the real
packages are installed. It is called only on request: by `fluvial run --as-fastapi`, by pytest with
`--as-fastapi`, or by a program itself, before its other imports.
"""

from __future__ import annotations

import importlib.metadata
import logging
import sys

from ._compat.hook import Finder, MappedModule
from ._compat.names import MODULES, ROOTS

__all__ = ["describe", "install", "installed"]

log = logging.getLogger("fluvial")


def installed() -> bool:
    """Whether install() has been called in this process."""
    return any(isinstance(finder, Finder) for finder in sys.meta_path)


def install() -> None:
    """Makes `import fastapi` and `import starlette` find Fluvial's modules from now on.

    Says so in the log. Raises: RuntimeError when one of the packages has been imported already,
    since Fluvial wouldn't recognize its objects.
    """
    if installed():
        return
    for name, module in sys.modules.items():
        if name.partition(".")[0] in ROOTS and not isinstance(module, MappedModule):
            raise RuntimeError(
                f"{name} has been imported already: call fluvial.compat.install() before that"
            )
    sys.meta_path.insert(0, Finder())
    log.info("%s", describe())


def describe() -> str:
    """What is mapped, in one line."""
    unused = []
    for name in ROOTS:
        try:
            unused.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    rest = f"; the installed {' and '.join(unused)} are not used" if unused else ""
    names = " and ".join(f"{root}.*" for root in ROOTS)
    return f"{names} are Fluvial's ({len(MODULES)} modules, fluvial.compat){rest}"
