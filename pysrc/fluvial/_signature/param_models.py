"""Parameters whose values have several names: models for the query, header fields or cookies, and
choices of aliases. Python code reads them from the request; C reads all other parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from .._messages.cookies import cookie_pairs
from .._validation.annotations import concrete, is_optional, is_sequence, strip_optional
from .._validation.problems import missing
from ..exceptions import RequestValidationError
from ..params import MISSING

if TYPE_CHECKING:
    from .._validation.validators import Validator
    from .declared import Field

Reader = Callable[[Any], Any]
Received = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Input:
    """One name that a field of a parameter model may have in the request."""

    sent: str  # as it is in the request
    name: str  # as the validator expects it
    many: bool  # whether its values form a list
    field: str  # the field of the model, which may have several names
    shown: str  # as errors name it


def choices_reader(field: Field, validator: Validator) -> Reader:
    """Makes a function that reads a value with several names: the first one present is used."""
    many = is_sequence(strip_optional(field.annotation))

    def read(request: Any) -> Any:
        received = _received(request, field.source)
        for name in (field.alias, *field.further):
            values = received.get(name.lower() if field.source == "header" else name)
            if values is not None:
                value = values if many else _one(values, field.source)
                return validator.from_python(value, (field.source, name))
        default = field.absent((field.source, field.alias))
        if default is MISSING:
            raise RequestValidationError([missing((field.source, field.alias))])
        return default

    return read


def model_reader(field: Field, validator: Validator) -> Reader:
    """Makes a function that reads the fields of a model from the request."""
    model = concrete(strip_optional(field.annotation))
    inputs = model_inputs(model, field)
    shown = {each.name: each.shown for each in reversed(inputs)}
    extra = extra_policy(model)
    optional = is_optional(field.annotation)

    def read(request: Any) -> Any:
        received = _received(request, field.source)
        found, others = _sort(received, inputs, field.source)
        if not found and not (extra in ("allow", "forbid") and others):
            default = field.absent((field.source,))
            if default is not MISSING:
                return default
            if optional:
                raise RequestValidationError([missing((field.source,))])
        try:
            return validator.from_python(found | others, (field.source,))
        except RequestValidationError as exc:
            for error in exc.errors():
                loc = error["loc"]
                error["loc"] = (*loc[:1], *(shown.get(name, name) for name in loc[1:2]), *loc[2:])
            raise

    return read


def _received(request: Any, source: str) -> Received:
    pairs: Iterable[tuple[str, str]]
    if source == "query":
        pairs = request.query_params.multi_items()
    elif source == "header":
        pairs = request.headers.items()
    else:
        fields = request.headers.getlist("cookie")
        pairs = (pair for text in fields for pair in cookie_pairs(text))
    received: Received = {}
    for name, value in pairs:
        received.setdefault(name, []).append(value)
    return received


def _one(values: list[str], source: str) -> str:
    """The value of a name that was sent several times: of header fields the first."""
    return values[0] if source == "header" else values[-1]


def _sort(
    received: Received, inputs: list[Input], source: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of the model's fields, and the other values in the request."""
    found: dict[str, Any] = {}
    read: set[str] = set()  # the fields that have values
    unused: Received = {}
    rest = dict(received)
    for each in inputs:
        values = received.get(each.sent)
        if values is None:
            continue
        rest.pop(each.sent, None)
        if source == "header" and each.field in read:  # by a name that comes before in AliasChoices
            unused[each.sent] = values
        elif each.name not in found:
            read.add(each.field)
            found[each.name] = values if each.many else _one(values, source)
    for each in inputs:  # not sent under the name that belongs to the field
        rest.pop(each.name, None)
    rest |= unused
    others = {name: values if len(values) > 1 else values[0] for name, values in rest.items()}
    return found, others


def model_inputs(model: Any, field: Field) -> list[Input]:
    """The names in the request that a model's fields are read from."""
    inputs: list[Input] = []
    is_header = field.source == "header"
    hyphens = is_header and getattr(field.marker, "convert_underscores", True)
    for name, annotation, aliases in _model_fields(model):
        is_list = is_sequence(strip_optional(annotation))
        for alias, indexed, given in aliases:
            many = is_list or indexed
            # The underscores of an explicit alias are meant.
            shown = alias.replace("_", "-") if hyphens and not given else alias
            sent = shown.lower() if is_header else shown
            inputs.append(Input(sent, alias, many, name, shown))
    return inputs


def _model_fields(model: Any) -> list[tuple[str, Any, list[tuple[str, bool, bool]]]]:
    """For each field: its name, its annotation, and its names in the request. Each of these comes
    with whether it is followed by an index, as in an AliasPath, and whether it is an alias."""
    pydantic_fields = getattr(model, "__pydantic_fields__", None)
    if pydantic_fields is not None:
        config = _config(model)
        return [
            (name, info.annotation, _aliases(name, info, config))
            for name, info in pydantic_fields.items()
        ]
    hints = get_type_hints(model, include_extras=True)
    try:
        info: Any = msgspec.inspect.type_info(model)
    except TypeError:  # it contains something that only pydantic knows
        return [(name, hint, [(name, False, False)]) for name, hint in hints.items()]
    return [
        (
            item.name,
            hints.get(item.name, Any),
            [(item.encode_name, False, item.encode_name != item.name)],
        )
        for item in info.fields
    ]


def _config(model: Any) -> Any:
    return getattr(model, "model_config", None) or getattr(model, "__pydantic_config__", None) or {}


def _aliases(name: str, info: Any, config: Any) -> list[tuple[str, bool, bool]]:
    alias = info.validation_alias or info.alias
    names: list[tuple[str, bool, bool]] = []
    if alias is not None and config.get("validate_by_alias") is not False:
        for choice in getattr(alias, "choices", (alias,)):
            path = getattr(choice, "path", None)  # of an AliasPath
            first, indexed = (choice, False) if path is None else (path[0], len(path) > 1)
            names.append((first, indexed, True))
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    if alias is None or by_name or not names:
        names.append((name, False, False))
    return names


def extra_policy(model: Any) -> str | None:
    """What the model does with values it has no field for.

    They are kept ("allow"), refused ("forbid"), seen by a model validator ("look"), or ignored
    (None).
    """
    struct = getattr(model, "__struct_config__", None)
    if struct is not None:
        return "forbid" if struct.forbid_unknown_fields else None
    extra = _config(model).get("extra")
    if extra in ("allow", "forbid"):
        return str(extra)
    decorators = getattr(model, "__pydantic_decorators__", None)
    return "look" if decorators is not None and decorators.model_validators else None
