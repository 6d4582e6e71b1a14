"""Warnings about routes that can never be reached, and about probable misspellings."""

from __future__ import annotations

import inspect
import os
import re
import sys
import warnings
from collections.abc import Collection, Iterable
from typing import Any

from .._calling.callables import call_method, callable_name, strip_partials
from ..exceptions import RouteWarning

_CAPTURE = re.compile(r"{[^{}:]*(?::([^{}]*))?}")
_HERE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")


class Registered:
    """Which handler is registered for each method and path; `warns` of a second one."""

    def __init__(self, warns: bool = True) -> None:
        self._warns = warns
        self._handlers: dict[tuple[str, str], tuple[str, Any]] = {}

    def add(self, methods: Iterable[str], path: str, handler: Any) -> None:
        """Records a handler; warns if the same requests have one already, which is then called.

        Paths that differ only in the names of their parameters are the same.
        """
        if not self._warns:
            return
        pattern = _CAPTURE.sub(lambda match: f"{{:{match[1] or 'str'}}}", path)
        entry = (path, handler)
        taken: dict[int, tuple[list[str], str, Any]] = {}
        for method in methods:
            earlier = self._handlers.setdefault((method, pattern), entry)
            if earlier is not entry:
                taken.setdefault(id(earlier), ([], *earlier))[0].append(method)
        for names, earlier_path, other in taken.values():
            same = "" if earlier_path == path else f", which means the same as {earlier_path},"
            warn(
                f"{'|'.join(names)} {path}{same} has a handler already: {place(other)} answers, "
                f"and {place(handler)} is never called"
            )


def warn(message: str) -> None:
    """Issues a RouteWarning that points to the line that called Fluvial."""
    frame = inspect.currentframe()
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith(_HERE) and frame.f_back:
        frame = frame.f_back
        level += 1
    del frame
    warnings.warn(message, RouteWarning, stacklevel=level)


def place(func: Any) -> str:
    """A handler's name with its file and line."""
    inner: Any = inspect.unwrap(strip_partials(func))
    if not inspect.isclass(inner) and not inspect.isroutine(inner):
        inner = call_method(inner) if callable(inner) else type(inner)
    code = getattr(inner, "__code__", None)
    name = callable_name(func)
    if code is not None:
        return f"{name} ({code.co_filename}:{code.co_firstlineno})"
    module = sys.modules.get(getattr(inner, "__module__", None) or type(inner).__module__)
    file = getattr(module, "__file__", None)
    return f"{name} ({file})" if file else name


def untaken(path_names: Collection[str], taken: Collection[str], others: Collection[str]) -> None:
    """Warns of each name in the path that no parameter takes though one has a similar name."""
    for name in path_names:
        if name in taken:
            continue
        from difflib import get_close_matches  # slow to import, and needed only for mistakes

        close = get_close_matches(name, others, 1, 0.8)
        if close:
            warn(
                f"no parameter takes {{{name}}} of the path, but there is {close[0]!r}, which is "
                f"not in the path: write the same name"
            )
