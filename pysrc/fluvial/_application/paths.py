"""Paths with parameters: what C's table is given, and paths made from values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from ..datastructures import URLPath
from ..exceptions import NoMatchFound
from .convertors import BUILT_IN, CONVERTOR_TYPES, UnfitValue
from .matching import CAPTURE

if TYPE_CHECKING:
    from .._signature.plan import Captures

_TYPES: dict[str, Any] = {"int": int, "float": float, "uuid": UUID}
# What a segment of a path may hold unencoded besides letters, digits and "-._~" (RFC 3986, pchar).
_SEGMENT = ":@!$&'()*+,;="


def read_captures(path: str) -> Captures:
    """For each parameter of a path, its number and the type that its converter stands for."""
    return {
        match[1]: (number, _TYPES.get(match[2], Any))
        for number, match in enumerate(CAPTURE.finditer(path))
    }


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
    """The path for C's table, which takes any text for a kind that it doesn't know."""

    def known(match: re.Match[str]) -> str:
        kind = match[2]
        if kind in CONVERTOR_TYPES and kind not in BUILT_IN:
            return f"{{{match[1]}:path}}"
        return match[0]

    return CAPTURE.sub(known, path)


def without_converters(path: str) -> str:
    """The path as documents show it."""
    return CAPTURE.sub(r"{\1}", path)


def own_kinds(path: str) -> dict[str, re.Pattern[str]]:
    """The parameters of kinds that C doesn't know, and what their texts must look like."""
    kinds = {match[1]: match[2] for match in CAPTURE.finditer(path)}
    return {
        name: re.compile(CONVERTOR_TYPES[kind].regex)
        for name, kind in kinds.items()
        if kind in CONVERTOR_TYPES and kind not in BUILT_IN
    }


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
    return quote(text, safe=_SEGMENT + "/" if kind == "path" else _SEGMENT)


def path_of(route: Any, protocol: str, name: str, values: dict[str, Any]) -> URLPath:
    """The path of a route if it has this name. Raises: NoMatchFound otherwise; as `make_path`."""
    path = make_path(route.path, values) if name == route.name else None
    if path is None:
        raise NoMatchFound(name, values)
    return URLPath(path, protocol)
