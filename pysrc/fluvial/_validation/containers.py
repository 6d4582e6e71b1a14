"""Containers into which msgspec or pydantic can't look, as lists and dicts of the same items."""

from __future__ import annotations

import collections
from collections import abc
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from .annotations import is_model, is_union, split_annotated, walk

_LISTS: tuple[Any, ...] = (
    *(abc.Collection, abc.Container, abc.Iterable, abc.Iterator, abc.Generator, abc.Reversible),
    *(abc.KeysView, abc.ValuesView, collections.deque),
)
_DICTS: tuple[Any, ...] = (collections.OrderedDict, collections.defaultdict, collections.ChainMap)
_KNOWN: tuple[Any, ...] = (
    *(list, set, frozenset, tuple, dict),
    *(abc.Sequence, abc.MutableSequence, abc.Set, abc.MutableSet),
    *(abc.Mapping, abc.MutableMapping),
)
_QUALIFIERS = ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar")
# What pydantic can't make, or only of values whose class it can guess.
_NOT_PYDANTICS: dict[Any, Any] = {
    **dict.fromkeys((abc.Collection, abc.Container, abc.Reversible), list),
    **dict.fromkeys((abc.Iterator, abc.KeysView, abc.ValuesView), list),
    **dict.fromkeys((collections.defaultdict, collections.ChainMap), dict),
}
_Vars = Mapping[Any, Any]


def strip_qualifiers(annotation: Any) -> Any:
    """`NotRequired[T]` and the like, by typing or typing_extensions, as T."""
    while getattr(get_origin(annotation), "_name", None) in _QUALIFIERS:
        annotation = get_args(annotation)[0]
    return annotation


def type_variables(annotation: Any) -> dict[Any, Any]:
    """The type for each type variable of a generic class and of its bases."""
    kind = get_origin(annotation) or annotation
    found: dict[Any, Any] = dict(
        zip(getattr(kind, "__parameters__", ()), get_args(annotation), strict=False)
    )
    for base in getattr(kind, "__orig_bases__", ()):
        for variable, meaning in type_variables(base).items():
            found.setdefault(variable, found.get(meaning, meaning))
    return found


def known_to_msgspec(annotation: Any, variables: _Vars | None = None) -> Any:
    """`annotation` with lists and dicts in the place of containers into which msgspec can't look;
    the same object if it has none. The fields of classes are not changed.

    `variables` maps type variables to types.

    Raises: TypeError for another generic class with models in it.
    """
    bare, metadata = split_annotated(strip_qualifiers(annotation))
    if isinstance(bare, TypeVar):
        meaning = (variables or {}).get(bare, bare)
        return annotation if meaning is bare else known_to_msgspec(meaning)
    arguments = get_args(bare)
    if is_model(bare) or get_origin(bare) in (Literal, abc.Callable, type):
        return annotation
    if not arguments:
        for base in getattr(bare, "__orig_bases__", ()):
            _check(base, bare)
        return annotation
    parts = [each if each is ... else known_to_msgspec(each, variables) for each in arguments]
    made = _rebuilt(bare, parts)
    if made is None:
        same = all(part is each for part, each in zip(parts, arguments, strict=True))
        if same:
            return annotation
        made = Union[tuple(parts)] if is_union(bare) else get_origin(bare)[tuple(parts)]  # noqa: UP007
    return Annotated[made, *metadata] if metadata else made


def _rebuilt(bare: Any, parts: list[Any]) -> Any:
    """A container that msgspec doesn't know as one that it does; None if it knows it."""
    origin = get_origin(bare)
    if origin in _LISTS:
        return list[parts[0]]  # type: ignore[valid-type]
    if origin in _DICTS:
        return dict[parts[0], parts[1]]  # type: ignore[valid-type]
    if origin is collections.Counter:
        return dict[parts[0], int]  # type: ignore[valid-type]
    if origin is abc.ItemsView:
        return list[tuple[parts[0], parts[1]]]  # type: ignore[valid-type]
    if not is_union(bare) and origin not in _KNOWN:
        _check(bare, bare)
    return None


def _check(generic: Any, named: Any) -> None:
    if hasattr(get_origin(generic), "__get_pydantic_core_schema__"):
        return
    if any(map(is_model, walk(generic))):
        raise TypeError(
            f"{named!r} can't be filtered: nothing is known of what it contains; write list[...] "
            "or dict[...] of its items"
        )


def known_to_pydantic(origin: Any, parts: tuple[Any, ...]) -> Any:
    """A generic container of `parts` as pydantic can make it."""
    made = _NOT_PYDANTICS.get(origin, origin)
    if len(parts) == 1:
        return made[parts[0]]
    if origin is abc.ItemsView:
        return list[tuple[parts]]  # type: ignore[valid-type]
    if origin is collections.defaultdict:
        from pydantic import AfterValidator

        make: Callable[..., Any] = partial(collections.defaultdict, None)
        return Annotated[made[parts], AfterValidator(make)]
    return made[parts]
