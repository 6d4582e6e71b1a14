"""Checks that a result has exactly its declared type, at every depth.

An instance of a subclass is valid for its base class, but the encoder would also write the fields
that the subclass adds: a password, for example. So a result that isn't exactly of the declared
types is first reduced to the fields that they declare. Shapes are made once for each response
model.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from operator import attrgetter
from typing import Any, Protocol, get_origin, get_type_hints

import msgspec
from msgspec import inspect as types

from .._validation.containers import known_to_msgspec, type_variables
from .._validation.declared_fields import serializer_of

# Types that contain no other values.
_LEAVES: dict[type[types.Type], type] = {
    types.NoneType: type(None),
    types.BoolType: bool,
    types.IntType: int,
    types.FloatType: float,
    types.StrType: str,
    types.BytesType: bytes,
    types.ByteArrayType: bytearray,
    types.MemoryViewType: memoryview,
    types.DateTimeType: datetime.datetime,
    types.TimeType: datetime.time,
    types.DateType: datetime.date,
    types.TimeDeltaType: datetime.timedelta,
    types.UUIDType: uuid.UUID,
    types.DecimalType: decimal.Decimal,
}
_COLLECTIONS: dict[type[types.Type], tuple[type, ...]] = {
    types.ListType: (list,),
    types.SetType: (set,),
    types.FrozenSetType: (frozenset,),
    types.VarTupleType: (tuple,),
    types.CollectionType: (list, tuple, set, frozenset),
}
_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz")
_MOST_KINDS = 256  # combinations of its leaves' types that the shape of a class remembers
_Objects = types.DataclassType | types.StructType
FAR = 1 << 30  # the distance between unrelated types


class Shape(Protocol):
    """The questions about values of one declared type."""

    def fits(self, value: Any) -> bool:
        """Whether `value` may be encoded as it is."""

    def reduce(self, value: Any) -> Any:
        """`value` with each object in it replaced by a dict of its declared class's fields."""

    def distance(self, value: Any) -> int:
        """How far the class of `value` is from this one; FAR if they are unrelated."""


def make_shape(info: types.Type) -> tuple[Shape | None, list[Any]]:
    """The shape of a type, None where any value of it may be encoded as it is; and the pydantic
    models in it."""
    maker = _Maker()
    return maker.make(info), maker.models


class _Maker:
    def __init__(self) -> None:
        self._objects: dict[Any, _Object] = {}  # by their class, with the arguments of a generic
        self.models: list[Any] = []

    def make(self, info: types.Type, *, inside: bool = False) -> Shape | None:
        """The shape of a type. If it is `inside` an object, its limits are not checked: keeping to
        the limits of its fields is up to the object's class."""
        if not inside and any(getattr(info, limit, None) is not None for limit in _LIMITS):
            return _Checked()
        match info:
            case types.Metadata():
                return self.make(info.type, inside=inside)
            case types.DataclassType() | types.StructType() | types.TypedDictType():
                return self._object(info)
            case types.NamedTupleType():
                return _Tuple(get_origin(info.cls) or info.cls, self._fields(info))
            case types.TupleType():
                items = [self.make(item, inside=inside) for item in info.item_types]
                return _Tuple(tuple, items)
            case types.DictType():
                parts = (info.key_type, info.value_type)
                return _Dict(*(self.make(part, inside=inside) for part in parts))
            case types.UnionType():
                return self._union([self.make(member, inside=inside) for member in info.types])
            case types.LiteralType():
                return _Leaf({type(value) for value in info.values}) if inside else _Checked()
            case types.EnumType() | types.CustomType():
                return self._class(info.cls)
        return self._simple(info, inside)

    def _simple(self, info: types.Type, inside: bool) -> Shape | None:
        for kind, classes in _COLLECTIONS.items():
            if isinstance(info, kind):
                return _Items(self.make(info.item_type, inside=inside), classes)  # type: ignore[attr-defined]
        leaf = _LEAVES.get(type(info))
        return None if leaf is None else _Leaf({leaf})

    def _class(self, cls: type) -> Shape:
        if hasattr(cls, "__pydantic_serializer__"):
            self.models.append(cls)
        return _Class(cls)

    def _object(self, info: _Objects | types.TypedDictType) -> Shape:
        shape = self._objects.get(info.cls)
        if shape is None:
            is_dict = isinstance(info, types.TypedDictType)
            shape = _TypedDict(info) if is_dict else _Object(info)  # type: ignore[arg-type]
            self._objects[info.cls] = shape  # before its fields, which may be of it
            shape.settle(self._fields(info))
        return shape

    def _fields(
        self, info: _Objects | types.TypedDictType | types.NamedTupleType
    ) -> list[Shape | None]:
        hints = get_type_hints(get_origin(info.cls) or info.cls, include_extras=True)
        variables = type_variables(info.cls)
        made = []
        for field in info.fields:
            hint = hints.get(field.name, Any)
            known = known_to_msgspec(hint, variables)
            inner = field.type if known is hint else types.type_info(known)
            made.append(self.make(inner, inside=True))
        return made

    def _union(self, shapes: list[Shape | None]) -> Shape | None:
        if any(shape is None for shape in shapes):
            return None
        leaves = [shape for shape in shapes if isinstance(shape, _Leaf)]
        leaf = _Leaf(set().union(*(shape.kinds for shape in leaves)))
        others = [shape for shape in shapes if shape is not None and shape not in leaves]
        return _Union([leaf, *others]) if others else leaf


