"""What a request's body consists of: one parameter, or a model with several as its members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
from pydantic import ConfigDict, create_model
from pydantic.fields import FieldInfo

from .._signature.form_fields import is_form
from .._validation.annotations import (
    is_class,
    is_optional,
    split_annotated,
    strip_optional,
    union_members,
)
from ..params import File
from ._names import EitherName, field_names
from ._parts import Part, field_part

if TYPE_CHECKING:
    from .._signature.declared import Field

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body, with the marker of the parameter that takes all of it."""

    part: Part
    is_required: bool
    media_type: str
    marker: Any


def body_of(fields: Sequence[Field], unique_id: str) -> Body | None:
    """The body for these fields: the only one takes all of it, several are its members."""
    if not fields:
        return None
    first = fields[0]
    embedded = _is_embedded(fields)
    spread = any(map(_is_form_model, fields)) and (
        embedded or any(_is_form_model(each) and is_optional(each.annotation) for each in fields)
    )
    if not embedded and not spread:
        return Body(field_part(first), first.is_required, _media_type(fields), first.marker)
    make = _spread_members if spread else _members
    part = make("Body_" + unique_id, fields)
    required = any(each.is_required for each in fields) if embedded else first.is_required
    return Body(part, required, _media_type(fields), None if embedded else first.marker)


def _is_embedded(fields: Sequence[Field]) -> bool:
    first = fields[0]
    # Dependencies may name their models alike; the fields of all of them are in the form.
    several = {(each.name, str(each.annotation) * _is_form_model(each)) for each in fields}
    if len(several) > 1 or getattr(first.marker, "embed", None):
        return True
    return is_form(first) and not _is_form_model(first)


def _is_form_model(field: Field) -> bool:
    """Whether the fields of a form are those of the parameter's model, or of one of several."""
    kinds = _kinds(field)
    return is_form(field) and all(is_class(each, pydantic.BaseModel) for each in kinds)


def _kinds(field: Field) -> list[Any]:
    """The members of a union without None; for any other annotation, the annotation alone."""
    members = union_members(strip_optional(field.annotation))
    return [split_annotated(each)[0] for each in members]


def _media_type(fields: Sequence[Field]) -> str:
    if any(isinstance(each.marker, File) for each in fields):
        return "multipart/form-data"
    forms = [each for each in fields if is_form(each)]
    found = {getattr(each.marker, "media_type", "application/json") for each in forms or fields}
    if forms and "multipart/form-data" in found:
        return "multipart/form-data"
    default = "application/x-www-form-urlencoded" if forms else "application/json"
    return found.pop() if len(found) == 1 else default


def _members(name: str, fields: Sequence[Field]) -> Part:
    """A model with a member for each field."""
    members: dict[str, Any] = {}
    structs: dict[str, Any] = {}
    for each in fields:
        part = field_part(each)
        structs |= part.structs
        named = pydantic.Field(alias=each.alias)
        members[each.name] = Annotated[part.kind, named] if each.alias != each.name else part.kind
    model = create_model(name, **members)
    return Part(model, "body", "validation", FieldInfo(annotation=model), structs)


# ---- Models among the fields of a form ------------------------------------------------------


def _spread_members(name: str, fields: Sequence[Field]) -> Part:
    """A model for a form with the fields of models beside others: all conditions hold for it."""
    members: dict[str, Any] = {}
    for number, each in enumerate(fields):
        part = field_part(each)
        title = part.info.title or each.name.replace("_", " ").title()
        is_reference = is_class(split_annotated(each.annotation)[0], pydantic.BaseModel)
        named = pydantic.Field(title=None if is_reference else title)
        kind = Annotated[part.kind, EitherName(_kinds(each))] if _is_form_model(each) else part.kind
        members[f"field_{number}"] = Annotated[kind, named]
    config = ConfigDict(json_schema_extra=_spreading(fields))
    made: Any = create_model(name, __config__=config, **members)
    return Part(made, "body", "validation", FieldInfo(annotation=made))


def _spreading(fields: Sequence[Field]) -> Callable[[Schema], None]:
    """Changes the schema of a model with a member for each field into that of the flat form."""

    def spread(schema: Schema) -> None:
        members = schema.pop("properties")
        schema.pop("required", None)
        properties: Schema = {}
        required: list[str] = []
        conditions: list[Schema] = []
        for number, field in enumerate(fields):
            member = members[f"field_{number}"]
            if _is_form_model(field):
                conditions += _model_conditions(field, member)
                continue
            if field.alias in properties:
                conditions.append({"properties": {field.alias: member}})
            else:
                properties[field.alias] = member
            if field.is_required and field.alias not in required:
                required.append(field.alias)
        if properties:
            schema["properties"] = properties
        if required:
            schema["required"] = required
        schema["allOf"] = conditions

    return spread


def _model_conditions(field: Field, member: Schema) -> list[Schema]:
    """The conditions that a form must meet for a model. One that may be None is absent without its
    fields."""
    member.pop("default", None)
    if not is_optional(field.annotation):
        return [member]
    member["anyOf"] = [each for each in member["anyOf"] if each.get("type") != "null"]
    absent = _absence(_kinds(field))
    if field.is_required:
        return [{"not": absent}, member]
    return [{"anyOf": [absent, member]}]


def _absence(models: Sequence[Any]) -> Schema:
    if any(model.model_config.get("extra") in ("allow", "forbid") for model in models):
        return {"maxProperties": 0}
    names = {
        name
        for model in models
        for field, info in model.model_fields.items()
        for name in field_names(model, field, info)
    }
    listed = [{"required": [name]} for name in sorted(names)]
    return {"not": {"anyOf": listed}} if listed else {}
