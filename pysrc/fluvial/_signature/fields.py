"""From a field of a signature to the core's Param: its kind, its conversion, its default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import _core
from .._validation.annotations import is_model, is_sequence, split_annotated, strip_optional
from .._validation.validators import Validator, make_validator
from ..params import MISSING, Marker
from .body import BodyField
from .param_models import choices_reader, model_reader

if TYPE_CHECKING:
    from .._validation.problems import Loc
    from .declared import Field

_SOURCES = {
    "path": _core.PATH,
    "query": _core.QUERY,
    "header": _core.HEADER,
    "cookie": _core.COOKIE,
}
# The order in which problems are reported.
_ORDER = ("path", "query", "header", "cookie", "body")

# Scalars that C converts by itself.
_KINDS: dict[Any, int] = {
    Any: _core.STR,
    str: _core.STR,
    int: _core.INT,
    float: _core.FLOAT,
    bool: _core.BOOL,
}
_LISTS: dict[Any, Any] = {list: str, list[Any]: str, list[str]: str}
_LISTS |= {list[int]: int, list[float]: float, list[bool]: bool}


def by_order(field: Field) -> int:
    """A key that sorts fields by the order in which their problems are reported."""
    return _ORDER.index(field.source)


def is_read_in_python(field: Field) -> bool:
    """Whether the value has several names, as a model's fields or a choice of aliases do. C reads
    values of one name only."""
    if field.source in ("path", "body"):
        return False
    return bool(field.further) or is_model(strip_optional(field.annotation))


def make_param(
    field: Field, captures: Mapping[str, tuple[int, Any]], *, defer: bool
) -> _core.Param:
    """The Param for one value from the path, the query, a header field or a cookie.

    `captures` maps the name of each path parameter to its index and type.
    """
    annotation, own = field.annotation, None
    key: str | int = field.alias.lower() if field.source == "header" else field.alias
    if field.source == "path":
        key, implied = captures[field.alias]
        if hasattr(implied, "convert"):  # of the program's own
            own, implied = implied.convert, Any
        annotation = implied if annotation is Any else annotation
    many = is_sequence(strip_optional(annotation))
    if own is None or split_annotated(strip_optional(annotation))[0] is str:
        kind, convert = _conversion(field, annotation, many)
    else:
        kind, convert = _core.PYTHON, _converted(own, field, annotation)
    own_default = field.needs_python
    return _core.Param(
        _SOURCES[field.source],
        key,
        field.alias,
        kind=kind,
        many=many,
        required=field.default is MISSING and not own_default,
        default=MISSING if own_default or field.default is MISSING else field.default,
        convert=convert,
        defer=defer,
    )


def make_body_field(field: Field) -> BodyField:
    """The BodyField for a field whose value comes from the body."""
    validator = validator_for(field, field.annotation)
    return BodyField(field.alias, validator, field.absent, field.further)


def _conversion(
    field: Field, annotation: Any, many: bool
) -> tuple[int, Callable[[Any], Any] | None]:
    plain = strip_optional(annotation)
    bare, metadata = split_annotated(plain)
    outer = split_annotated(annotation)[1]
    foreign = [m for m in (*metadata, *outer) if not _is_marker(m)]
    if not field.marker.constraints and not foreign:
        items = _LISTS.get(bare) if many else bare
        if items in _KINDS:
            kind = _KINDS[items]
            return kind, None if kind == _core.STR else _late(field, annotation)
        if bare is bytes:
            return _core.PYTHON, str.encode
    validator = validator_for(field, annotation)
    return _core.PYTHON, _bound(validator, (field.source, field.alias))


def _converted(own: Callable[[str], Any], field: Field, annotation: Any) -> Callable[[Any], Any]:
    """Validates what a converter of the program's own makes of a text; the text itself, which the
    validator then refuses in its own words, if the converter can't make anything of it."""
    plain = annotation is Any and not field.marker.constraints
    validator = None if plain else validator_for(field, annotation)

    def convert(text: Any) -> Any:
        try:
            value = own(text)
        except (ValueError, TypeError, ArithmeticError, AssertionError, LookupError):
            value = text
        if validator is None:
            return value
        return validator.from_python(value, (field.source, field.alias))

    return convert


def validator_for(field: Field, annotation: Any) -> Validator:
    """The validator for a field. Raises: TypeError, which names the field, when its type has
    none."""
    if annotation is not field.annotation:  # the path's converter narrows the type
        field = replace(field, annotation=annotation)
    try:
        return make_validator(annotation, field.marker.constraints, lambda: field.adapter)
    except TypeError as exc:
        raise TypeError(f"parameter {field.name!r}: {exc}") from exc


def _late(field: Field, annotation: Any) -> Callable[[Any], Any]:
    """A converter for texts that C refuses. It converts them as pydantic does, or raises the
    validation error; pydantic is imported by the first call."""
    made: list[Validator] = []

    def convert(value: Any) -> Any:
        if not made:
            made.append(validator_for(field, annotation))
        return made[0].from_python(value, (field.source, field.alias))

    return convert


def _is_marker(item: Any) -> bool:
    return isinstance(item, Marker) or (isinstance(item, type) and issubclass(item, Marker))


def _bound(validator: Validator, loc: Loc) -> Callable[[Any], Any]:
    from_python = validator.from_python
    return lambda value: from_python(value, loc)


def make_reader(field: Field) -> Callable[[Any], Any]:
    """Makes a function that reads a value from the request that C can't read."""
    make = choices_reader if field.further else model_reader
    return make(field, validator_for(field, field.annotation))
