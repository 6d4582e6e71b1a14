"""From a signature's field to the core's Param: which kind, which conversion, which default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from . import _core
from ._body import BodyField
from ._exceptions import RequestValidationError
from ._params import MISSING, Marker
from ._types import concrete, is_model, is_sequence, split_annotated, strip_optional
from ._validate import Validator, make_validator

if TYPE_CHECKING:
    from ._problems import Loc
    from ._signature import Field

_SOURCES = {
    "path": _core.PATH,
    "query": _core.QUERY,
    "header": _core.HEADER,
    "cookie": _core.COOKIE,
}
# The order in which problems are told.
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
    """A key that sorts fields by the order in which problems are told."""
    return _ORDER.index(field.source)


def is_model_field(field: Field) -> bool:
    """Whether the fields of a model are the parameters."""
    return field.source not in ("path", "body") and is_model(strip_optional(field.annotation))


def make_param(
    field: Field, captures: Mapping[str, tuple[int, Any]], *, defer: bool
) -> _core.Param:
    """The Param for one value of the path, the query, a header or a cookie.

    `captures` has index and type of each parameter of the path.
    """
    annotation = field.annotation
    key: str | int = field.alias.lower() if field.source == "header" else field.alias
    if field.source == "path":
        key, implied = captures[field.alias]
        annotation = implied if annotation is Any else annotation
    many = is_sequence(strip_optional(annotation))
    kind, convert = _conversion(field, annotation, many)
    own_default = field.default_factory is not None
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
    """The body's share of a field."""
    validator = _validator_for(field, field.annotation)
    return BodyField(field.alias, validator, field.default, field.default_factory)


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
            return _KINDS[items], None
        if bare is bytes:
            return _core.PYTHON, str.encode
    validator = _validator_for(field, annotation)
    return _core.PYTHON, _bound(validator, (field.source, field.alias))


def _validator_for(field: Field, annotation: Any) -> Validator:
    try:
        return make_validator(annotation, field.marker.constraints)
    except TypeError as exc:
        raise TypeError(f"parameter {field.name!r}: {exc}") from exc


def _is_marker(item: Any) -> bool:
    return isinstance(item, Marker) or (isinstance(item, type) and issubclass(item, Marker))


def _bound(validator: Validator, loc: Loc) -> Callable[[Any], Any]:
    from_python = validator.from_python
    return lambda value: from_python(value, loc)


def model_reader(field: Field) -> Callable[[Any], Any]:
    """Makes a function that reads a model's fields from a request's query, headers or cookies."""
    model = strip_optional(field.annotation)
    validator = _validator_for(field, field.annotation)
    names = _model_names(concrete(model), field)
    sent = {name: sent for sent, (name, _) in names.items()}

    def read(request: Any) -> Any:
        found = _gather(request, field.source, names)
        if not found and field.default_factory is not None:
            return field.default_factory()
        if not found and field.default is not MISSING:
            return field.default
        try:
            return validator.from_python(found, (field.source,))
        except RequestValidationError as exc:
            for error in exc.errors():
                loc = error["loc"]
                error["loc"] = (*loc[:1], *(sent.get(name, name) for name in loc[1:2]), *loc[2:])
            raise

    return read


def _model_names(model: Any, field: Field) -> dict[str, tuple[str, bool]]:
    """For each name in the request, the name for the validator and whether values make a list."""
    names: dict[str, tuple[str, bool]] = {}
    for name, annotation in _model_fields(model):
        sent = name
        if field.source == "header" and getattr(field.marker, "convert_underscores", True):
            sent = name.replace("_", "-")
        names[sent] = (name, is_sequence(strip_optional(annotation)))
    return names


def _model_fields(model: Any) -> list[tuple[str, Any]]:
    pydantic_fields = getattr(model, "__pydantic_fields__", None)
    if pydantic_fields is not None and hasattr(model, "model_fields"):
        return [(info.alias or name, info.annotation) for name, info in pydantic_fields.items()]
    info: Any = msgspec.inspect.type_info(model)
    hints = get_type_hints(model, include_extras=True)
    return [(item.encode_name, hints.get(item.name, Any)) for item in info.fields]


def _gather(request: Any, source: str, names: dict[str, tuple[str, bool]]) -> dict[str, Any]:
    """The values of a model's fields; for the query also what the model doesn't know."""
    if source == "cookie":
        cookies = request.cookies
        return {name: cookies[sent] for sent, (name, _) in names.items() if sent in cookies}
    values = request.query_params if source == "query" else request.headers
    others = {name: (name, False) for name in values if name not in names}
    found: dict[str, Any] = {}
    for sent, (name, many) in (names | (others if source == "query" else {})).items():
        if sent in values:
            found[name] = values.getlist(sent) if many else values[sent]
    return found
