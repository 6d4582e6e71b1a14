"""The types by which type variables in the type of a result are replaced.

pydantic validates a variable by its bound, but then writes all fields that the object has, and
takes a variable without a bound for Any. Neither says which fields may be sent.
"""

from __future__ import annotations

import functools
import operator
import sys
import types
import typing
from typing import Annotated, Any, ForwardRef, TypeVar, Union, get_args, get_origin, get_type_hints

from .._validation.annotations import strip_alias

_NOTHING: Any = getattr(typing, "NoDefault", None)  # 3.13


def settled(annotation: Any, what: str, *, strict: bool) -> Any:
    """The type with the bounds, constraints or defaults of its variables in their place.

    Unless `strict`, a variable that has none of these is Any. It always is in a generic class whose
    arguments are left out, as type checkers have it.

    Raises: TypeError for such a variable.
    """
    if isinstance(annotation, TypeVar):
        found = _stands_for(annotation)
        if found is Any and strict:
            raise TypeError(
                f"{what} has the type variable {annotation.__name__}, which doesn't say what may "
                "be sent; write a class in its place, give it a bound, or response_model=None to "
                "send everything"
            )
        return found
    variables = _own_variables(annotation)
    if variables:
        found = tuple(map(_stands_for, variables))
        return annotation if set(found) == {Any} else annotation[found]
    bare = strip_alias(annotation)
    arguments = get_args(bare)
    inner = tuple(settled(each, what, strict=strict) for each in _types_in(bare, arguments))
    if all(new is old for new, old in zip(inner, arguments, strict=False)):
        return annotation
    return _remade(bare, (*inner, *arguments[len(inner) :]))


def _stands_for(variable: Any) -> Any:
    if not isinstance(variable, TypeVar):  # a ParamSpec or TypeVarTuple
        return Any
    if variable.__bound__ is not None:
        return _resolved(variable.__bound__, variable)
    if variable.__constraints__:
        return Union[variable.__constraints__]  # noqa: UP007 - made of a tuple
    default = getattr(variable, "__default__", _NOTHING)
    return Any if default is _NOTHING else default


def _resolved(bound: Any, variable: TypeVar) -> Any:
    """A bound, which may be the name of a class. Raises: NameError when it isn't defined yet."""
    if not isinstance(bound, ForwardRef):
        return bound
    names = vars(sys.modules[variable.__module__])
    holder = type("_", (), {"__annotations__": {"it": bound.__forward_arg__}})
    return get_type_hints(holder, names, names, include_extras=True)["it"]


def _own_variables(annotation: Any) -> tuple[Any, ...]:
    """The variables of a generic class without arguments."""
    if not isinstance(annotation, type):
        return ()
    generic = getattr(annotation, "__pydantic_generic_metadata__", None)
    if generic is not None:
        return tuple(generic["parameters"])
    return tuple(getattr(annotation, "__parameters__", ()))


def _types_in(annotation: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Those of the arguments that are types; they come first."""
    if get_origin(annotation) is Annotated:
        return arguments[:1]
    return () if get_origin(annotation) is typing.Literal else arguments


def _remade(annotation: Any, arguments: tuple[Any, ...]) -> Any:
    """The annotation with other arguments."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, arguments)
    if origin is Annotated:
        return Annotated[arguments]
    if hasattr(annotation, "copy_with"):  # typing's aliases
        return annotation.copy_with(arguments)
    return origin[arguments]
