"""The import hook: modules under FastAPI's and Starlette's names whose contents are ours."""

from __future__ import annotations

import dis
import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .names import MODULES, ROOTS

_IMPORT_FROM = dis.opmap["IMPORT_FROM"]


class MappedModule(ModuleType):
    """A module under another's name. Its names are looked up in ours when they are first used."""

    __all__: list[str]

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return sorted(self._public())
        if f"{self.__name__}.{name}" in MODULES:
            return importlib.import_module(f"{self.__name__}.{name}")
        if not name.startswith("__") or name == "__version__":
            for module in self._sources():
                if hasattr(module, name):
                    value = getattr(module, name)
                    setattr(self, name, value)
                    return value
        raise self._missing(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._public()})

    def _sources(self) -> list[ModuleType]:
        found = []
        for name in MODULES[self.__name__]:
            try:
                found.append(importlib.import_module(name))
            except ModuleNotFoundError as exc:
                if exc.name is None or not name.startswith(exc.name):
                    raise
        return found

    def _public(self) -> set[str]:
        return {
            name
            for module in self._sources()
            for name in getattr(module, "__all__", None) or vars(module)
            if not name.startswith("_")
        }

    def _missing(self, name: str) -> Exception:
        """An ImportError in an import statement, which shows its text; else an AttributeError."""
        text = f"Fluvial, which stands for {self.__name__} here, has no {name!r} (fluvial.compat)"
        frame = sys._getframe(2)
        code = frame.f_code.co_code
        if frame.f_lasti >= 0 and code[frame.f_lasti] == _IMPORT_FROM:
            return ImportError(text, name=self.__name__)
        return AttributeError(text, name=name, obj=self)


class _Loader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return MappedModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Does nothing: the names come later."""


class Finder(MetaPathFinder):
    """Finds the modules of the map, and none of the packages that they stand for."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a mapped module. Raises: ModuleNotFoundError for one that the map lacks."""
        if name.partition(".")[0] not in ROOTS:
            return None
        if name not in MODULES:
            raise ModuleNotFoundError(f"fluvial.compat has no module for {name}", name=name)
        is_package = any(other.startswith(f"{name}.") for other in MODULES)
        return ModuleSpec(name, _Loader(), origin="fluvial.compat", is_package=is_package)
