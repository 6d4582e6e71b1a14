"""Shapes of pydantic models: of which results pydantic has nothing to validate and to warn of.

An instance of exactly its declared class is taken by pydantic as it is, and if its fields hold
values of exactly their declared types, its JSON has no more than is declared. Then neither
`validate_python` nor `warnings="error"` makes a difference, and both are left out. Schemas in which
anything else may have a say have no shape here.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

from .. import _core

_LEAVES: dict[str, type] = {
    "none": type(None),
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "bytes": bytes,
    "datetime": datetime.datetime,
    "date": datetime.date,
    "time": datetime.time,
    "timedelta": datetime.timedelta,
    "uuid": uuid.UUID,
    "decimal": decimal.Decimal,
}
_ITEMS: dict[str, type] = {"list": list, "set": set, "frozenset": frozenset}
# What converts or checks a field's value when the model is made, and has no part in writing it.
_AROUND = ("default", "function-after", "function-before")
# What may stand around a model: pydantic validates nothing else of it than the class.
_OUTSIDE = ("model", "nullable", "list", "definitions", "definition-ref")
_OUTSIDE_KEYS = {"type", "schema", "items_schema", "definitions", "schema_ref", "metadata", "ref"}
NOTHING_FITS = _core.Shape(_core.SHAPE_EXACT)


class _Unknown(Exception):
    """The schema has something that may write or validate values in its own way."""


def make_model_shape(schema: Any) -> _core.Shape:
    """The shape of what one of pydantic's core schemas describes; one that nothing fits if values
    must be looked at by pydantic."""
    try:
        return _Maker().make(schema, inside=False) or NOTHING_FITS
    except _Unknown:
        return NOTHING_FITS


class _Maker:
    def __init__(self) -> None:
        self._definitions: dict[str, Any] = {}
        self._made: dict[str, _core.Shape] = {}  # of models, by their references
        self._open: set[str] = set()  # references that are being followed

    def make(self, schema: Any, *, inside: bool) -> _core.Shape | None:
        """The shape of a schema, `inside` a model or around one. None if anything fits.

        Raises: _Unknown.
        """
        kind = schema["type"]
        if "serialization" in schema or (not inside and kind not in _OUTSIDE):
            raise _Unknown
        if kind == "model":
            return self._model(schema)
        if not inside and not schema.keys() <= _OUTSIDE_KEYS:  # limits of a list, for example
            raise _Unknown
        if kind in _LEAVES:
            return _core.Shape(_core.SHAPE_EXACT, (_LEAVES[kind],))
        if kind == "enum":
            return _core.Shape(_core.SHAPE_EXACT, (schema["cls"],))
        if kind == "any":
            return None
        if kind in _AROUND:
            return self.make(schema["schema"], inside=inside)
        return self._container(schema, kind, inside)

    def _container(self, schema: Any, kind: str, inside: bool) -> _core.Shape | None:
        match kind:
            case "definitions":
                self._definitions |= {each["ref"]: each for each in schema["definitions"]}
                return self.make(schema["schema"], inside=inside)
            case "definition-ref":
                return self._referred(schema["schema_ref"], inside)
            case "nullable":
                nothing = _core.Shape(_core.SHAPE_EXACT, (type(None),))
                return _union([nothing, self.make(schema["schema"], inside=inside)])
            case "union" if "custom_error_type" not in schema:
                choices = [each[0] if type(each) is tuple else each for each in schema["choices"]]
                return _union([self.make(each, inside=inside) for each in choices])
            case "dict":
                parts = [schema.get(f"{part}_schema", _ANY) for part in ("keys", "values")]
                shape = _core.Shape(_core.SHAPE_DICT)
                shape.settle(tuple(self.make(each, inside=inside) for each in parts))
                return shape
            case "list" | "set" | "frozenset":
                shape = _core.Shape(_core.SHAPE_ITEMS, (_ITEMS[kind],))
                shape.settle((self.make(schema.get("items_schema", _ANY), inside=inside),))
                return shape
        raise _Unknown

    def _referred(self, ref: str, inside: bool) -> _core.Shape | None:
        """The shape of a definition. Only a model may be within itself."""
        if ref in self._made:
            return self._made[ref]
        if ref in self._open or ref not in self._definitions:
            raise _Unknown
        self._open.add(ref)
        shape = self.make(self._definitions[ref], inside=inside)
        self._open.discard(ref)
        return shape

    def _model(self, schema: Any) -> _core.Shape:
        ref = schema.get("ref")
        if ref in self._made:
            return self._made[ref]
        fields = _fields_of(schema)
        shape = _core.Shape(_core.SHAPE_MODEL, (schema["cls"],), tuple(fields))
        if ref is not None:
            self._made[ref] = shape  # before its fields, which may be of it
        shape.settle(tuple(self.make(each["schema"], inside=True) for each in fields.values()))
        return shape


_ANY = {"type": "any"}


def _union(members: list[_core.Shape | None]) -> _core.Shape | None:
    if None in members:
        return None
    shape = _core.Shape(_core.SHAPE_UNION)
    shape.settle(tuple(members))
    return shape


def _fields_of(schema: Any) -> dict[str, Any]:
    """The fields of a model. Raises: _Unknown when there is more to it than its fields."""
    config = schema.get("config", {})
    again = schema.get("revalidate_instances", config.get("revalidate_instances", "never"))
    if schema.get("root_model") or again != "never":
        raise _Unknown
    inner = schema["schema"]
    while inner["type"] in _AROUND and "serialization" not in inner:
        inner = inner["schema"]
    extras = (
        schema.get("extra_behavior"),
        inner.get("extra_behavior"),
        config.get("extra_fields_behavior"),
    )
    own = inner["type"] != "model-fields" or inner.get("computed_fields")
    if own or "allow" in extras or "serialization" in inner or "extras_schema" in inner:
        raise _Unknown
    fields: dict[str, Any] = inner["fields"]
    if any("serialization" in field for field in fields.values()):
        raise _Unknown
    return fields
