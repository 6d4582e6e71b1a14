"""Results as JSON: msgspec's encoder with a hook for types that it doesn't know, and a slow
encoder for values that it refuses.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from asyncio import Future
from collections import UserString, deque
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from re import Pattern
from types import ModuleType
from typing import Any
from uuid import UUID

import msgspec

# A UUID may be one only by its __class__, as asyncpg's are.
_TEXTS = (UUID, PurePath, UserString, IPv4Address, IPv6Address, IPv4Network, IPv6Network)
_LISTS = (deque, range, KeysView, ValuesView, ItemsView)
_KNOWN = (
    *(*_TEXTS, *_LISTS, Iterator, Mapping, Pattern, Enum),
    *(str, int, float, bytes, Decimal, date, time, timedelta),
)
# What msgspec and its hook raise when they refuse a value. pydantic's PydanticSerializationError is
# a ValueError.
REFUSED = (TypeError, ValueError, OverflowError)
_FINE_TIMES = tuple(f"{kind}8[{unit}]" for kind in "mM" for unit in ("ns", "ps", "fs", "as"))
_MISSING = ("NaTType", "NAType")
Step = tuple["Step", str] | None  # where a value is: its container's Step, and its place in that


class _OneShot(TypeError):
    """Raised for an iterator, which is left to the slow encoder: it can be read only once."""


class NoJson(TypeError):
    """A value that has no JSON form."""


class Refused:
    """Stands in the place of a value that must not be written: whoever tries raises `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def is_model(value: Any) -> bool:
    """Whether `value` is a pydantic model. Doesn't import pydantic if the app hasn't."""
    module = sys.modules.get("pydantic")
    return module is not None and isinstance(value, module.BaseModel)


def is_missing(value: Any) -> bool:
    """Whether `value` is pandas' NaT or NA, which stand for a missing time or value."""
    kind = type(value)
    return kind.__name__ in _MISSING and kind.__module__.startswith("pandas")


def plain_once(value: Any) -> Any:
    """msgspec's enc_hook. Raises: TypeError when `value` has no JSON form, or is an iterator."""
    if isinstance(value, Iterator):
        raise _OneShot
    if isinstance(value, (list, tuple, dict)):
        raise _no_json(value, None)  # msgspec passes these types to the hook only as keys
    return plain(value)


def plain(value: Any) -> Any:
    """Converts `value`, though not its contents, towards a type that JSON has; reads iterators.

    Raises: TypeError when `value` has no JSON form.
    """
    try:
        return plain_known(value)
    except NoJson:
        attributes = attributes_of(value)
        return {name: item for name, item in attributes.items() if not name.startswith("_")}


def plain_known(value: Any) -> Any:
    """As `plain`, but doesn't fall back to an object's attributes.

    Raises: NoJson when nothing else is known about the object.
    """
    if is_model(value):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Refused):
        raise value.error
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, _TEXTS):
        return str(value)
    if isinstance(value, (*_LISTS, Iterator)):
        return list(value)
    if isinstance(value, Pattern):
        return value.pattern
    return _plain_derived(value)


def _plain_derived(value: Any) -> Any:
    """Converts instances of classes derived from types that msgspec knows, such as pandas'
    Timestamp."""
    if is_missing(value):
        return None
    kinds: tuple[type[Any], ...] = (str, int, float, bytes)
    for kind in kinds:
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Decimal):
        return Decimal(value) if value.is_finite() else None
    if isinstance(value, datetime):
        return datetime.combine(value.date(), value.timetz())
    if isinstance(value, date):
        return date(value.year, value.month, value.day)
    if isinstance(value, time):
        return time.fromisoformat(value.isoformat())
    if isinstance(value, timedelta):
        return timedelta(value.days, value.seconds, value.microseconds)
    return _plain_foreign(value)


def _plain_foreign(value: Any) -> Any:
    """Converts other libraries' objects, which are recognized by their attributes."""
    kind = type(value)
    if hasattr(value, "__pydantic_serializer__") and not isinstance(value, type):
        return value.__pydantic_serializer__.to_python(value, mode="json")
    if kind.__module__.startswith("pydantic"):  # URLs, colours
        return None if kind.__name__ == "PydanticUndefinedType" else str(value)
    if _is_array(value):
        return _plain_array(value)
    row = _row(value)
    return _plain_object(value) if row is None else row


def _row(value: Any) -> dict[Any, Any] | None:
    """A row from a database as a dict; None if `value` isn't a row."""
    kind = type(value)
    row = getattr(value, "_mapping", None)  # of SQLAlchemy, databases
    if isinstance(row, Mapping):
        return dict(row)
    if callable(getattr(kind, "keys", None)) and hasattr(kind, "__getitem__"):
        return {key: value[key] for key in value.keys()}  # noqa: SIM118 - of sqlite3, asyncpg
    return None


def for_models(value: Any) -> Any:
    """`value` with plain values for what pydantic can't read: rows of databases, numpy's values."""
    if type(value) in (list, tuple, set, deque):
        return [for_models(item) for item in value]
    if isinstance(value, Mapping):
        return {key: for_models(item) for key, item in value.items()}
    if isinstance(value, type):
        return value
    if _is_array(value):
        return _plain_array(value)
    row = _row(value)
    return value if row is None else for_models(row)


def _is_array(value: Any) -> bool:
    """Whether `value` is an array or scalar of numpy, pandas or torch, or an array.array."""
    return callable(getattr(type(value), "tolist", None))


def _plain_array(value: Any) -> Any:
    """Converts an array or scalar with its tolist().

    Raises: NoJson when tolist() leaves the type as it is, except for a longdouble, which becomes a
    float.
    """
    kind = getattr(value, "dtype", None)
    code = getattr(kind, "str", "")
    if code[1:] in _FINE_TIMES:  # tolist() would give integers; times in JSON have microseconds
        value = value.astype(f"{code[:3]}[us]")
    made = value.tolist()
    if type(made) is not type(value):
        return made
    if getattr(kind, "kind", "") == "f":  # longdouble
        return float(made)
    raise _no_json(value, None)


def _plain_object(value: Any) -> Any:
    if hasattr(type(value), "__iter__") and not isinstance(value, (type, Future)):
        return _pairs_or_list(list(value))
    raise _no_json(value, None)


def is_bare(cls: Any) -> bool:
    """Whether instances of a class are written by their attributes, which nothing declares: it is
    none of those that `plain_known` knows something about."""
    if cls is object or not isinstance(cls, type) or issubclass(cls, _KNOWN):
        return False
    if hasattr(cls, "__pydantic_serializer__") or cls.__module__.startswith("pydantic"):
        return False
    return not any(hasattr(cls, name) for name in ("__iter__", "tolist", "keys", "_mapping"))


def attributes_of(value: Any) -> dict[str, Any]:
    """The attributes of an object. Raises: NoJson when it isn't plain data: classes, modules, and
    what can be called or awaited."""
    kind = type(value)
    behaves = callable(value) or hasattr(kind, "__await__") or hasattr(kind, "__aiter__")
    attributes = getattr(value, "__dict__", None)
    if behaves or attributes is None or isinstance(value, (type, ModuleType)):
        raise _no_json(value, None)
    return dict(attributes)


def _pairs_or_list(items: list[Any]) -> Any:
    """The items of an iterable object. If they are pairs of a name and a value, as in Tortoise's
    models, they make a dict; otherwise a list."""
    if items and all(type(i) is tuple and len(i) == 2 and isinstance(i[0], str) for i in items):
        return dict(items)
    return items


json_encoder = msgspec.json.Encoder(enc_hook=plain_once, decimal_format="number")

# Encodes a result as compact JSON in UTF-8. Raises: TypeError or ValueError when it refuses a
# value, RecursionError when the result is nested too deeply.
encode_json = json_encoder.encode


def encode_fallback(value: Any) -> bytes:
    """Encodes what `encode_json` refuses although JSON can express it: the keys None and True, lone
    surrogates, iterators.

    Raises: TypeError when a value has no JSON form (the message says which); ValueError when an
    integer has too many digits; RecursionError when the result is nested too deeply.
    """
    return _encode(value, None)


def _encode(value: Any, place: Step) -> bytes:
    try:
        return encode_json(value)
    except REFUSED as exc:
        reason = exc
    if isinstance(value, str):
        return json.dumps(str(value)).encode()
    if isinstance(value, Mapping):
        pairs = (
            _key(key, place) + b":" + _encode(value[key], (place, f"[{key!r}]")) for key in value
        )
        return b"{" + b",".join(pairs) + b"}"
    if isinstance(value, (list, tuple, set, frozenset)):
        items = (_encode(item, (place, f"[{i}]")) for i, item in enumerate(value))
        return b"[" + b",".join(items) + b"]"
    return _encode(_step(value, place, reason), place)


def _step(value: Any, place: Step, reason: Exception) -> Any:
    """Converts `value`, which msgspec has refused for `reason`, towards types that JSON has."""
    if type(value) is int:
        raise ValueError(f"{_path(place)} has too many digits") from reason
    fields = _fields(value)
    try:
        if fields is not None:
            return msgspec.to_builtins(value, builtin_types=(Decimal,), enc_hook=_deep)
        return _deep(value)
    except NoJson as exc:
        for name, item in (fields or {}).items():
            _encode(item, (place, f".{name}"))  # raises if this is the field that was refused
        raise _no_json(value, place) from exc


def _deep(value: Any) -> Any:
    """As `plain`, but accepts pydantic models with values that its JSON mode refuses."""
    return _dump(value) if is_model(value) else plain(value)


def _dump(model: Any) -> Any:
    try:
        return model.model_dump(mode="json", by_alias=True)
    except ValueError:  # lone surrogates
        return model.model_dump(by_alias=True)


def _fields(value: Any) -> dict[str, Any] | None:
    """The fields of an object that msgspec encodes by its fields; None for other objects."""
    if isinstance(value, type):
        return None
    names: Iterable[str]
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    elif hasattr(value, "__struct_fields__"):
        names = value.__struct_fields__
    elif hasattr(value, "__attrs_attrs__"):
        names = [field.name for field in value.__attrs_attrs__]
    else:
        return {} if isinstance(value, Enum) else None
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _key(key: Any, place: Step) -> bytes:
    """Encodes a key of a JSON object, which must be a string. Raises: NoJson when it can't be."""
    if not (key is None or isinstance(key, (str, int, float))):
        given = key
        try:
            key = next(iter(msgspec.to_builtins({key: 0}, str_keys=True, enc_hook=plain)))
            key = plain(key) if key is given else key
        except (*REFUSED, StopIteration) as exc:
            raise _no_json(given, place, "a key of ") from exc
        if not (key is None or isinstance(key, (str, int, float))):
            raise _no_json(given, place, "a key of ")
    if isinstance(key, str):
        return _encode(key, place)
    return b'"' + json.dumps(key).encode() + b'"'


def _no_json(value: Any, place: Step, what: str = "") -> NoJson:
    kind = type(value)
    return NoJson(
        f"{what}{_path(place)} is of type {kind.__module__}.{kind.__qualname__}, which has no JSON "
        "form; return a dict, list, str, number, bool, None, dataclass, Struct or model, or a "
        "Response"
    )


def _path(place: Step) -> str:
    """The place of a value in the result, such as "result['items'][3].price"."""
    parts: list[str] = []
    while place is not None:
        place, part = place
        parts.append(part)
    return "".join(("result", *reversed(parts)))


def to_json(value: Any) -> bytes:
    """`value` as JSON, by `encode_json` if it can, otherwise by `encode_fallback`.

    Raises: TypeError, ValueError or RecursionError, as `encode_fallback` does.
    """
    try:
        return encode_json(value)
    except REFUSED:
        return encode_fallback(value)


def encode_leniently(value: Any, other: Callable[[Any], Any]) -> bytes:
    """`value` as JSON, whatever it contains: `other` converts values without a JSON form.

    For responses that report errors in a request, which must not fail. What is nested too deeply is
    replaced by "...", and what `other` can't convert by the name of its type.
    """
    return _lenient(value, other, _DEPTH)


_DEPTH = 100


def _lenient(value: Any, other: Callable[[Any], Any], depth: int) -> bytes:
    if not depth:
        return b'"..."'
    try:
        if isinstance(value, Mapping):
            pairs = [
                _key(key, None) + b":" + _lenient(value[key], other, depth - 1) for key in value
            ]
            return b"{" + b",".join(pairs) + b"}"
        if isinstance(value, (list, tuple, set, frozenset)):
            return b"[" + b",".join([_lenient(i, other, depth - 1) for i in value]) + b"]"
        return _encode(value, None)
    except Exception:
        return _shown(value, other)


def _shown(value: Any, other: Callable[[Any], Any]) -> bytes:
    try:
        return to_json(other(value))
    except Exception:
        return json.dumps(f"<{type(value).__qualname__}>").encode()
