"""What a document needs a JSON Schema for: parameters, bodies, responses.

Each is a Part, with pydantic's TypeAdapter for its type. Types that contain msgspec Structs, which
pydantic doesn't know, get a placeholder, for which `_schemas` puts msgspec's schema.
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import msgspec
from pydantic import BaseModel, PydanticUserError, TypeAdapter, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic.warnings import UnsupportedFieldAttributeWarning

from .._validation.annotations import (
    concrete,
    has_struct,
    is_class,
    is_model,
    strip_optional,
    union_members,
)

if TYPE_CHECKING:
    from .._signature.declared import Field

Mode = Literal["validation", "serialization"]
PLACEHOLDER = "x-fluvial-struct"


@dataclass(eq=False, slots=True)
class Part:
    """A type with the name that its schema gets as its title, unless `info` has one."""

    kind: Any  # what the TypeAdapter is made of
    alias: str
    mode: Mode
    info: FieldInfo
    structs: dict[str, Any] = field(default_factory=dict)  # by their placeholder's number

    @property
    def title(self) -> str:
        """The title of a schema that isn't a reference to a component."""
        return self.info.title or self.alias.title().replace("_", " ")

    def core_schema(self) -> Any:
        """The schema of the type in pydantic's core: a placeholder's for types that only msgspec
        knows, and Any's for types that neither knows."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
            try:
                return TypeAdapter(self.kind).core_schema
            except PydanticUserError:
                return TypeAdapter(self._fallback()).core_schema

    def _fallback(self) -> Any:
        try:
            msgspec.json.schema_components([self.info.annotation])
        except TypeError:
            return Any
        placeholder, self.structs = _placeholder(self.info.annotation)
        return placeholder


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation: a field of a signature, or of a model among these."""

    part: Part
    name: str
    source: str
    is_required: bool
    marker: Any  # of the field, or of the model's field: pydantic's FieldInfo


def make_part(annotation: Any, alias: str, mode: Mode = "validation") -> Part:
    """The part for a type, such as that of a response."""
    if not has_struct(annotation):
        return Part(annotation, alias, mode, FieldInfo(annotation=annotation))
    placeholder, structs = _placeholder(annotation)
    return Part(placeholder, alias, mode, FieldInfo(annotation=Any), structs)


def field_part(field: Field) -> Part:
    """The part for a field of a signature."""
    info = merged_info(field)
    if not has_struct(field.annotation):
        return Part(Annotated[field.annotation, field.info], field.alias, "validation", info)
    placeholder, structs = _placeholder(field.annotation)
    words = copy.copy(field.info)
    words.metadata = []  # limits of Structs are msgspec's
    return Part(Annotated[placeholder, words], field.alias, "validation", info, structs)


def merged_info(field: Field) -> FieldInfo:
    """What the marker says, together with pydantic's Fields that the annotation contains."""
    kind: Any = Annotated[field.annotation, field.info]
    return FieldInfo.from_annotation(kind)


def _placeholder(annotation: Any) -> tuple[Any, dict[str, Any]]:
    number = str(id(annotation))
    kind: Any = Annotated[Any, WithJsonSchema({PLACEHOLDER: number})]
    return kind, {number: annotation}


# ---- Parameters -----------------------------------------------------------------------------


def parameters_of(field: Field) -> Iterator[Parameter]:
    """A parameter for the field, or one for each field of the model that it is."""
    bare = strip_optional(field.annotation)
    if not is_model(bare) or len(union_members(bare)) > 1:
        yield Parameter(
            field_part(field), field.alias, field.source, field.is_required, field.marker
        )
        return
    hyphens = field.source == "header" and getattr(field.marker, "convert_underscores", True)
    for name, alias, info in _model_fields(concrete(bare)):
        sent = alias.replace("_", "-") if hyphens and alias == name else alias
        part = _info_part(info, alias)
        required = info.is_required() and field.is_required
        yield Parameter(part, sent, field.source, required, info)


def _model_fields(model: Any) -> Iterator[tuple[str, str, FieldInfo]]:
    """The name, the name in requests, and pydantic's view of each field of a model."""
    if is_class(model, BaseModel):
        for name, info in model.model_fields.items():
            choice = getattr(info.validation_alias, "choices", (info.validation_alias,))[0]
            alias = choice if isinstance(choice, str) else info.alias or name
            if model.model_config.get("validate_by_alias") is False:
                alias = name
            yield name, alias, info
        return
    hints = get_type_hints(model, include_extras=True)
    for name, alias, default in _other_fields(model):
        info = FieldInfo.from_annotated_attribute(hints[name], default)
        yield name, alias, info


def _other_fields(model: Any) -> Iterator[tuple[str, str, Any]]:
    if hasattr(model, "__struct_fields__"):
        for each in msgspec.structs.fields(model):
            default = each.default if each.default_factory is msgspec.NODEFAULT else None
            yield each.name, each.encode_name, ... if each.required else default
    elif dataclasses.is_dataclass(model):
        for item in dataclasses.fields(model):
            default = ... if item.default is dataclasses.MISSING else item.default
            yield item.name, item.name, default
    else:
        for name in get_type_hints(model):
            optional = name in getattr(model, "__optional_keys__", ())
            defaults = getattr(model, "_field_defaults", {})
            yield name, name, defaults.get(name, None if optional else ...)


def _info_part(info: FieldInfo, alias: str) -> Part:
    if has_struct(info.annotation):
        return make_part(info.annotation, alias)
    return Part(_annotated(info), alias, "validation", info)


def _annotated(info: FieldInfo) -> Any:
    """The type of a model's field with its metadata, but without its alias."""
    words = copy.copy(info)
    words.alias = words.validation_alias = words.serialization_alias = None
    return Annotated[info.annotation, words]
