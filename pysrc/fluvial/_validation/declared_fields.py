"""Serializers of pydantic's that write declared fields only, also those of type variables.

pydantic validates a variable by its bound. Then it writes the value by its own class, with all
fields that a subclass has. Here a variable is written as its bound is, at any depth. What asks for
the value's own class (`SerializeAsAny`) stays as it is.

By `arbitrary_types_allowed` a field may have a Struct or an attrs class, of which pydantic knows no
more than the class. Its instances are reduced by a function that the caller makes.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from .annotations import strip_alias

if TYPE_CHECKING:
    from pydantic_core import SchemaSerializer

# Schemas of classes, and where they name the class.
_CLASSES = {
    **dict.fromkeys(("model", "dataclass", "typed-dict", "named-tuple"), "cls"),
    "call": "function",  # before pydantic 2.14, a named tuple
}
# Schemas around another for the same value.
_WRAPPERS = (
    *("union", "nullable", "default", "is-instance"),
    *("function-after", "function-before", "function-wrap"),
)
# What has no schemas in it, but may have dicts of the user's.
_OPAQUE = ("metadata", "config", "default", "expected", "ref")


Reduce = Callable[[Any], Any]
# Makes the function that reduces instances of a class to declared fields; None if it has none.
ReducerOf = Callable[[Any], Reduce | None]


def declared_serializer(schema: Any, reducer_of: ReducerOf) -> SchemaSerializer | None:
    """The serializer of one of pydantic's core schemas that writes type variables as their bounds
    are, and classes that pydantic doesn't know as `reducer_of` says. None if there are neither, so
    that pydantic's own will do."""
    rewriter = _Rewriter(reducer_of)
    rewritten = rewriter.rewrite(schema)
    return _build(rewritten, rewriter.classes) if rewriter.has_changed else None


def serializer_of(cls: Any, reducer_of: ReducerOf) -> SchemaSerializer:
    """The serializer that writes instances of a model with what is declared, and no more."""
    found: SchemaSerializer | None = vars(cls).get(_KEPT)
    if found is None:
        if not getattr(cls, "__pydantic_complete__", True):  # its schema is made when first needed
            cls.model_rebuild(raise_errors=False)
        schema = cls.__pydantic_core_schema__
        found = declared_serializer(schema, reducer_of) or cls.__pydantic_serializer__
        if getattr(cls, "__pydantic_complete__", True):
            type.__setattr__(cls, _KEPT, found)  # with the class, as pydantic's own
    return found


_KEPT = "__fluvial_serializer__"


class _Rewriter:
    """Copies a schema without the marks that have variables written by the value's class, and with
    functions that write instances of classes that pydantic doesn't know."""

    def __init__(self, reducer_of: ReducerOf) -> None:
        self._reducer_of = reducer_of
        self._rivals: list[Any] = []  # classes in the union that is being copied
        self.has_changed = False
        self.classes: list[Any] = []  # whose schemas are in it
        self._free: set[str] = set()  # names of definitions that stand in the place of a variable

    def rewrite(self, schema: Any) -> Any:
        if not isinstance(schema, dict) or schema.get("type") != "definitions":
            return self._copy(schema, None, False)
        known = -1
        made: Any = None
        while len(self._free) > known:  # a definition may be needed before it turns out to be free
            known = len(self._free)
            made = {**schema, "schema": self._copy(schema["schema"], None, False)}
            made["definitions"] = [
                self._copy(each, None, each.get("ref") in self._free)
                for each in schema["definitions"]
            ]
        return made

    def _copy(self, node: Any, owner: Any, free: bool) -> Any:
        """A part of the schema, which belongs to a field of `owner`. It is `free` if a type
        variable is in the field's annotation."""
        if isinstance(node, (list, tuple)):
            return type(node)([self._copy(item, owner, free) for item in node])
        if not isinstance(node, dict):
            return node
        kind = node.get("type")
        made = dict(node)
        if free and isinstance(kind, str) and made.get("serialization") == {"type": "any"}:
            del made["serialization"]
            self.has_changed = True
        if free and kind == "definition-ref":
            self._free.add(made["schema_ref"])
        if kind in _CLASSES:
            owner = made.get(_CLASSES[kind])
            self.classes.append(owner)
            free = bool(made.get("root_model")) and _is_free(owner, "root")
        rivals = self._rivals
        if isinstance(kind, str) and kind not in _WRAPPERS:
            self._rivals = []
        elif not rivals and kind in _WRAPPERS:
            self._rivals = list(_instances(made))
        if kind == "is-instance" and "serialization" not in made:
            self._reduce(made, rivals)
        made = {name: self._copy_part(name, part, owner, free) for name, part in made.items()}
        self._rivals = rivals
        if kind == "call" and hasattr(owner, "_fields"):
            made["serialization"] = _as_tuple(made["arguments_schema"])
            self.has_changed = True
        return made

    def _reduce(self, made: Any, rivals: list[Any]) -> None:
        reduce = self._reducer_of(made["cls"])
        if reduce is not None:
            made["serialization"] = _as_declared(made["cls"], rivals, reduce)
            self.has_changed = True

    def _copy_part(self, name: str, part: Any, owner: Any, free: bool) -> Any:
        if name in _OPAQUE:
            return part
        if name == "fields" and isinstance(part, dict):
            return {
                key: self._copy(each, owner, _is_free(owner, key)) for key, each in part.items()
            }
        if name in ("fields", "arguments_schema", "computed_fields") and isinstance(part, list):
            return [self._copy(each, owner, _is_free(owner, _name_in(each))) for each in part]
        return self._copy(part, owner, free)


