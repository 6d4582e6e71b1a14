"""Schemas for pydantic of types that only msgspec knows: Structs, attrs classes, `msgspec.Meta`.

msgspec decodes them. pydantic makes the errors for values that msgspec refuses, accepts some of
these as it does in its own models, and makes their JSON Schema.
"""

from __future__ import annotations

import base64
import types
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from .annotations import (
    NoneType,
    concrete,
    is_model,
    is_union,
    split_annotated,
    union_members,
)
from .containers import known_to_pydantic, strip_qualifiers, type_variables
from .copies import copier

_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length")
_WORDS = ("title", "description", "examples")
# The references of the classes whose schema is being made, which a field may contain again.
_unfinished: ContextVar[frozenset[str]] = ContextVar("_unfinished", default=frozenset())
_Vars = Mapping[Any, Any]
_exact_encoder = msgspec.json.Encoder(
    enc_hook=lambda number: Decimal(number.text), decimal_format="number"
)


def for_pydantic(annotation: Any, variables: _Vars = types.MappingProxyType({})) -> Any:
    """The annotation, with parts that pydantic can validate in the place of msgspec's own.

    `variables` maps the type variables in it to types. Imports pydantic.
    """
    bare, metadata = split_annotated(strip_qualifiers(annotation))
    made = _replaced(bare, variables)
    understood = [_field_of(m) if isinstance(m, msgspec.Meta) else m for m in metadata]
    return Annotated[made, *understood] if understood else made


def _replaced(bare: Any, variables: _Vars) -> Any:
    if isinstance(bare, TypeVar):
        meaning = variables.get(bare, bare)
        return for_pydantic(bare.__bound__ or Any if meaning is bare else meaning, variables)
    if bare in (bytes, bytearray):
        from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

        schema = WithJsonSchema({"type": "string", "contentEncoding": "base64"})
        return Annotated[bytes, BeforeValidator(_from_base64), AfterValidator(bare), schema]
    if bare is msgspec.Raw:
        return Any
    if is_union(bare):
        return _union(bare, variables)
    if is_model(bare):
        is_pydantics = hasattr(concrete(bare), "__pydantic_fields__")
        return bare if is_pydantics else Annotated[Any, _Schema(bare, variables)]
    origin, arguments = get_origin(bare), get_args(bare)
    if not arguments or origin is Literal or origin is Callable:
        return bare
    parts = (each if each is ... else for_pydantic(each, variables) for each in arguments)
    return known_to_pydantic(origin, tuple(parts))


def _union(union: Any, variables: _Vars) -> Any:
    members = [m for m in union_members(union) if m is not msgspec.UnsetType]
    objects = [m for m in members if m is not NoneType]
    tags = {_tag_field(member) for member in objects}
    if len(objects) > 1 and len(tags) == 1 and None not in tags:
        made = Annotated[Any, _Tagged(objects, variables)]
        return made if NoneType not in members else Union[made, None]  # noqa: UP007
    return Union[tuple(for_pydantic(member, variables) for member in members)]  # noqa: UP007


def _tag_field(member: Any) -> str | None:
    config = getattr(concrete(member), "__struct_config__", None)
    return None if config is None else config.tag_field


def _field_of(meta: msgspec.Meta) -> Any:
    import pydantic

    options = {name: getattr(meta, name) for name in (*_LIMITS, *_WORDS)}
    options["json_schema_extra"] = meta.extra_json_schema
    return pydantic.Field(**{name: value for name, value in options.items() if value is not None})


def _from_base64(value: Any) -> Any:
    """Texts as msgspec reads them (RFC 4648 section 4)."""
    from pydantic_core import PydanticKnownError

    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as exc:
        reason = {"encoding": "base64", "encoding_error": str(exc)}
        raise PydanticKnownError("bytes_invalid_encoding", reason) from exc