class _Leaf:
    """Values that contain no others (numbers, texts, dates) and have exactly these classes."""

    def __init__(self, kinds: set[type]) -> None:
        self.kinds = frozenset(kinds)

    def fits(self, value: Any) -> bool:
        return type(value) in self.kinds

    def reduce(self, value: Any) -> Any:
        return value

    def distance(self, value: Any) -> int:
        return 0 if type(value) in self.kinds else FAR


class _Checked(_Leaf):
    """A type with limits. No value fits, so that every value is validated."""

    def __init__(self) -> None:
        super().__init__(set())


class _Class:
    """Enums and types that msgspec doesn't know. A pydantic model is reduced by the serializer of
    its declared class."""

    def __init__(self, cls: type) -> None:
        self._cls = cls
        self._exact = hasattr(cls, "__pydantic_serializer__")

    def fits(self, value: Any) -> bool:
        return type(value) is self._cls or (not self._exact and isinstance(value, self._cls))

    def reduce(self, value: Any) -> Any:
        if not self._exact or not isinstance(value, self._cls):
            return value
        serializer = serializer_of(self._cls)
        try:
            return serializer.to_python(value, mode="json", by_alias=True, warnings="error")
        except ValueError:
            return serializer.to_python(value, by_alias=True, warnings="error")  # lone surrogates

    def distance(self, value: Any) -> int:
        return _distance(value, self._cls)


class _Object:
    """Dataclasses, Structs and attrs classes."""

    def __init__(self, info: _Objects) -> None:
        self._cls = get_origin(info.cls) or info.cls  # a generic class without its arguments
        self._fields = info.fields
        self._shapes: list[Shape | None] = []
        self._tag: dict[str, Any] = {}
        self._array = isinstance(info, types.StructType) and info.array_like
        if isinstance(info, types.StructType) and info.tag_field is not None:
            self._tag = {info.tag_field: info.tag}
        # msgspec writes everything in the __dict__ of an instance of an attrs class.
        self._own_only = hasattr(info.cls, "__attrs_attrs__")

    def settle(self, shapes: list[Shape | None]) -> None:
        """Completes the shape with the shapes of its fields."""
        self._shapes = shapes
        named = list(zip((field.name for field in self._fields), shapes, strict=True))
        leaves = [(name, shape.kinds) for name, shape in named if isinstance(shape, _Leaf)]
        self._leaves = _getter([name for name, _ in leaves])
        self._kinds = [kinds for _, kinds in leaves]
        self._known: set[tuple[type, ...]] = set()
        self._inner = [
            (name, shape) for name, shape in named if shape and not isinstance(shape, _Leaf)
        ]

    def fits(self, value: Any) -> bool:
        if type(value) is not self._cls:
            return False
        try:
            kinds = tuple(map(type, self._leaves(value)))
            if kinds not in self._known and not self._learn(kinds):
                return False
            for name, shape in self._inner:
                if not shape.fits(getattr(value, name)):
                    return False
        except AttributeError:  # a field that was deleted or never set
            return False
        return not self._own_only or self._has_only_its_own(value)

    def _learn(self, kinds: tuple[type, ...]) -> bool:
        """Whether the leaves may have these classes; remembers combinations that are allowed."""
        if not all(kind in allowed for kind, allowed in zip(kinds, self._kinds, strict=True)):
            return False
        if len(self._known) < _MOST_KINDS:
            self._known.add(kinds)
        return True

    def _has_only_its_own(self, value: Any) -> bool:
        own = getattr(value, "__dict__", ())
        return len(own) <= len(self._fields)

    def reduce(self, value: Any) -> Any:
        pairs = list(zip(self._fields, self._shapes, strict=True))
        if isinstance(value, Mapping):
            names = {field.encode_name: shape for field, shape in pairs}
            return {key: _reduced(names.get(key), item) for key, item in value.items()}
        if not isinstance(value, self._cls):
            return value
        found = {
            field.encode_name: _reduced(shape, getattr(value, field.name))
            for field, shape in pairs
            if hasattr(value, field.name) and getattr(value, field.name) is not msgspec.UNSET
        }
        if self._array:
            return [*self._tag.values(), *found.values()]
        return self._tag | found

    def distance(self, value: Any) -> int:
        return _distance(value, self._cls)


