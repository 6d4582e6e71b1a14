"""Checks that a result has exactly its declared type, at every depth.

An instance of a subclass is valid for its base class, but the encoder would also write the fields
that the subclass adds: a password, for example. So a result that isn't exactly of the declared
types is first reduced to the fields that they declare. Shapes are made once for each response
model.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import uuid
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from types import MappingProxyType, MemberDescriptorType
from typing import Any, Protocol, get_origin, get_type_hints

import msgspec
from msgspec import inspect as types

from .. import _core
from .._validation.annotations import has_struct
from .._validation.containers import known_to_msgspec, type_variables
from .._validation.declared_fields import Reduce, serializer_of
from .._validation.validators import StructValidator, make_adapter
from .._validation.write_json import Refused, is_bare, plain
from ..exceptions import ResponseValidationError

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
_Objects = types.DataclassType | types.StructType
FAR = 1 << 30  # the distance between unrelated types


class Shape(Protocol):
    """The questions about values of one declared type."""

    test: _core.Shape  # whether a value may be encoded as it is

    def reduce(self, value: Any) -> Any:
        """`value` with each object in it replaced by a dict of its declared class's fields."""

    def distance(self, value: Any) -> int:
        """How far the class of `value` is from this one; FAR if they are unrelated."""


def make_shape(info: types.Type) -> tuple[Shape | None, list[Any]]:
    """The shape of a type, None where any value of it may be encoded as it is; and the pydantic
    models in it."""
    maker = _Maker()
    return maker.make(info), maker.models


def reducer_of(cls: Any) -> Reduce | None:
    """Makes the function that reduces an object in a pydantic model, whose declared class is one
    that pydantic doesn't know. For a class without declared fields it refuses subclasses'.
    None for classes whose instances have a JSON form of their own, such as paths."""
    if not dataclasses.is_dataclass(cls) and not has_struct(cls):
        return _bare_reducer(cls) if is_bare(cls) else None

    # At the first value, so that the classes of its fields are defined.
    @cache
    def parts() -> tuple[StructValidator, Shape | None, bool]:
        validator = StructValidator(cls, {}, lambda: make_adapter(cls))
        shape, models = make_shape(validator.info)
        own = all(serializer_of(it, reducer_of) is it.__pydantic_serializer__ for it in models)
        return validator, shape, own

    def reduce(value: Any) -> Any:
        validator, shape, own = parts()
        if shape is None:
            return value
        if not shape.test.fits(value):
            fields = msgspec.to_builtins(shape.reduce(value), enc_hook=plain)
            value = validator.from_python(fields, ("response",))
        if own:
            return value
        made = shape.reduce(value)
        # pydantic leaves this to our own writer, as it does with the objects themselves.
        return MappingProxyType(made) if isinstance(made, dict) else made

    return reduce


def refusal_of(cls: type, value: Any) -> ResponseValidationError | None:
    """The error for an instance of a subclass of `cls`, which declares no fields: all that the
    subclass adds would be sent. None for any other value."""
    kind = type(value)
    if kind is cls or not isinstance(value, cls):
        return None
    words = (
        f"{kind.__module__}.{kind.__qualname__} is a subclass of {cls.__qualname__}, which "
        "declares no fields, so that all of its attributes would be sent: declare what is to be "
        "sent in a dataclass, Struct or model"
    )
    return ResponseValidationError((), body=value, message=words)


