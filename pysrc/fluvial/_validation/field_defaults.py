"""Completes the defaults in what msgspec and pydantic have made.

msgspec doesn't store a dataclass's default in the instance if the class has it as an attribute.
Reading the field finds it there, but code that goes through the instance's own attributes, such as
msgspec's encoder, misses it. Mutable defaults must also be copied, so that requests don't share
them; pydantic copies only those that have no hash.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_origin

import msgspec
from msgspec import inspect as types

from .copies import copier

Fill = Callable[[Any], None]
_ITEMS = (types.ListType, types.CollectionType, types.VarTupleType, types.SetType)


class Filler:
    """Makes functions that complete values of a type; None where nothing can be missing."""

    def __init__(self, *, copies_only: bool = False) -> None:
        self._copies_only = copies_only  # if pydantic made the values, nothing else is missing
        self.shares = False  # whether values may share a mutable default that has to be copied
        self._objects: dict[type, Fill | None] = {}
        self._unfinished: set[type] = set()

    def make(self, info: types.Type) -> Fill | None:
        """The function that completes values of the type `info`, or None."""
        match info:
            case types.Metadata():
                return self.make(info.type)
            case types.DataclassType() | types.StructType():
                return self._object(info.cls, lambda: self._new_object(info))
            case types.CustomType() if hasattr(info.cls, "__pydantic_fields__"):
                return self._object(info.cls, lambda: self._new_model(info.cls))
            case types.UnionType():
                return self._union(info)
            case types.DictType():
                return _each(self.make(info.value_type), dict.values)
            case types.TupleType():
                return self._tuple(list(info.item_types))
            case types.NamedTupleType():
                self.shares = self.shares or bool(_copied_defaults(info))
                return self._tuple([field.type for field in info.fields])
        if isinstance(info, (*_ITEMS, types.FrozenSetType)):
            return _each(self.make(info.item_type), iter)
        return None

    def _object(self, cls: type, new: Callable[[], Fill | None]) -> Fill | None:
        """`cls` may be a generic class with arguments; `new` makes its function."""
        if cls in self._unfinished:
            return lambda value: self._later(cls, value)
        if cls not in self._objects:
            self._unfinished.add(cls)
            self._objects[cls] = new()
            self._unfinished.remove(cls)
        return self._objects[cls]

    def _new_object(self, info: types.DataclassType | types.StructType) -> Fill | None:
        cls = get_origin(info.cls) or info.cls
        nested = {field.name: self.make(field.type) for field in info.fields}
        parts = {name: fill for name, fill in nested.items() if fill is not None}
        defaults = {}
        if isinstance(info, types.DataclassType) and not self._copies_only:
            defaults = _class_defaults(info)
        copied = _copied_defaults(info)
        if not parts and not defaults and not copied:
            return None

        is_struct = isinstance(info, types.StructType)
        set_field: Any = msgspec.structs.force_setattr if is_struct else object.__setattr__

        def fill(value: Any) -> None:
            if type(value) is not cls:
                return
            if defaults:
                own = value.__dict__
                for name, default in defaults.items():
                    own.setdefault(name, default)
            for name, (default, make) in copied.items():
                if getattr(value, name) is default:
                    set_field(value, name, make())
            for name, fill_part in parts.items():
                fill_part(getattr(value, name))

        return fill

    def _new_model(self, cls: Any) -> Fill | None:
        """For a pydantic model."""
        parts: dict[str, Fill] = {}
        copied: dict[str, tuple[Any, Callable[[], Any]]] = {}
        for name, field in cls.__pydantic_fields__.items():
            # Of an annotation that msgspec doesn't know the parts aren't looked at; and what
            # can't be copied is the class's own matter.
            with suppress(TypeError, ValueError, NameError):
                if (fill_part := self.make(types.type_info(field.annotation))) is not None:
                    parts[name] = fill_part
            with suppress(TypeError):
                if _has_hash(field.default) and (make := copier(field.default)) is not None:
                    copied[name] = (field.default, make)
        if not parts and not copied:
            return None

        def fill(value: Any) -> None:
            if type(value) is not cls:
                return
            own = value.__dict__
            for name, (default, make) in copied.items():
                if own.get(name) is default:
                    own[name] = make()
            for name, fill_part in parts.items():
                fill_part(own.get(name))

        return fill

    def _later(self, cls: type, value: Any) -> None:
        """Completes values of a type that contains itself: its function is looked up when used."""
        fill = self._objects[cls]
        if fill is not None:
            fill(value)

    def _union(self, info: types.UnionType) -> Fill | None:
        fills = [fill for fill in map(self.make, info.types) if fill is not None]
        if not fills:
            return None

        def fill(value: Any) -> None:
            for fill_member in fills:
                fill_member(value)

        return fill

    def _tuple(self, items: list[types.Type]) -> Fill | None:
        fills = [self.make(item) for item in items]
        if not any(fills):
            return None

        def fill(value: Any) -> None:
            for fill_item, item in zip(fills, value, strict=True):
                if fill_item is not None:
                    fill_item(item)

        return fill


def copies_defaults(annotation: Any) -> Callable[[Any], Any] | None:
    """What gives each value of a type that pydantic has made its own copies of mutable defaults;
    None where there are none."""
    filler = Filler(copies_only=True)
    try:
        fill = filler.make(types.type_info(annotation))
    except (TypeError, ValueError, NameError):  # msgspec doesn't know it
        return None
    if filler.shares:
        return copy.deepcopy
    if fill is None:
        return None

    def complete(value: Any) -> Any:
        fill(value)
        return value

    return complete


def _has_hash(value: object) -> bool:
    try:
        hash(value)
    except Exception:
        return False
    return True


def _each(fill_item: Fill | None, items: Callable[[Any], Any]) -> Fill | None:
    if fill_item is None:
        return None

    def fill(value: Any) -> None:
        if isinstance(value, (list, tuple, set, frozenset, dict)):
            for item in items(value):
                fill_item(item)

    return fill


def _copied_defaults(
    info: types.DataclassType | types.StructType | types.NamedTupleType,
) -> dict[str, tuple[Any, Callable[[], Any]]]:
    """The fields' mutable defaults, with the functions that copy them."""
    found: dict[str, tuple[Any, Callable[[], Any]]] = {}
    for field in info.fields:
        if field.default is msgspec.NODEFAULT:
            continue
        try:
            make = copier(field.default)
        except TypeError:  # can't be copied: all instances of the class share it anyway
            continue
        if make is not None:
            found[field.name] = (field.default, make)
    return found


def _class_defaults(info: types.DataclassType) -> dict[str, Any]:
    """The defaults that are attributes of the class."""
    cls = get_origin(info.cls) or info.cls
    if hasattr(cls, "__slots__"):
        return {}
    names = [field.name for field in info.fields if not field.required]
    return {name: getattr(cls, name) for name in names if hasattr(cls, name)}
