"""Slow conversion of JSON values and texts to typed values, for values that msgspec has refused.

It accepts what pydantic's lax mode accepts, and finds every problem instead of only the first one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import inspect as types

from . import scalars
from .problems import (
    Failed,
    Loc,
    Problem,
    check_length,
    check_number,
    check_text,
    missing,
    one_of,
    problem,
)
from .read_json import settle

DecHook = Callable[[Any, Any], Any]
# The values of each Literal in their order in the source, because msgspec sorts them.
Literals = dict[frozenset[Any], tuple[Any, ...]]
INVALID: Any = object()
_exact_encoder = msgspec.json.Encoder(
    enc_hook=lambda number: Decimal(number.text), decimal_format="number"
)

_SCALARS: dict[type, Callable[[Any], Any]] = {
    types.IntType: scalars.to_int,
    types.FloatType: scalars.to_float,
    types.BoolType: scalars.to_bool,
    types.StrType: scalars.to_str,
    types.NoneType: scalars.to_none,
    types.BytesType: scalars.to_bytes,
    types.DecimalType: scalars.to_decimal,
    types.UUIDType: scalars.to_uuid,
    types.DateTimeType: scalars.to_datetime,
    types.DateType: scalars.to_date,
    types.TimeType: scalars.to_time,
    types.TimeDeltaType: scalars.to_timedelta,
}

_COLLECTIONS: dict[type, tuple[str, str, Callable[[list[Any]], Any]]] = {
    types.ListType: ("list", "List", list),
    types.CollectionType: ("list", "List", list),
    types.VarTupleType: ("tuple", "Tuple", tuple),
    types.SetType: ("set", "Set", set),
    types.FrozenSetType: ("frozen_set", "Frozenset", frozenset),
}


class Lax:
    """One conversion, of JSON values or of `texts`. Collects the `problems` that it finds."""

    def __init__(self, dec_hook: DecHook, literals: Literals, *, texts: bool) -> None:
        self.problems: list[Problem] = []
        self._texts = texts
        self._dec_hook = dec_hook
        self._literals = literals

    def convert(self, value: Any, info: types.Type, loc: Loc) -> Any:
        """`value` converted to the type `info`; INVALID if that fails, with `problems` extended."""
        try:
            return self._convert(value, info, loc)
        except Failed as exc:
            self.problems.append(exc.at(loc, value))
            return INVALID

    def _convert(self, value: Any, info: types.Type, loc: Loc) -> Any:
        scalar = _SCALARS.get(type(info))
        if scalar is scalars.to_bytes and not self._texts:
            scalar = scalars.to_bytes_from_json
        if scalar is not None:
            return _scalar(scalar, value, info)
        collection = _COLLECTIONS.get(type(info))
        if collection is not None:
            return self._collection(value, info, loc, *collection)
        match info:
            case types.AnyType():
                return settle(value)
            case types.Metadata():
                return self._convert(value, info.type, loc)
            case types.UnionType():
                return self._union(value, info, loc)
            case types.LiteralType():
                return _literal(value, self._literals.get(frozenset(info.values), info.values))
            case types.EnumType():
                return _enum(value, info.cls)
            case types.TupleType():
                return self._tuple(value, info.item_types, loc)
            case types.DictType():
                return self._dict(value, info, loc)
            case types.StructType() | types.DataclassType() | types.TypedDictType():
                return self._object(value, info, loc)
            case types.NamedTupleType():
                return self._object(value, info, loc)
            case types.CustomType():
                return self._custom(value, info.cls, loc)
        raise Failed("value_error", f"Value error, {type(info).__name__} is not supported")

    def _collection(
        self, value: Any, info: Any, loc: Loc, kind: str, name: str, make: Callable[..., Any]
    ) -> Any:
        if not isinstance(value, (list, tuple)):
            words = "frozenset" if kind == "frozen_set" else kind
            raise Failed(f"{kind}_type", f"Input should be a valid {words}")
        items = [self.convert(item, info.item_type, (*loc, i)) for i, item in enumerate(value)]
        if any(item is INVALID for item in items):
            return INVALID
        made = make(items)
        check_length(len(made), name, info.min_length, info.max_length)
        return made

    def _tuple(self, value: Any, item_types: tuple[types.Type, ...], loc: Loc) -> Any:
        if not isinstance(value, (list, tuple)):
            raise Failed("tuple_type", "Input should be a valid tuple")
        count = len(item_types)
        if len(value) > count:
            check_length(len(value), "Tuple", None, count)
        pairs = zip(value, item_types, strict=False)
        items = [self.convert(item, info, (*loc, i)) for i, (item, info) in enumerate(pairs)]
        self.problems += [missing((*loc, i), value) for i in range(len(value), count)]
        if len(items) < count or any(item is INVALID for item in items):
            return INVALID
        return tuple(items)

    def _dict(self, value: Any, info: types.DictType, loc: Loc) -> Any:
        if not isinstance(value, dict):
            raise Failed("dict_type", "Input should be a valid dictionary")
        made: dict[Any, Any] = {}
        valid = True
        for name, item in value.items():
            key = self.convert(name, info.key_type, (*loc, name, "[key]"))
            converted = self.convert(item, info.value_type, (*loc, name))
            if key is INVALID or converted is INVALID:
                valid = False
            else:
                made[key] = converted
        if not valid:
            return INVALID
        check_length(len(made), "Dictionary", info.min_length, info.max_length)
        return made

    def _object(self, value: Any, info: Any, loc: Loc) -> Any:
        if getattr(info, "array_like", False):
            return self._by_msgspec(value, info.cls)
        if not isinstance(value, dict):
            raise _object_type(info)
        fields: dict[str, Any] = {}
        valid = True
        for field in info.fields:
            place = (*loc, field.encode_name)
            if field.encode_name in value:
                fields[field.name] = self.convert(value[field.encode_name], field.type, place)
                valid = valid and fields[field.name] is not INVALID
            elif field.required:
                self.problems.append(missing(place, value))
                valid = False
        if getattr(info, "forbid_unknown_fields", False):
            valid = self._no_others(value, info, loc) and valid
        return _construct(info.cls, fields) if valid else INVALID

    def _no_others(self, value: dict[str, Any], info: types.StructType, loc: Loc) -> bool:
        known = {field.encode_name for field in info.fields} | {info.tag_field}
        others = [name for name in value if name not in known]
        msg = "Extra inputs are not permitted"
        self.problems += [
            problem("extra_forbidden", (*loc, name), msg, value[name]) for name in others
        ]
        return not others

    def _union(self, value: Any, info: types.UnionType, loc: Loc) -> Any:
        members = [m for m in info.types if not isinstance(m, types.NoneType)]
        if value is None and len(members) < len(info.types):
            return None
        if len(members) == 1:
            return self._convert(value, members[0], loc)
        tagged = [m for m in members if isinstance(m, types.StructType) and m.tag_field]
        if len(tagged) == len(members):
            return self._convert(value, _by_tag(value, tagged), loc)
        found: list[Problem] = []
        for member in members:
            attempt = Lax(self._dec_hook, self._literals, texts=self._texts)
            made = attempt.convert(value, member, (*loc, label(member)))
            if made is not INVALID:
                return made
            found += attempt.problems
        self.problems += found
        return INVALID

    def _custom(self, value: Any, kind: Any, loc: Loc) -> Any:
        try:
            return settle(self._dec_hook(kind, value))
        except (ValueError, TypeError) as exc:
            errors = getattr(exc, "errors", None)
            if errors is None:
                raise Failed("value_error", f"Value error, {exc}", error={}) from exc
            for error in errors(include_url=False):
                self.problems.append({**error, "loc": (*loc, *error["loc"])})
            return INVALID

    def _by_msgspec(self, value: Any, kind: Any) -> Any:
        try:
            text = _exact_encoder.encode(value)
            return msgspec.json.decode(text, type=kind, strict=False, dec_hook=self._dec_hook)
        except msgspec.ValidationError as exc:
            raise Failed("value_error", f"Value error, {exc}", error={}) from exc


def _scalar(convert: Callable[[Any], Any], value: Any, info: types.Type) -> Any:
    try:
        return _checked(convert(value), info)
    except OverflowError:  # an integer that is too large for a float
        raise Failed("value_error", "Value error, the number is out of range") from None


def _checked(value: Any, info: types.Type) -> Any:
    if isinstance(info, (types.IntType, types.FloatType)):
        return check_number(value, info)
    if isinstance(info, types.StrType):
        return check_text(value, info)
    return value


def _literal(value: Any, allowed: tuple[Any, ...]) -> Any:
    for candidate in allowed:
        if candidate == value and type(candidate) is type(value):
            return candidate
    expected = one_of(allowed)
    raise Failed("literal_error", f"Input should be {expected}", expected=expected)


def _enum(value: Any, kind: Any) -> Any:
    for member in kind:
        if value == member.value or (isinstance(value, str) and str(member.value) == value):
            return member
    expected = one_of(member.value for member in kind)
    raise Failed("enum", f"Input should be {expected}", expected=expected)


def _object_type(info: types.Type) -> Failed:
    if isinstance(info, types.DataclassType):
        name = info.cls.__name__
        msg = f"Input should be a dictionary or an instance of {name}"
        return Failed("dataclass_type", msg, class_name=name)
    if isinstance(info, types.StructType):
        msg = "Input should be a valid dictionary or object to extract fields from"
        return Failed("model_attributes_type", msg)
    return Failed("dict_type", "Input should be a valid dictionary")


def _construct(kind: Any, fields: dict[str, Any]) -> Any:
    try:
        return kind(**fields)
    except (ValueError, TypeError) as exc:
        raise Failed("value_error", f"Value error, {exc}", error={}) from exc


def _by_tag(value: Any, structs: Iterable[types.StructType]) -> types.StructType:
    tags = {struct.tag: struct for struct in structs}
    field = next(iter(tags.values())).tag_field
    if not isinstance(value, dict):
        raise _object_type(next(iter(tags.values())))
    if field not in value:
        msg = f"Unable to extract tag using discriminator '{field}'"
        raise Failed("union_tag_not_found", msg, discriminator=f"'{field}'")
    tag = value[field]
    if isinstance(tag, (str, int)) and tag in tags:
        return tags[tag]
    expected = ", ".join(repr(known) for known in tags)
    msg = (
        f"Input tag '{tag}' found using '{field}' does not match any of the expected tags: "
        f"{expected}"
    )
    raise Failed(
        "union_tag_invalid", msg, discriminator=f"'{field}'", tag=str(tag), expected_tags=expected
    )


def label(info: types.Type) -> str:
    """The name that pydantic gives to this member of a union in a `loc`."""
    match info:
        case types.Metadata():
            return label(info.type)
        case types.ListType() | types.SetType() | types.FrozenSetType():
            return f"{_name(info)}[{label(info.item_type)}]"
        case types.VarTupleType():
            return f"tuple[{label(info.item_type)}, ...]"
        case types.TupleType():
            return f"tuple[{', '.join(map(label, info.item_types))}]"
        case types.DictType():
            return f"dict[{label(info.key_type)},{label(info.value_type)}]"
        case types.LiteralType():
            return f"literal[{','.join(map(repr, info.values))}]"
    cls = getattr(info, "cls", None)
    return cls.__name__ if cls is not None else _name(info)


def _name(info: types.Type) -> str:
    return type(info).__name__.removesuffix("Type").lower()
