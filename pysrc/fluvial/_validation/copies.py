"""Defaults of parameters: each request gets its own copy of a default that it could change.

Immutable defaults are shared by all requests. Decided once for each default, at registration.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import decimal
import functools
import ipaddress
import pathlib
import re
import types
import uuid
from collections.abc import Callable
from typing import Any

import msgspec


@functools.cache
def _atoms() -> tuple[type, ...]:
    """Immutable types. Some of them copy.deepcopy() doesn't know to be immutable."""
    import fractions  # not needed for apps whose parameters have no defaults
    import zoneinfo

    return (
        *(str, int, float, complex, bool, bytes, type(None), type(...), type(NotImplemented)),
        *(range, slice, decimal.Decimal, fractions.Fraction, uuid.UUID, re.Pattern),
        *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
        *(zoneinfo.ZoneInfo, pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath),
        *(ipaddress.IPv4Address, ipaddress.IPv6Address),
        *(ipaddress.IPv4Network, ipaddress.IPv6Network),
        *(ipaddress.IPv4Interface, ipaddress.IPv6Interface, msgspec.UnsetType),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Factory:
    """A default that `make` makes for each request, as the field of a class describes it."""

    make: Callable[[], Any]


def described_default(cls: Any, name: str, default: Any) -> Any:
    """The default of a class's parameter. Where the signature has only a placeholder for a default
    factory, the factory is looked up in the class."""
    kind = type(default)
    root = kind.__module__.partition(".")[0]
    if root not in ("dataclasses", "msgspec", "pydantic") or "factory" not in kind.__name__.lower():
        return default
    make = getattr(default, "factory", None)  # of a Struct
    if make is None and name in getattr(cls, "__dataclass_fields__", {}):
        make = cls.__dataclass_fields__[name].default_factory
    for key, info in getattr(cls, "__pydantic_fields__", {}).items():
        if name in (key, info.alias, info.validation_alias):
            get_default = functools.partial(info.get_default, call_default_factory=True)
            return Factory(functools.partial(get_default, validated_data={}))
    return Factory(make) if callable(make) else default


def copier(value: Any) -> Callable[[], Any] | None:
    """Makes a function that copies `value`; None if all requests may share it.

    Raises: TypeError when `value` is mutable, but can't be copied.
    """
    if _is_frozen(value):
        return None
    if isinstance(value, types.MappingProxyType):
        copy_inner = copier(dict(value))
        assert copy_inner is not None
        return lambda: types.MappingProxyType(copy_inner())
    try:
        copied = copy.deepcopy(value)
    except Exception as exc:
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        raise TypeError(
            f"its default is of type {name}, which can't be copied for each request ({exc}); "
            "write default_factory=…, or Depends(function)"
        ) from exc
    if copied is value:  # its class declares that instances may be shared
        return None
    return lambda: copy.deepcopy(value)


def _is_frozen(value: Any) -> bool:
    """Whether `value` is immutable at every depth."""
    kind = type(value)
    if kind in _atoms() or _is_empty(value):
        return True
    if kind in (tuple, frozenset) or (isinstance(value, tuple) and hasattr(kind, "_fields")):
        return not hasattr(value, "__dict__") and all(map(_is_frozen, value))
    if kind is types.MappingProxyType:
        return False  # a view of a dict, which may still be changed
    names = _frozen_fields(value)
    return names is not None and all(
        _is_frozen(getattr(value, name)) for name in names if hasattr(value, name)
    )


class _Plain:
    pass


def _is_empty(value: Any) -> bool:
    """Whether an instance holds nothing, like object(): such values are sentinels, which programs
    compare by identity."""
    size = type(value).__basicsize__
    if not hasattr(value, "__dict__"):
        return size == object.__basicsize__
    return size == _Plain.__basicsize__ and not value.__dict__


def _frozen_fields(value: Any) -> list[str] | None:
    """The fields of an instance of a frozen class; None if it can have other attributes."""
    kind = type(value)
    config = getattr(kind, "__struct_config__", None)
    if config is not None:
        return list(kind.__struct_fields__) if config.frozen and not config.dict else None
    params = getattr(kind, "__dataclass_params__", None)
    if params is None or not params.frozen:
        return None
    names = [field.name for field in dataclasses.fields(value)]
    own = getattr(value, "__dict__", {})
    return names if own.keys() <= set(names) else None
