"""The JSON Schemas of all parts of a document, with one component for each model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from pydantic.json_schema import GenerateJsonSchema

from ._parts import PLACEHOLDER, Mode, Part
from .constants import REF_PREFIX, REF_TEMPLATE

Schema = dict[str, Any]


class _Generator(GenerateJsonSchema):
    """With OpenAPI 3.1's way of describing bytes (section 4.4.2, content encoding)."""

    def bytes_schema(self, schema: Any) -> Schema:
        """The schema of bytes: text in Base64 only where the model says so."""
        made: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}
        config = self._config
        out = self.mode == "serialization"
        if (config.ser_json_bytes if out else config.val_json_bytes) == "base64":
            made["contentEncoding"] = "base64"
        self.update_with_validations(made, schema, self.ValidationsMapping.bytes)
        return made


class Schemas:
    """Makes the schemas of `parts`. `separate`: models have one for input and one for output.

    `components` are the schemas that the parts refer to, by name.
    """

    def __init__(self, parts: list[Part], *, separate: bool) -> None:
        inputs: list[tuple[Part, Mode, Any]] = []
        self._modes: dict[Part, Mode] = {}
        for part in parts:
            core = part.core_schema()
            own = separate or _has_computed_fields(core)
            self._modes[part] = part.mode if own else "validation"
            inputs.append((part, self._modes[part], core))
        generator = _Generator(ref_template=REF_TEMPLATE)
        found, definitions = generator.generate_definitions(inputs)
        self._found: Mapping[Any, Schema] = found
        self.components: dict[str, Schema] = {str(k): v for k, v in definitions.items()}
        for component in self.components.values():
            if "description" in component:
                component["description"] = component["description"].split("\f")[0]
        self._add_structs(parts)

    def of(self, part: Part) -> Schema:
        """The schema of a part; it has a title unless it is a reference."""
        schema = dict(self._found[part, self._modes[part]])
        if "$ref" not in schema:
            schema["title"] = part.title
        return schema

    def _add_structs(self, parts: list[Part]) -> None:
        """Puts msgspec's schemas where the placeholders are."""
        kinds = {number: kind for part in parts for number, kind in part.structs.items()}
        if not kinds:
            return
        schemas, components = msgspec.json.schema_components(
            list(kinds.values()), ref_template=REF_PREFIX + "{name}"
        )
        taken = {name: _free_name(name, self.components) for name in components}
        for name, component in components.items():
            self.components[taken[name]] = _renamed(component, taken)
        by_number = {
            number: _renamed(schema, taken) for number, schema in zip(kinds, schemas, strict=True)
        }
        for schema in (*self._found.values(), *self.components.values()):
            for place in list(_walk(schema)):
                number = place.pop(PLACEHOLDER, None)
                if number is not None:
                    place.update(by_number[number] | place)
                    if "$ref" in place:
                        place.pop("title", None)


def _walk(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in list(schema.values()):
            yield from _walk(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _walk(value)


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    """`name`, with a suffix if a model of pydantic's has it."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _renamed(schema: Schema, names: Mapping[str, str]) -> Schema:
    for place in _walk(schema):
        reference = place.get("$ref")
        if isinstance(reference, str):
            name = reference.removeprefix(REF_PREFIX)
            place["$ref"] = REF_PREFIX + names.get(name, name)
    return schema


def _has_computed_fields(core: Any) -> bool:
    pending, seen = [core], set()
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            if item.get("computed_fields"):
                return True
            pending.extend(item.values())
        elif isinstance(item, list | tuple):
            pending.extend(item)
    return False
