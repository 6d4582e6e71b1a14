"""What pydantic's Field in an Annotated says beside a marker, or where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .._validation.annotations import split_annotated
from ..params import MISSING, Marker, alias_names


class Beside(NamedTuple):
    """What the marker leaves open. Of several Fields, the last one that says something counts."""

    names: tuple[str, ...] = ()
    default: Any = MISSING
    default_factory: Callable[[], Any] | None = None
    validate_default: bool = False


def beside(annotation: Any, marker: Marker) -> Beside:
    """Reads the Fields of an annotation."""
    found = Beside(marker.names, MISSING, marker.default_factory)
    validates = marker.validate_default
    for item in reversed(split_annotated(annotation)[1]):
        if type(item).__name__ != "FieldInfo":
            continue
        alias = item.alias if item.validation_alias is None else item.validation_alias
        if not found.names and alias is not None:
            found = found._replace(names=alias_names(alias))
        if validates is None:
            validates = item.validate_default
        if found.default is MISSING and found.default_factory is None:
            default = MISSING if item.is_required() else item.default
            if item.default_factory is not None:
                default = MISSING
            found = found._replace(default=default, default_factory=item.default_factory)
    return found._replace(validate_default=bool(validates))
