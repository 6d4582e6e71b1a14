"""Writes a client in Python: pydantic models, and two classes that send by httpx."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import Errors
from .names import Names, snake_case
from .python_methods import MethodWriter
from .python_types import BUILTINS, TypeWriter, docstring

if TYPE_CHECKING:
    from .api import Api

_RUNTIME = Path(__file__).with_name("python_runtime.py")
_RULE = "# " + "-" * 93
_IMPORTS = ("datetime", "uuid", "typing_extensions")  # beside those of the runtime
_OURS = ("ApiError", "Credentials", "File", "FileContent")
_METHODS = frozenset({"aclose", "close", "credentials"})


def write_python(api: Api, name: str) -> str:
    """The text of a module."""
    return "\n".join(_Writer(api, name).lines()) + "\n"


class _Writer:
    def __init__(self, api: Api, name: str) -> None:
        self._api = api
        self._name = name
        names = Names({*dir(builtins), *keyword.kwlist, *_OURS, name, f"Async{name}"})
        self._types = TypeWriter(api, names)
        self._errors = Errors(api.operations, names)
        schemes = Names(keyword.kwlist)
        self._schemes = {each.key: schemes.add(snake_case(each.key)) for each in api.schemes}
        self._methods = MethodWriter(self._types, self._errors, self._schemes)

    def lines(self) -> Iterator[str]:
        title = docstring(
            f"Client of {self._api.title} {self._api.version}, by `fluvial client`.", ""
        )
        runtime = _RUNTIME.read_text().partition(_RULE)[2].strip().replace("  # noqa: TC002", "")
        yield from (
            *title,
            "",
            "# Written anew each time: don't change it by hand.",
            "# ruff: noqa",
        )
        yield from ("", "from __future__ import annotations", "")
        yield from (f"import {name} as _{name}" for name in _IMPORTS)
        yield from ("", runtime)
        yield from self._types.declarations()
        yield from self._write_errors()
        yield from self._write_credentials()
        # The methods say which types are needed, and these come first.
        clients = [*self._write_client(is_async=False), *self._write_client(is_async=True)]
        yield from ("", "")
        yield from self._types.adapters()
        yield from clients

    def _write_errors(self) -> Iterator[str]:
        for error in self._errors.all():
            content = self._types.write_results(error.responses)
            yield from ("", "", f"class {error.name}(ApiError):")
            yield from docstring(f"{error.status}: {error.phrase}.")
            yield from ("", f"    content: {content}")

    def _write_credentials(self) -> Iterator[str]:
        yield from ("", "", "@_dataclasses.dataclass", "class Credentials:")
        yield from docstring("Who you are: the token, the key, or (user name, password).")
        if self._api.schemes:
            yield ""
        for scheme in self._api.schemes:
            kind = "tuple[str, str]" if scheme.kind == "basic" else "str"
            yield f"    {self._schemes[scheme.key]}: {kind} | None = None"

    def _write_client(self, *, is_async: bool) -> Iterator[str]:
        kind = "Async" if is_async else "Sync"
        http = "_httpx.AsyncClient" if is_async else "_httpx.Client"
        name = f"Async{self._name}" if is_async else self._name
        yield from ("", "", f"class {name}(_{kind}Base):")
        own = "Your own `http` is used as it is, with its base_url."
        yield from docstring(f"{self._api.title}, by {http[1:]}.\n\n{own}")
        schemes = {self._schemes[each.key]: (each.kind, each.name) for each in self._api.schemes}
        yield from ("", f"    _SCHEMES = {schemes!r}", "", "    def __init__(")
        yield '        self, base_url: str = "", *, credentials: Credentials | None = None,'
        yield f"        http: {http} | None = None,"
        yield "    ) -> None:"
        yield f"        super().__init__({http}(base_url=base_url) if http is None else http)"
        yield "        self.credentials: Credentials = credentials or Credentials()"
        names = Names({*_METHODS, *keyword.kwlist})
        for operation in self._api.operations:
            yield ""
            method = snake_case(operation.name)
            method += "_" * (method in BUILTINS)  # annotations in the class mean the types
            yield from self._methods.write(operation, names.add(method), is_async)
