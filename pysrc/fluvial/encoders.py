"""Converts objects to what `json.dumps` takes: for databases, templates and custom responses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from . import _core
from ._validation.write_json import (
    NoJson,
    attributes_of,
    is_missing,
    is_model,
    plain_known,
    to_json,
)

__all__ = ["jsonable_encoder"]

Encoders = Mapping[Any, Callable[[Any], Any]]
_PLAIN = (str, int, float, bool)
_MAX_EXPONENT = 308  # that of a float
Names = Iterable[Any] | None


def jsonable_encoder(
    obj: Any,
    include: Names = None,
    exclude: Names = None,
    by_alias: bool = True,
    exclude_unset: bool = False,
    exclude_defaults: bool = False,
    exclude_none: bool = False,
    custom_encoder: Encoders | None = None,
    sqlalchemy_safe: bool = True,
) -> Any:
    """`obj` as dicts, lists, str, numbers, bool and None, like FastAPI's function of this name.

    `include` to `exclude_none` are those of pydantic's `model_dump`; `include` and `exclude` also
    select keys of dicts. `custom_encoder` maps classes to functions, which take precedence. With
    `sqlalchemy_safe`, keys that start with "_sa" are left out. Times become ISO 8601, a timedelta
    its seconds, bytes become text (as UTF-8), and a Decimal becomes an int or a float.

    Raises: ValueError for what has no JSON form.
    """
    encoder = _Encoder(
        by_alias,
        exclude_unset,
        exclude_defaults,
        exclude_none,
        custom_encoder or {},
        sqlalchemy_safe,
    )
    return encoder.encode(obj, _names(include), _names(exclude))


@dataclass(frozen=True, slots=True)
class _Encoder:
    by_alias: bool
    exclude_unset: bool
    exclude_defaults: bool
    exclude_none: bool
    custom: Encoders
    sqlalchemy_safe: bool

    def encode(self, obj: Any, include: Any = None, exclude: Any = None) -> Any:
        """`obj` as plain values, with the fields that `include` and `exclude` select.

        Raises: ValueError for what has no JSON form.
        """
        custom = self._custom_for(obj)
        if custom is not None:
            return custom(obj)
        if obj is None or type(obj) in _PLAIN:
            return obj
        if is_missing(obj):
            return None
        if is_model(obj):
            dumped = self._dump(obj, include, exclude)
            return replace(self, custom={}).encode(dumped)
        if isinstance(obj, Enum):
            return replace(self, custom={}).encode(obj.value)
        if isinstance(obj, Mapping):
            return self._mapping(obj, include, exclude)
        if isinstance(obj, (list, tuple, set, frozenset)):
            return [self.encode(item, include, exclude) for item in obj]
        for kind, scalar in _SCALARS.items():
            if isinstance(obj, kind):
                return scalar(obj)
        step = _step(obj, self.by_alias)
        return step if type(step) in _PLAIN else self.encode(step, include, exclude)

    def _custom_for(self, obj: Any) -> Callable[[Any], Any] | None:
        if type(obj) in self.custom:
            return self.custom[type(obj)]
        return next((func for kind, func in self.custom.items() if isinstance(obj, kind)), None)

    def _dump(self, model: Any, include: Any, exclude: Any) -> Any:
        options = {
            "include": include,
            "exclude": exclude,
            "by_alias": self.by_alias,
            "exclude_unset": self.exclude_unset,
            "exclude_defaults": self.exclude_defaults,
            "exclude_none": self.exclude_none,
        }
        try:
            return model.model_dump(mode="json", **options)
        except ValueError:  # pydantic can't encode all types that we can
            return model.model_dump(**options)

    def _mapping(self, obj: Mapping[Any, Any], include: Any, exclude: Any) -> dict[Any, Any]:
        return {
            self.encode(key): self.encode(value)
            for key, value in obj.items()
            if (include is None or key in include)
            and (exclude is None or key not in exclude)
            and not (self.exclude_none and value is None)
            and not (self.sqlalchemy_safe and isinstance(key, str) and key.startswith("_sa"))
        }


def _names(names: Names) -> Any:
    """`include` or `exclude` in the form that pydantic takes."""
    return names if names is None or isinstance(names, (set, dict)) else set(names)


def _step(obj: Any, by_alias: bool) -> Any:
    fields = _fields(obj, by_alias)
    if fields is not None:
        return fields
    try:
        return plain_known(obj)
    except NoJson:
        pass
    try:
        return attributes_of(obj)
    except NoJson as exc:
        raise ValueError(f"an object can't be encoded: {exc}") from None


def _fields(obj: Any, by_alias: bool) -> dict[str, Any] | None:
    """The fields of an object of a dataclass, a Struct or an attrs class; None for others."""
    if isinstance(obj, type):
        return None
    if dataclasses.is_dataclass(obj):
        return {field.name: getattr(obj, field.name) for field in dataclasses.fields(obj)}
    if hasattr(obj, "__struct_fields__"):
        aliases = obj.__struct_encode_fields__ if by_alias else obj.__struct_fields__
        return {
            alias: getattr(obj, name)
            for alias, name in zip(aliases, obj.__struct_fields__, strict=True)
        }
    if hasattr(obj, "__attrs_attrs__"):
        return {field.name: getattr(obj, field.name) for field in obj.__attrs_attrs__}
    return None


def _number(value: Decimal) -> int | float:
    """A Decimal as an int if it is whole, otherwise as a float.

    One with a large exponent, which a client may have sent, becomes a float, too: as an int it
    would have as many digits.
    """
    exponent = value.as_tuple().exponent
    whole = isinstance(exponent, int) and 0 <= exponent <= _MAX_EXPONENT
    return int(value) if whole else float(value)


def encode_as_fastapi(obj: Any) -> bytes:
    """`obj` as JSON in which bytes are text, and a timedelta its seconds.

    Raises: what `jsonable_encoder` and `to_json` raise.
    """
    if not _core.is_plain_json(obj) and _differs(obj):
        obj = jsonable_encoder(obj)
    return to_json(obj)


def _differs(obj: Any) -> bool:
    """Whether something in it is written otherwise than by `to_json`."""
    kind = type(obj)
    if kind is dict:
        return any(map(_differs, obj.values())) or any(type(key) not in _PLAIN for key in obj)
    if kind in (list, tuple, set):
        return any(map(_differs, obj))
    return kind not in _PLAIN and (
        isinstance(obj, (bytes, timedelta, datetime, time)) or dataclasses.is_dataclass(obj)
    )


_SCALARS: dict[type, Callable[[Any], Any]] = {
    bytes: bytes.decode,
    date: lambda value: value.isoformat(),  # and datetime
    time: time.isoformat,
    timedelta: timedelta.total_seconds,
    Decimal: _number,
    UUID: str,
}
