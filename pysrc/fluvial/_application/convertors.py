"""The kinds of parameters in paths: what text fits one, and what it stands for."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

T = TypeVar("T")


class Convertor(Generic[T]):
    """One kind. `regex` is what its text looks like, without groups that have names."""

    regex: ClassVar[str] = ""

    def convert(self, value: str) -> T:
        """The value that a text which fits stands for."""
        raise NotImplementedError(f"{type(self).__name__} needs a method `convert`")

    def to_string(self, value: T) -> str:
        """The text for a value. Raises: ValueError or AssertionError for one that has none."""
        raise NotImplementedError(f"{type(self).__name__} needs a method `to_string`")


class UnfitValue(ValueError, AssertionError):
    """A value that can't stand in a path. It is an AssertionError where Starlette raises one."""


def _check(value: Any, fits: bool, kind: str) -> None:
    if not fits:
        raise UnfitValue(f"{value!r} can't be a path's parameter of the kind {kind}")


class StringConvertor(Convertor[str]):
    """Any text without "/"."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        """The text."""
        return value

    def to_string(self, value: str) -> str:
        """The text. Raises: UnfitValue when it is empty or has a slash."""
        text = str(value)
        _check(value, text != "" and "/" not in text, "str")
        return text


class PathConvertor(Convertor[str]):
    """Any text."""

    regex = ".*"

    def convert(self, value: str) -> str:
        """The text."""
        return value

    def to_string(self, value: str) -> str:
        """The text."""
        return str(value)


class IntegerConvertor(Convertor[int]):
    """Digits."""

    regex = "[0-9]+"

    def convert(self, value: str) -> int:
        """The number."""
        return int(value)

    def to_string(self, value: int) -> str:
        """The digits. Raises: UnfitValue for a negative number or what isn't one."""
        _check(value, isinstance(value, int) and value >= 0, "int")
        return str(value)


class FloatConvertor(Convertor[float]):
    """Digits, with or without a point and more digits."""

    regex = r"[0-9]+(?:\.[0-9]+)?"

    def convert(self, value: str) -> float:
        """The number."""
        return float(value)

    def to_string(self, value: float) -> str:
        """The digits. Raises: UnfitValue for a negative number, an infinity or NaN."""
        fits = isinstance(value, (int, float)) and math.isfinite(value) and value >= 0
        _check(value, fits, "float")
        return format(value, ".20f").rstrip("0").rstrip(".")


class UUIDConvertor(Convertor[UUID]):
    """A UUID with hyphens (RFC 9562 section 4)."""

    regex = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"

    def convert(self, value: str) -> UUID:
        """The UUID."""
        return UUID(value)

    def to_string(self, value: UUID) -> str:
        """Its text. Raises: UnfitValue for what isn't a UUID."""
        _check(value, isinstance(value, UUID), "uuid")
        return str(value)


CONVERTOR_TYPES: dict[str, Convertor[Any]] = {
    "str": StringConvertor(),
    "path": PathConvertor(),
    "int": IntegerConvertor(),
    "float": FloatConvertor(),
    "uuid": UUIDConvertor(),
}
BUILT_IN = frozenset(CONVERTOR_TYPES)  # those that C matches by itself


def register_url_convertor(key: str, convertor: Convertor[Any]) -> None:
    """Adds a kind: `{name:key}` in paths of routes that are made from now on."""
    CONVERTOR_TYPES[key] = convertor
