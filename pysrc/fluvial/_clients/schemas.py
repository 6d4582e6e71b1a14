"""JSON Schemas as types: `SchemaReader` turns those of a document into `Api.types`."""

from __future__ import annotations

from typing import Any, cast

from .api import (
    ANY,
    BINARY,
    NULL,
    STRING,
    Alias,
    Array,
    DocumentError,
    Enum,
    Field,
    Map,
    Model,
    Plain,
    Ref,
    Tuple,
    Type,
    Union,
    Values,
)

Schema = dict[str, Any] | bool
_REF = "#/components/schemas/"
_FORMATS = frozenset({"date-time", "date", "time", "duration", "uuid"})
_PLAIN = {"null": NULL, **{kind: Plain(kind) for kind in ("boolean", "integer", "number")}}


class SchemaReader:
    """Reads schemas; objects and discriminated unions without a name of their own get one."""

    def __init__(self, named: dict[str, Any]) -> None:
        self._named = named
        self.types: dict[str, Model | Enum | Alias] = {}

    def read_named(self, key: str) -> Ref:
        """The named schema with this key."""
        if key not in self._named:
            raise DocumentError(f"schema {key!r} is not in the document")
        if key not in self.types:
            schema = self._named[key]
            self.types[key] = Alias("", ANY)  # what a schema that contains itself finds
            self.types[key] = self._declare(schema, key)
            self._cut_circle(key)
        return Ref(key)

    def _cut_circle(self, key: str) -> None:
        """Leaves out of an alias what leads back to it without anything between."""
        alias = self.types[key]
        if not isinstance(alias, Alias):
            return
        members = alias.type.members if isinstance(alias.type, Union) else (alias.type,)
        kept = [each for each in members if not self._leads_to(each, key, frozenset())]
        if len(kept) < len(members):
            self.types[key] = Alias(alias.doc, union(kept) if kept else ANY)

    def _leads_to(self, of: Type, key: str, seen: frozenset[str]) -> bool:
        if isinstance(of, Union):
            return any(self._leads_to(each, key, seen) for each in of.members)
        if not isinstance(of, Ref) or of.key in seen:
            return False
        found = self.types.get(of.key)
        behind = found.type if isinstance(found, Alias) else ANY
        return of.key == key or self._leads_to(behind, key, seen | {of.key})

    def read(self, schema: Schema, place: str, *, form: bool = False) -> Type:
        """The type of a schema. `place` names it in messages, and if it needs a name."""
        if not isinstance(schema, dict):
            return ANY
        if (reference := schema.get("$ref")) is not None:
            return self._read_reference(reference, place)
        if "const" in schema and _is_scalar(schema["const"]):
            return Values((schema["const"],))
        if "enum" in schema and all(_is_scalar(each) for each in schema["enum"]):
            return Values(tuple(schema["enum"]))
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return self._read_union(schema, key, place, form)
        if "allOf" in schema:
            return self._read_all_of(schema, place)
        kinds = schema.get("type")
        if isinstance(kinds, list):
            each = [self._read_kind({**schema, "type": kind}, place, form) for kind in kinds]
            return union(each)
        found = self._read_kind(schema, place, form)
        return union([found, NULL]) if schema.get("nullable") else found

    def fields_of(
        self,
        schema: Schema,
        place: str,
        *,
        form: bool = False,
        seen: frozenset[str] = frozenset(),
    ) -> tuple[Field, ...]:
        """The properties of an object's schema, which may be a reference; `seen` are those that
        have led here."""
        if not isinstance(schema, dict):
            return ()
        if (reference := schema.get("$ref")) is not None:
            key = self._key(reference, place)
            if key in seen:
                return ()
            return self.fields_of(self._named[key], place, form=form, seen=seen | {key})
        required = schema.get("required", ())
        properties: dict[str, Schema] = dict(schema.get("properties", {}))
        fields = {
            name: self._read_field(name, each, name in required, place, form)
            for name, each in properties.items()
        }
        for part in schema.get("allOf", ()):
            for field in self.fields_of(part, place, form=form, seen=seen):
                fields.setdefault(field.name, field)
        return tuple(fields.values())

    def _read_field(
        self, name: str, schema: Schema, required: bool, place: str, form: bool
    ) -> Field:
        found = self.read(schema, f"{place} {name}", form=form)
        if not isinstance(schema, dict):
            return Field(name, found, required)
        default = schema.get("default")
        if not _is_literal_of(default, found):
            default = None
        return Field(name, found, required, default, schema.get("description", ""))

    def _declare(self, schema: Schema, key: str) -> Model | Enum | Alias:
        """The schema that a name refers to."""
        if not isinstance(schema, dict):
            return Alias("", ANY)
        doc = schema.get("description", "")
        values = schema.get("enum", ())
        for kind in (str, int):
            if values and all(type(value) is kind for value in values):
                return Enum(doc, tuple(values))
        if _is_model(schema):
            more = schema.get("additionalProperties")
            extra = self.read(more, f"{key} value") if more else None
            return Model(doc, self.fields_of(schema, key), extra)
        return Alias(doc, self.read(schema, key))

    def _read_reference(self, reference: str, place: str) -> Type:
        return self.read_named(self._key(reference, place))

    def _key(self, reference: str, place: str) -> str:
        key = reference.removeprefix(_REF).replace("~1", "/").replace("~0", "~")
        if not reference.startswith(_REF) or key not in self._named:
            raise DocumentError(f"{place}: {reference!r} is no schema of the document")
        return key

    def _read_union(self, schema: dict[str, Any], key: str, place: str, form: bool) -> Type:
        parts = schema[key]
        members = [self.read(part, f"{place} {i}", form=form) for i, part in enumerate(parts, 1)]
        tag = schema.get("discriminator", {}).get("propertyName", "")
        return union(members, tag if tag and self._can_tell(tag, parts) else "")

    def _can_tell(self, tag: str, parts: list[Schema]) -> bool:
        """Whether each member is an object that must have the tag, with a constant for it."""
        for part in parts:
            if not isinstance(part, dict) or "$ref" not in part:
                return False
            found = self._property(part, tag, frozenset())
            if not isinstance(found, dict) or not ("const" in found or "enum" in found):
                return False
            if not isinstance(self.read(found, tag), Values):
                return False
        return True

    def _property(self, schema: Schema, name: str, seen: frozenset[str]) -> Schema | None:
        """The schema of one property; the others, which may lead back here, aren't read."""
        if not isinstance(schema, dict):
            return None
        if (reference := schema.get("$ref")) is not None:
            key = self._key(reference, name)
            return None if key in seen else self._property(self._named[key], name, seen | {key})
        if name in schema.get("properties", {}):
            return cast("Schema", schema["properties"][name])
        parts = (self._property(part, name, seen) for part in schema.get("allOf", ()))
        return next((part for part in parts if part is not None), None)

    def _read_all_of(self, schema: dict[str, Any], place: str) -> Type:
        parts = schema["allOf"]
        if len(parts) == 1 and "properties" not in schema:
            return self.read(parts[0], place)
        return self._name_model(schema, place)

    def _name_model(self, schema: dict[str, Any], place: str) -> Ref:
        """Gives an object that has no name one that says where it stands."""
        key = place
        while key in self.types or key in self._named:
            key += " object"
        self.types[key] = Alias("", ANY)
        self.types[key] = self._declare(schema, key)
        return Ref(key)

    def _read_kind(self, schema: dict[str, Any], place: str, form: bool) -> Type:
        kind = schema.get("type")
        if kind == "array":
            return self._read_array(schema, place, form)
        if kind == "object" or (kind is None and "properties" in schema):
            if _is_model(schema):
                return self._name_model(schema, place)
            return Map(self.read(schema.get("additionalProperties", True), f"{place} value"))
        if kind == "string":
            return _read_string(schema, form)
        if kind is None:
            return ANY
        if kind not in _PLAIN:
            raise DocumentError(f"{place}: {kind!r} is no type of JSON Schema")
        return _PLAIN[kind]

    def _read_array(self, schema: dict[str, Any], place: str, form: bool) -> Type:
        places = schema.get("prefixItems")
        if places and schema.get("minItems") == schema.get("maxItems") == len(places):
            return Tuple(tuple(self.read(each, f"{place} {i}") for i, each in enumerate(places, 1)))
        if places:
            return Array(ANY)
        return Array(self.read(schema.get("items", True), f"{place} item", form=form))


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int)  # PEP 586 has no floats


