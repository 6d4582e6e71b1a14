"""Results as JSON: msgspec's encoder, told what other types look like, and a slow second way
for what it refuses.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import msgspec


def _pydantic_base() -> type | None:
    """pydantic.BaseModel when the app has imported pydantic: Fluvial itself doesn't."""
    module = sys.modules.get("pydantic")
    return None if module is None else module.BaseModel


def _plain(value: Any) -> Any:
    """One step from `value` towards what JSON knows. Raises: TypeError."""
    base = _pydantic_base()
    if base is not None and isinstance(value, base):
        return value.model_dump(mode="json", by_alias=True)  # type: ignore[attr-defined]
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (deque, range)):
        return list(value)
    return _plain_other(value)


def _plain_other(value: Any) -> Any:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
    from re import Pattern
    from types import GeneratorType

    if isinstance(value, (IPv4Address, IPv6Address, IPv4Network, IPv6Network)):
        return str(value)
    if isinstance(value, Pattern):
        return value.pattern
    if isinstance(value, GeneratorType):
        return list(value)
    if hasattr(value, "__pydantic_serializer__"):
        return value.__pydantic_serializer__.to_python(value, mode="json")
    if _is_url(value):
        return str(value)
    kind = type(value)
    attributes = getattr(value, "__dict__", None)
    if attributes and not callable(value) and not isinstance(value, Iterable):
        return {key: item for key, item in attributes.items() if not key.startswith("_")}
    raise TypeError(
        f"a result of type {kind.__module__}.{kind.__qualname__} has no JSON form; "
        "return a dict, list, str, number, bool, None, dataclass, Struct or model, or a Response"
    )


def _is_url(value: object) -> bool:
    """pydantic's URL types have no common public base across its versions."""
    kind = type(value)
    return kind.__module__.startswith("pydantic") and kind.__name__.endswith(("Url", "Dsn"))


json_encoder = msgspec.json.Encoder(enc_hook=_plain, decimal_format="number")

# Any result as JSON, compact and in UTF-8. Raises: TypeError, ValueError, RecursionError.
encode_json = json_encoder.encode


def encode_fallback(value: Any) -> bytes:
    """What `encode_json` refuses but JSON can say: keys None and True, lone surrogates.

    Raises: TypeError, ValueError, RecursionError.
    """
    plain = _builtin(value)
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(plain, allow_nan=False, separators=(",", ":")).encode()


def _builtin(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): _builtin(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_builtin(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return msgspec.to_builtins(value, enc_hook=lambda item: _builtin(_plain(item)))


def _key(key: Any) -> Any:
    if key is None or isinstance(key, (str, int, float)):
        return key
    return msgspec.to_builtins(key, str_keys=True)


def to_json(value: Any) -> bytes:
    """`value` as JSON, by whichever way takes it. Raises: TypeError, ValueError."""
    try:
        return encode_json(value)
    except (TypeError, ValueError, OverflowError):
        return encode_fallback(value)