class _TypedDict(_Object):
    """A dict with declared keys and no others."""

    def __init__(self, info: types.TypedDictType) -> None:
        self._cls = dict
        self._fields = info.fields
        self._shapes = []

    def settle(self, shapes: list[Shape | None]) -> None:
        self._shapes = shapes
        self._by_name = {f.encode_name: s for f, s in zip(self._fields, shapes, strict=True)}

    def fits(self, value: Any) -> bool:
        if type(value) is not dict or not self._by_name.keys() >= value.keys():
            return False
        return all(_fits(self._by_name[key], item) for key, item in value.items())

    def reduce(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            key: _reduced(shape, value[key]) for key, shape in self._by_name.items() if key in value
        }

    def distance(self, value: Any) -> int:
        return 0 if isinstance(value, Mapping) else FAR


class _Items:
    """Lists, sets, and tuples of any length."""

    def __init__(self, item: Shape | None, classes: tuple[type, ...]) -> None:
        self._item = item
        self._classes = classes

    def fits(self, value: Any) -> bool:
        if type(value) not in self._classes:
            return False
        if isinstance(self._item, _Leaf):
            return self._item.kinds.issuperset(map(type, value))
        return self._item is None or all(map(self._item.fits, value))

    def reduce(self, value: Any) -> Any:
        if not _is_collection(value):
            return value
        return [_reduced(self._item, item) for item in value]

    def distance(self, value: Any) -> int:
        return 0 if _is_collection(value) else FAR


class _Tuple:
    """Tuples and named tuples with a type for each place."""

    def __init__(self, cls: type, items: list[Shape | None]) -> None:
        self._cls = cls
        self._items = items

    def fits(self, value: Any) -> bool:
        if type(value) is not self._cls:
            return False
        items: Any = value
        return len(items) == len(self._items) and all(map(_fits, self._items, items))

    def reduce(self, value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(self._items):
            return value
        return list(map(_reduced, self._items, value))

    def distance(self, value: Any) -> int:
        return 0 if isinstance(value, (list, tuple)) and len(value) == len(self._items) else FAR


class _Dict:
    def __init__(self, key: Shape | None, item: Shape | None) -> None:
        self._key = key
        self._item = item

    def fits(self, value: Any) -> bool:
        if type(value) is not dict:
            return False
        if self._key is not None and not all(map(self._key.fits, value)):
            return False
        return self._item is None or all(map(self._item.fits, value.values()))

    def reduce(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: _reduced(self._item, item) for key, item in value.items()}

    def distance(self, value: Any) -> int:
        return 0 if isinstance(value, Mapping) else FAR


class _Union:
    def __init__(self, members: Collection[Shape]) -> None:
        self._members = members

    def fits(self, value: Any) -> bool:
        for member in self._members:  # noqa: SIM110 - any() costs a generator for each value
            if member.fits(value):
                return True
        return False

    def reduce(self, value: Any) -> Any:
        """Reduces `value` by the member whose class is nearest to its own."""
        nearest = min(self._members, key=lambda member: member.distance(value))
        return nearest.reduce(value) if nearest.distance(value) < FAR else value

    def distance(self, value: Any) -> int:
        return min(member.distance(value) for member in self._members)


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


def _fits(shape: Shape | None, value: Any) -> bool:
    return shape is None or shape.fits(value)


def _reduced(shape: Shape | None, value: Any) -> Any:
    return value if shape is None else shape.reduce(value)


def _is_collection(value: Any) -> bool:
    return isinstance(value, (Collection, Iterator)) and not isinstance(
        value, (str, bytes, bytearray, memoryview, Mapping)
    )


def _distance(value: Any, cls: type) -> int:
    kind = type(value)
    return kind.__mro__.index(cls) if cls in kind.__mro__ else FAR