def _instances(node: Any) -> Iterator[Any]:
    """The classes whose instances a schema takes beside each other."""
    if isinstance(node, tuple):  # a member of a union, and its label
        node = node[0]
    if node["type"] == "is-instance":
        yield node["cls"]
    elif node["type"] == "union":
        for choice in node["choices"]:
            yield from _instances(choice)
    elif node["type"] in _WRAPPERS:
        yield from _instances(node["schema"])


def _as_declared(cls: Any, rivals: list[Any], reduce: Reduce) -> Any:
    """How to write an instance of `cls`, unless its class is nearer to one of the rivals."""
    from pydantic_core import PydanticSerializationUnexpectedValue, core_schema

    def write(value: Any) -> Any:
        if next((each for each in type(value).__mro__ if each in (cls, *rivals)), None) is not cls:
            raise PydanticSerializationUnexpectedValue(f"{type(value)} isn't {cls}")
        return reduce(value)

    return core_schema.plain_serializer_function_ser_schema(write)


def _as_tuple(arguments: Any) -> Any:
    """How to write a named tuple, which pydantic wrote by the values' own classes before 2.14."""
    from pydantic_core import core_schema

    items = [argument["schema"] for argument in arguments["arguments_schema"]]
    return core_schema.wrap_serializer_function_ser_schema(
        lambda value, write: write(tuple(value)), schema=core_schema.tuple_schema(items)
    )


def _name_in(field: Any) -> Any:
    """Of a dataclass both the schemas of its fields and their mere names are listed."""
    return field.get("name", field.get("property_name")) if isinstance(field, dict) else field


def _is_free(owner: Any, name: Any) -> bool:
    """Whether a type variable is in the annotation of a field."""
    return any(map(_has_variable, _annotations(owner, name)))


def _annotations(owner: Any, name: Any) -> Iterator[Any]:
    field = (getattr(owner, "__pydantic_fields__", None) or {}).get(name)
    decorators = getattr(owner, "__pydantic_decorators__", None)
    computed = getattr(decorators, "computed_fields", {}).get(name)
    if field is not None:
        yield Annotated[(field.annotation, *field.metadata, "")]
    elif computed is not None:
        yield computed.info.return_type
    else:
        try:
            yield get_type_hints(owner, include_extras=True).get(name)
        except (NameError, TypeError):  # no names are known here: it may have a variable
            written = str(getattr(owner, "__annotations__", {}).get(name))
            yield None if "SerializeAsAny" in written else _UNKNOWN


_UNKNOWN = TypeVar("_UNKNOWN")


def _has_variable(annotation: Any) -> bool:
    bare = strip_alias(annotation)
    if isinstance(bare, TypeVar):
        return True
    arguments = get_args(bare)
    if get_origin(bare) is Annotated:
        if any(type(each).__name__ == "SerializeAsAny" for each in arguments[1:]):
            return False
        arguments = arguments[:1]
    return get_origin(bare) is not typing.Literal and any(map(_has_variable, arguments))


def _build(schema: Any, classes: list[Any]) -> SchemaSerializer:
    from pydantic_core import SchemaSerializer

    # By default the serializers that the classes in it have would be taken.
    with suppress(TypeError):
        return SchemaSerializer(schema, None, _use_prebuilt=False)
    with _incomplete(classes):  # before pydantic 2.13
        return SchemaSerializer(schema)


@contextmanager
def _incomplete(classes: list[Any]) -> Iterator[None]:
    complete = [each for each in classes if vars(each).get("__pydantic_complete__")]
    for each in complete:
        each.__pydantic_complete__ = False
    try:
        yield
    finally:
        for each in complete:
            each.__pydantic_complete__ = True
