"""Paths with parameters: what C's table is given, and paths made from values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from .._messages.urls import PATH_SAFE, SEGMENT_SAFE
from ..datastructures import URLPath
from ..exceptions import NoMatchFound
from .convertors import BUILT_IN, CONVERTOR_TYPES, Convertor, UnfitValue
from .matching import CAPTURE, splits_of

if TYPE_CHECKING:
    from .. import _core
    from .._signature.plan import Captures

_TYPES: dict[str, Any] = {"int": int, "float": float, "uuid": UUID}
# Parts of a pattern that no slash fits, whatever else they have: classes without it, and dots.
_WITHOUT_SLASH = re.compile(r"\[\^[^\]\\]*/[^\]\\]*\]|\\\.")


def read_captures(path: str) -> Captures:
    """For each parameter of a path, its number and the type that its converter stands for; the
    converter itself if it is one of the program's own."""
    return {
        match[1]: (number, _TYPES.get(match[2]) or _own(match[2]) or Any)
        for number, match in enumerate(CAPTURE.finditer(path))
    }


def _own(kind: str | None) -> Convertor[Any] | None:
    return None if kind in BUILT_IN or kind is None else CONVERTOR_TYPES.get(kind)


def converters_of(path: str) -> dict[str, Callable[[str], Any]]:
    """For each parameter whose text isn't its value, what converts it."""
    found: dict[str, Callable[[str], Any]] = {}
    for match in CAPTURE.finditer(path):
        kind = match[2] or "str"
        if kind in _TYPES:
            found[match[1]] = _TYPES[kind]
        elif kind not in BUILT_IN and kind in CONVERTOR_TYPES:
            found[match[1]] = CONVERTOR_TYPES[kind].convert
    return found


def core_path(path: str) -> str:
    """The path for C's table, which takes any text for a kind that it doesn't know: of one segment,
    or of several if what the kind looks like may have a slash."""

    def known(match: re.Match[str]) -> str:
        own = _own(match[2])
        if own is None:
            return match[0]
        return f"{{{match[1]}:path}}" if _may_have_slash(own.regex) else f"{{{match[1]}}}"

    return CAPTURE.sub(known, path)


def _may_have_slash(regex: str) -> bool:
    """Whether a text that fits may have a slash. Where it isn't sure, it may."""
    rest = _WITHOUT_SLASH.sub("", regex)
    if re.search(r"[/.]|\\[DWSxuUN0-7]|\[\^", rest):
        return True
    spans = re.finditer(r"(\W)-(.)|(.)-(\W)", rest)  # such as [+-9]
    return any((m[1] or m[3]) <= "/" <= (m[2] or m[4]) for m in spans)


def without_converters(path: str) -> str:
    """The path as documents show it."""
    return CAPTURE.sub(r"{\1}", path)


def add_to_table(
    router: _core.Router, methods: tuple[str, ...], path: str, plan: _core.Plan
) -> None:
    """Adds a route to a table of C's. Raises: ValueError for a malformed path."""
    kinds = [_own(match[2]) for match in CAPTURE.finditer(path)]
    own = [kind for kind in kinds if kind is not None]
    if not own:
        router.add(methods, core_path(path), plan)
    elif len(kinds) > 1:  # texts that fit neither where C splits them may fit elsewhere
        router.add(methods, core_path(path), plan, splits_of(path))
    else:
        router.add(methods, core_path(path), plan, (re.compile(own[0].regex).fullmatch,))


def make_path(path: str, values: dict[str, Any]) -> str | None:
    """A route's path with `values` in the place of its parameters, percent-encoded.

    None unless their names are those of the parameters. Raises: ValueError for a value that the
    route would not match.
    """
    kinds = {match[1]: match[2] or "str" for match in CAPTURE.finditer(path)}
    if kinds.keys() != values.keys():
        return None
    texts = {name: _path_text(name, kind, values[name]) for name, kind in kinds.items()}
    made = CAPTURE.sub(lambda match: texts[match[1]], path)
    return f"/%2F{made[2:]}" if made.startswith("//") else made  # not another host


def _path_text(name: str, kind: str, value: Any) -> str:
    try:
        text = CONVERTOR_TYPES[kind].to_string(value)
    except UnfitValue:
        message = f"{value!r} can't be the path's parameter {name!r} of the kind {kind}"
        raise UnfitValue(message) from None
    if kind == "path" and text == "":
        raise UnfitValue(f"{value!r} can't be the path's parameter {name!r} of the kind path")
    return quote(text, safe=PATH_SAFE if kind == "path" else SEGMENT_SAFE)


def path_of(route: Any, protocol: str, name: str, values: dict[str, Any]) -> URLPath:
    """The path of a route if it has this name. Raises: NoMatchFound otherwise; as `make_path`."""
    path = make_path(route.path, values) if name == route.name else None
    if path is None:
        raise NoMatchFound(name, values)
    return URLPath(path, protocol)


def find_by_name(routes: Iterable[Any], name: str, values: dict[str, Any]) -> URLPath:
    """The path of the first route with this name and these parameters.

    Raises: NoMatchFound when there is none; ValueError when it could not match a value.
    """
    for route in routes:
        try:
            found: URLPath = route.url_path_for(name, **values)
        except NoMatchFound:
            continue
        return found
    raise NoMatchFound(name, values)
