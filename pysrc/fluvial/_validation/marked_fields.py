"""Markers as fields of pydantic's models: `page: int = Query(1, ge=1)` in the body of a class.

FastAPI's markers are pydantic's FieldInfo, ours aren't, so that they don't need pydantic.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

_TOLD = ("title", "description", "examples", "json_schema_extra", "deprecated")


def is_model(cls: Any) -> bool:
    """Whether a class is a model of pydantic's, which may be in the making."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(cls, pydantic.BaseModel)


def field_of(marker: Any) -> Any:
    """The FieldInfo with a marker's default, names, limits and words; `marker` is in it."""
    told = {name: getattr(marker, name) for name in _TOLD}
    options: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    options |= marker.constraints
    if marker.default_factory is not None:
        options["default_factory"] = marker.default_factory
    elif type(marker.default).__name__ != "_Missing":
        options["default"] = marker.default
    if marker.validate_default is not None:
        options["validate_default"] = marker.validate_default
    names = marker.alias if marker.validation_alias is None else marker.validation_alias
    if names is not None:
        options["validation_alias"] = names
    if marker.alias is not None:
        options |= {"alias": marker.alias, "serialization_alias": marker.alias}
        options["alias_priority"] = 2
    made = _marked_field()(**options)
    made.marker = marker
    return made


def marker_of(default: Any) -> Any:
    """The marker of a parameter whose default is a model's field, or else `default` itself."""
    if "pydantic" not in sys.modules or not isinstance(default, _marked_field()):
        return default
    return default.marker


@cache
def _marked_field() -> Any:
    from pydantic.fields import FieldInfo

    return type("MarkedField", (FieldInfo,), {"__slots__": ("marker",)})
