"""Unknown options are refused where they are given, with a suggestion of the name meant."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar

from .callables import callable_name

P = ParamSpec("P")
R = TypeVar("R")


def refuse_unknown(where: str, given: Collection[str], known: Collection[str]) -> None:
    """Checks that all of the options `given` to `where` are `known`.

    Raises: TypeError when one is not. It names that option, and a similar one if there is any.
    """
    for name in given:
        if name in known:
            continue
        from difflib import get_close_matches  # only for mistakes

        meant = get_close_matches(name.lower(), known, 1, 0.7)
        if meant:
            raise TypeError(f"{where} has no option {name!r}; did you mean {meant[0]!r}?")
        raise TypeError(f"{where} has no option {name!r}; it has {', '.join(sorted(known))}")


def named_options(func: Callable[P, R]) -> Callable[P, R]:
    """Decorator: unknown keyword arguments of `func` raise the TypeError of `refuse_unknown`."""
    parameters = list(inspect.signature(func).parameters.values())
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [each.name for each in parameters if each.kind in by_name and each.name != "self"]
    where = f"{func.__qualname__.removesuffix('.__init__')}()"
    if where.startswith(("Registering.", "Composed.")):  # App's bases, which users don't know
        where = f"app.{func.__name__}()"

    @functools.wraps(func)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        refuse_unknown(where, kwargs, known)
        return func(*args, **kwargs)

    return checked


def check_path(path: Any, decorator: str, owner: str = "app") -> None:
    """Checks the path given to a decorator.

    Raises: TypeError when it is not a str. If it is a function, the decorator was written without
    its parentheses.
    """
    if isinstance(path, str):
        return
    if callable(path):
        raise TypeError(
            f'write @{owner}.{decorator}("/path"), with parentheses, above {callable_name(path)}'
        )
    raise TypeError(f'the path must be a str, not {path!r}: write @{owner}.{decorator}("/path")')