def _bare_reducer(cls: type) -> Reduce:
    def reduce(value: Any) -> Any:
        error = refusal_of(cls, value)
        # An error raised here would have pydantic try the other members of a union, and then none.
        return value if error is None else Refused(error)

    return reduce


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
        self.test = _core.Shape(_core.SHAPE_EXACT, tuple(kinds))

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
    its declared class. Of a class that declares no fields only its own instances are written."""

    def __init__(self, cls: type) -> None:
        self._cls = cls
        self._is_model = hasattr(cls, "__pydantic_serializer__")
        self._is_bare = is_bare(cls)
        exact = self._is_model or self._is_bare
        self.test = _core.Shape(_core.SHAPE_EXACT if exact else _core.SHAPE_INSTANCE, (cls,))

    def reduce(self, value: Any) -> Any:
        if self._is_bare and (error := refusal_of(self._cls, value)) is not None:
            raise error
        if not self._is_model or not isinstance(value, self._cls):
            return value
        serializer = serializer_of(self._cls, reducer_of)
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
        names = tuple(field.name for field in info.fields)
        kind = _core.SHAPE_OBJECT
        classes: tuple[type, ...] = (self._cls,)
        if hasattr(info.cls, "__attrs_attrs__"):
            # msgspec writes everything in the __dict__ and in the slots of an instance.
            kind = _core.SHAPE_OWN
            classes = classes if _slots_of(self._cls) <= set(names) else ()
        self.test = _core.Shape(kind, classes, names)

    def settle(self, shapes: list[Shape | None]) -> None:
        """Completes the shape with the shapes of its fields."""
        self._shapes = shapes
        self.test.settle(_tests(shapes))

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


def _slots_of(cls: type) -> set[str]:
    """The names of the slots that instances have, those of base classes too."""
    return {
        name
        for base in cls.__mro__
        for name, value in vars(base).items()
        if isinstance(value, MemberDescriptorType) and name not in ("__dict__", "__weakref__")
    }


class _TypedDict(_Object):
    """A dict with declared keys and no others."""

    def __init__(self, info: types.TypedDictType) -> None:
        self._cls = dict
        self._fields = info.fields
        self._shapes = []
        names = tuple(field.encode_name for field in info.fields)
        self.test = _core.Shape(_core.SHAPE_MEMBERS, names=names)

    def settle(self, shapes: list[Shape | None]) -> None:
        self._shapes = shapes
        self._by_name = {f.encode_name: s for f, s in zip(self._fields, shapes, strict=True)}
        self.test.settle(_tests(shapes))

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
        self.test = _core.Shape(_core.SHAPE_ITEMS, classes)
        self.test.settle(_tests([item]))

    def reduce(self, value: Any) -> Any:
        if not _is_collection(value):
            return value
        return [_reduced(self._item, item) for item in value]

    def distance(self, value: Any) -> int:
        return 0 if _is_collection(value) else FAR


class _Tuple:
    """Tuples and named tuples with a type for each place."""

    def __init__(self, cls: type, items: list[Shape | None]) -> None:
        self._items = items
        self.test = _core.Shape(_core.SHAPE_TUPLE, (cls,))
        self.test.settle(_tests(items))

    def reduce(self, value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(self._items):
            return value
        return list(map(_reduced, self._items, value))

    def distance(self, value: Any) -> int:
        return 0 if isinstance(value, (list, tuple)) and len(value) == len(self._items) else FAR


class _Dict:
    def __init__(self, key: Shape | None, item: Shape | None) -> None:
        self._item = item
        self.test = _core.Shape(_core.SHAPE_DICT)
        self.test.settle(_tests([key, item]))

    def reduce(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: _reduced(self._item, item) for key, item in value.items()}

    def distance(self, value: Any) -> int:
        return 0 if isinstance(value, Mapping) else FAR


class _Union:
    def __init__(self, members: Collection[Shape]) -> None:
        self._members = members
        self.test = _core.Shape(_core.SHAPE_UNION)
        self.test.settle(_tests(members))

    def reduce(self, value: Any) -> Any:
        """Reduces `value` by the member whose class is nearest to its own."""
        nearest = min(self._members, key=lambda member: member.distance(value))
        return nearest.reduce(value) if nearest.distance(value) < FAR else value

    def distance(self, value: Any) -> int:
        return min(member.distance(value) for member in self._members)


def _tests(shapes: Collection[Shape | None]) -> tuple[_core.Shape | None, ...]:
    return tuple(None if shape is None else shape.test for shape in shapes)


def _reduced(shape: Shape | None, value: Any) -> Any:
    return value if shape is None else shape.reduce(value)


def _is_collection(value: Any) -> bool:
    return isinstance(value, (Collection, Iterator)) and not isinstance(
        value, (str, bytes, bytearray, memoryview, Mapping)
    )


def _distance(value: Any, cls: type) -> int:
    kind = type(value)
    return kind.__mro__.index(cls) if cls in kind.__mro__ else FAR
