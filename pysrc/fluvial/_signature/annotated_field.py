"""What pydantic's Field in an Annotated says beside a marker, or where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .._validation.annotations import split_annotated
from ..params import MISSING, Marker, alias_names


class AnnotatedField(NamedTuple):
    """What the marker leaves open, and the name in a Field after it. Of several Fields, the last
    one that says something counts."""

    names: tuple[str, ...] = ()
    default: Any = MISSING
    default_factory: Callable[[], Any] | None = None
    validate_default: bool = False


def read_annotated_field(annotation: Any, marker: Marker) -> AnnotatedField:
    """Reads the Fields of an annotation."""
    metadata = split_annotated(annotation)[1]
    found = AnnotatedField(_names(metadata, marker), MISSING, marker.default_factory)
    validates = marker.validate_default
    for item in reversed(metadata):
        if type(item).__name__ != "FieldInfo":
            continue
        if validates is None:
            validates = item.validate_default
        if found.default is MISSING and found.default_factory is None:
            default = MISSING if item.is_required() else item.default
            if item.default_factory is not None:
                default = MISSING
            found = found._replace(default=default, default_factory=item.default_factory)
    return found._replace(validate_default=bool(validates))


def _names(metadata: tuple[Any, ...], marker: Marker) -> tuple[str, ...]:
    """The names in the request. The last that says one counts, and `alias=None` says that there is
    none. A marker that isn't among `metadata` is the parameter's default, which counts more."""
    if marker.names and not any(item is marker for item in metadata):
        return marker.names
    for item in reversed(metadata):
        if item is marker and marker.names:
            break
        if type(item).__name__ == "FieldInfo":
            alias = item.alias if item.validation_alias is None else item.validation_alias
            said = getattr(item, "_attributes_set", ())  # pydantic's, and private
            if alias is not None or "alias" in said:
                return alias_names(alias)
    return marker.names