class _Schema:
    """Metadata by which pydantic validates a class with fields, and makes instances of it."""

    def __init__(self, cls: Any, variables: _Vars) -> None:
        arguments = [variables.get(each, each) for each in get_args(cls)]
        self._cls: Any = get_origin(cls) or cls
        self._type: Any = self._cls[tuple(arguments)] if arguments else self._cls
        self._variables = type_variables(self._type)
        names = ",".join(getattr(each, "__name__", repr(each)) for each in arguments)
        end = f"[{names}]" if names else ""
        self._ref = f"{self._cls.__module__}.{self._cls.__qualname__}:{id(self._cls)}{end}"

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """The schema of the fields, and of what makes an instance of them."""
        from pydantic_core import core_schema

        if self._ref in _unfinished.get():
            return core_schema.definition_reference_schema(self._ref)
        info: Any = inspect.type_info(self._type)
        if getattr(info, "array_like", False):
            return core_schema.no_info_after_validator_function(
                self._by_msgspec, core_schema.any_schema(), ref=self._ref
            )
        token = _unfinished.set(_unfinished.get() | {self._ref})
        try:
            fields = self._fields(info, handler)
        finally:
            _unfinished.reset(token)
        if issubclass(self._cls, tuple):
            parameters = [
                core_schema.arguments_parameter(name, field["schema"])
                for name, field in fields.items()
            ]
            arguments = core_schema.arguments_schema(
                parameters, metadata={"pydantic_js_prefer_positional_arguments": True}
            )
            return core_schema.call_schema(arguments, self._cls, ref=self._ref)
        forbids = getattr(info, "forbid_unknown_fields", False)
        if issubclass(self._cls, dict):
            return core_schema.typed_dict_schema(fields, cls=self._cls, ref=self._ref)
        inner = core_schema.typed_dict_schema(
            fields, cls=self._cls, extra_behavior="forbid" if forbids else "ignore"
        )
        return core_schema.no_info_wrap_validator_function(self._validate, inner, ref=self._ref)

    def _fields(self, info: Any, handler: Any) -> dict[str, Any]:
        from pydantic_core import core_schema

        hints = get_type_hints(self._cls, include_extras=True)
        fields: dict[str, Any] = {}
        tag_field = getattr(info, "tag_field", None)
        if tag_field is not None:
            tag = core_schema.literal_schema([info.tag])
            fields[tag_field] = core_schema.typed_dict_field(tag, required=False)
        for field in info.fields:
            hint = for_pydantic(hints.get(field.name, Any), self._variables)
            schema = _with_default(handler.generate_schema(hint), field)
            alias = field.encode_name if field.encode_name != field.name else None
            fields[field.name] = core_schema.typed_dict_field(
                schema, required=field.required, validation_alias=alias, serialization_alias=alias
            )
        return fields

    def _validate(self, value: Any, validate: Callable[[Any], dict[str, Any]]) -> Any:
        if isinstance(value, self._cls):
            return value
        if not isinstance(value, dict):
            from pydantic_core import PydanticKnownError

            raise PydanticKnownError("model_attributes_type")
        fields = validate(value)
        tag_field = _tag_field(self._cls)
        if tag_field is not None:
            fields.pop(tag_field, None)
        try:
            return self._cls(**fields)
        except TypeError as exc:  # pydantic reports a ValueError, which a TypeError isn't
            raise ValueError(str(exc)) from exc

    def _by_msgspec(self, value: Any) -> Any:
        text = _exact_encoder.encode(value)
        return msgspec.json.decode(text, type=self._type, strict=False)


def _with_default(schema: Any, field: Any) -> Any:
    from pydantic_core import core_schema

    if field.default_factory in (list, dict, set):  # pydantic copies it, and shows it in the schema
        return core_schema.with_default_schema(schema, default=field.default_factory())
    if field.default_factory is not msgspec.NODEFAULT:
        return core_schema.with_default_schema(schema, default_factory=field.default_factory)
    if field.default in (msgspec.NODEFAULT, msgspec.UNSET):
        return schema
    try:
        make = copier(field.default)
    except TypeError:  # can't be copied: all instances of the class share it anyway
        make = None
    if make is None:
        return core_schema.with_default_schema(schema, default=field.default)
    return core_schema.with_default_schema(schema, default_factory=make)


class _Tagged:
    """Metadata by which pydantic chooses one of several Structs by its tag."""

    def __init__(self, members: list[Any], variables: _Vars) -> None:
        self._members = members
        self._variables = variables

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """The schema of a choice."""
        from pydantic_core import core_schema

        choices = {}
        for member in self._members:
            tag = concrete(member).__struct_config__.tag
            choices[tag] = handler.generate_schema(for_pydantic(member, self._variables))
        field = _tag_field(self._members[0])
        assert field is not None
        return core_schema.tagged_union_schema(choices, field)