def _is_model(schema: dict[str, Any]) -> bool:
    """Whether the schema is an object with known properties."""
    parts = schema.get("allOf", ())
    return bool(schema.get("properties")) or len(parts) > 1


def _read_string(schema: dict[str, Any], form: bool) -> Type:
    """A string; in a form one without an encoding is a file."""
    file = schema.get("format") == "binary" or "contentMediaType" in schema
    if form and file and "contentEncoding" not in schema:
        return BINARY
    if schema.get("format") in _FORMATS:
        return Plain(schema["format"])
    return STRING


def union(members: list[Type], tag: str = "") -> Type:
    """The union, without repetitions; of one, that one."""
    flat: dict[Type, None] = {}
    for member in members:
        inner = member.members if isinstance(member, Union) and not member.tag else (member,)
        flat.update(dict.fromkeys(inner))
    if ANY in flat:
        return ANY
    return next(iter(flat)) if len(flat) == 1 else Union(tuple(flat), tag)


def _is_literal_of(value: Any, of: Type) -> bool:
    """Whether a default is a literal of the type in every language."""
    if isinstance(of, Union):
        return any(_is_literal_of(value, member) for member in of.members)
    if isinstance(of, Values):
        return value is not None and any(
            value == each and type(value) is type(each) for each in of.values
        )
    kinds: dict[str, Any] = {"string": str, "integer": int, "boolean": bool, "number": (int, float)}
    if isinstance(of, Plain) and of.kind in kinds:
        return isinstance(value, kinds[of.kind]) and (of.kind == "boolean") == isinstance(
            value, bool
        )
    return False
