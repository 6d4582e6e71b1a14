"""Questions about annotations. Asked once, at registration."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

NoneType = type(None)


class _Typed(typing.TypedDict):
    """For its metaclass, which `typing_extensions` has another one of."""


_MSGSPECS = (msgspec.UnsetType, msgspec.Raw, bytearray)
_UNIONS = (Union, types.UnionType)
# Of these everything is known; most parameters are of them.
_SCALARS = frozenset({bool, bytes, float, int, str, NoneType})
# Annotations that are neither an alias nor an Annotated: by far the most.
_PLAIN = (type, types.UnionType)


def split_annotated(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """`Annotated[T, a, b]` as (T, (a, b)); any other annotation as (annotation, ())."""
    if isinstance(annotation, _PLAIN):
        return annotation, ()
    annotation = strip_alias(annotation)
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        deeper, earlier = split_annotated(inner)
        return deeper, (*earlier, *metadata)
    return annotation, ()


def strip_alias(annotation: Any) -> Any:
    """What NewType, a `type X = …` statement (3.12), or typing_extensions' TypeAliasType stands
    for."""
    while True:
        if isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif type(origin := get_origin(annotation)).__name__ == "TypeAliasType":
            annotation = _alias_of(origin, get_args(annotation))
        else:
            return annotation


def _alias_of(alias: Any, arguments: tuple[Any, ...]) -> Any:
    """The type that an alias names with these arguments, in the order of its parameters."""
    known = dict(zip(alias.__type_params__, arguments, strict=False))
    value = alias.__value__
    if isinstance(value, typing.TypeVar):
        return known.get(value, value)
    variables = getattr(value, "__parameters__", ())
    return value[tuple(known.get(each, each) for each in variables)] if variables else value


def union_members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; for any other annotation, the annotation alone."""
    if isinstance(annotation, type):
        return (annotation,)
    annotation = split_annotated(annotation)[0]
    return get_args(annotation) if get_origin(annotation) in _UNIONS else (annotation,)


def without_members(annotation: Any, classes: tuple[type, ...], nothing: Any) -> Any:
    """A union without its members of these classes; `nothing` if no member is left."""
    members = union_members(annotation)
    rest = tuple(member for member in members if not is_class(member, classes))
    if len(rest) == len(members):
        return annotation
    return Union[rest] if rest else nothing  # noqa: UP007 - made of a tuple


def is_union(annotation: Any) -> bool:
    """Whether the annotation is `A | B`. Written as `Union[A, B]`, it passes for a callable."""
    return get_origin(annotation) in _UNIONS


def strip_optional(annotation: Any) -> Any:
    """`T | None` as T."""
    if isinstance(annotation, type):
        return annotation
    members = union_members(annotation)
    rest = tuple(m for m in members if m is not NoneType)
    if len(rest) == len(members) or not rest:
        return annotation
    return Union[rest]  # noqa: UP007 - made of a tuple


def is_optional(annotation: Any) -> bool:
    """Whether the annotation allows None."""
    return annotation is Any or NoneType in union_members(annotation)


def concrete(annotation: Any) -> Any:
    """The class of an annotation without its arguments: `list` for `list[int]`."""
    if isinstance(annotation, type):
        return annotation
    bare = split_annotated(annotation)[0]
    return get_origin(bare) or bare


def is_class(annotation: Any, bases: type | tuple[type, ...]) -> bool:
    """Whether the annotation is a subclass of `bases`."""
    kind = concrete(annotation)
    return isinstance(kind, type) and issubclass(kind, bases)


def is_sequence(annotation: Any) -> bool:
    """Whether the type, or a member of a union, is a list, tuple, set or another sequence."""
    if is_json_text(annotation):
        return False
    return any(_is_sequence_class(member) for member in union_members(annotation))


def is_json_text(annotation: Any) -> bool:
    """Whether a value is a text with JSON in it, as pydantic's `Json` says."""
    if is_plain_scalar(annotation):
        return False
    for item in (annotation, *split_annotated(annotation)[1]):
        kind = item if isinstance(item, type) else type(item)
        if kind.__name__ == "Json" and kind.__module__.startswith("pydantic"):
            return True
    return False


def is_plain_scalar(annotation: Any) -> bool:
    """Whether the annotation is one of the classes that need no further question."""
    return type(annotation) is type and annotation in _SCALARS


def _is_sequence_class(annotation: Any) -> bool:
    if is_plain_scalar(annotation) or is_json_text(annotation):
        return False
    kind = concrete(annotation)
    if not isinstance(kind, type) or issubclass(kind, (str, bytes, bytearray, Mapping)):
        return False
    if hasattr(kind, "_fields") or hasattr(kind, "__struct_fields__"):
        return False
    return issubclass(kind, Collection) and not is_model(kind) and not _is_enum(kind)


def _is_enum(kind: type) -> bool:
    return hasattr(kind, "__members__")


def is_model(annotation: Any) -> bool:
    """Whether the annotation is a type with named fields."""
    if is_plain_scalar(annotation) or is_json_text(annotation):
        return False
    kind = concrete(annotation)
    if not isinstance(kind, type):
        return False
    return (
        dataclasses.is_dataclass(kind)
        or hasattr(kind, "__struct_fields__")
        or hasattr(kind, "__attrs_attrs__")
        or hasattr(kind, "__pydantic_fields__")
        or (issubclass(kind, dict) and hasattr(kind, "__total__"))  # typing_extensions' too
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )


def is_scalar(annotation: Any) -> bool:
    """Whether a value is written as one text. A parameter of such a type is read from the query."""
    if is_plain_scalar(annotation) or is_json_text(annotation):
        return True
    for member in union_members(annotation):
        kind = concrete(member)
        if is_model(member) or _is_sequence_class(member):
            return False
        if isinstance(kind, type) and issubclass(kind, Mapping):
            return False
    return True


def walk(annotation: Any) -> Iterator[Any]:
    """The annotation, and all that it contains (arguments, metadata, fields' types), each once."""
    seen: dict[int, Any] = {}
    pending = [annotation]
    while pending:
        item = strip_alias(pending.pop())
        if id(item) in seen:
            continue
        seen[id(item)] = item
        yield item
        pending.extend(get_args(item))
        if is_model(item) and not hasattr(item, "__pydantic_fields__"):
            pending.extend(_field_annotations(concrete(item)))


def _field_annotations(kind: type) -> list[Any]:
    try:
        return list(typing.get_type_hints(kind, include_extras=True).values())
    except (NameError, TypeError):
        return []


def needs_msgspec(annotation: Any) -> bool:
    """Whether the annotation contains what pydantic doesn't know, but msgspec does: Structs, attrs
    classes, `msgspec.Meta`, and before Python 3.12 `typing.TypedDict`."""
    return any(_is_msgspecs(item) for item in walk(annotation))


def has_struct(annotation: Any) -> bool:
    """Whether the annotation contains a Struct or an attrs class."""
    return any(_is_struct(item) for item in walk(annotation))


def _is_struct(item: Any) -> bool:
    kind = concrete(item)
    return hasattr(kind, "__struct_fields__") or hasattr(kind, "__attrs_attrs__")


def _is_msgspecs(item: Any) -> bool:
    if _is_struct(item):
        return True
    if sys.version_info < (3, 12) and type(concrete(item)) is type(_Typed):
        return True
    return isinstance(item, msgspec.Meta) or any(item is each for each in _MSGSPECS)
