"""What a client is written from: an OpenAPI document's types and operations, in plain objects.

`reading.py` makes them, the writers of each language read them. Names are the document's own; each
writer makes identifiers of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class DocumentError(ValueError):
    """The document holds what a client can't be made for; the message names the place."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A type without parts.

    `kind`: any, null, boolean, integer, number, string, binary, or a format of strings that has a
    type of its own (date-time, date, time, duration, uuid).
    """

    kind: str


@dataclass(frozen=True, slots=True)
class Values:
    """One of these JSON values."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Ref:
    """A named type, by its key in `Api.types`."""

    key: str


@dataclass(frozen=True, slots=True)
class Array:
    """An array of any length."""

    item: Type


@dataclass(frozen=True, slots=True)
class Tuple:
    """An array with one type for each place."""

    items: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class Map:
    """An object with any keys."""

    value: Type


@dataclass(frozen=True, slots=True)
class Union:
    """One of several; `tag` is the property that tells objects apart, or "" when none does."""

    members: tuple[Type, ...]
    tag: str = ""


Type = Plain | Values | Ref | Array | Tuple | Map | Union
ANY, NULL, STRING, BINARY = Plain("any"), Plain("null"), Plain("string"), Plain("binary")


@dataclass(frozen=True, slots=True)
class Field:
    """A property of a model. `default` is None when there is none that a literal can say."""

    name: str
    type: Type
    required: bool
    default: Any = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """A named object type. `extra`: the type of its further properties, if it may have some."""

    doc: str
    fields: tuple[Field, ...]
    extra: Type | None = None


@dataclass(frozen=True, slots=True)
class Enum:
    """A named set of strings, or of integers."""

    doc: str
    values: tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Alias:
    """A named type that is neither."""

    doc: str
    type: Type


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a caller gives: `place` is path, query, header, cookie, field (of the body) or body.

    `json`: a parameter's value is sent as JSON.
    """

    name: str
    place: str
    type: Type
    required: bool
    doc: str = ""
    json: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: `fields` of a form, or of an object that exists for this operation alone."""

    media_type: str
    type: Type
    required: bool
    fields: tuple[Field, ...] | None = None

    @property
    def is_form(self) -> bool:
        return self.media_type in {"multipart/form-data", "application/x-www-form-urlencoded"}

    @property
    def is_json(self) -> bool:
        return is_json(self.media_type)


def is_json(media_type: str) -> bool:
    """Whether this is JSON as a whole: not JSON Lines."""
    return media_type == "application/json" or media_type.endswith("+json")


@dataclass(frozen=True, slots=True)
class Response:
    """What comes with a status: "200", "4XX" or "default".

    `kind`: json (of `type`), text, bytes, empty, or stream, which is left to the caller.
    """

    status: str
    kind: str
    type: Type = ANY


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to authenticate; `kind`: bearer, basic, scheme (any other of HTTP's), query,
    header or cookie. `name`: of the parameter, or of HTTP's scheme."""

    key: str
    kind: str
    name: str
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """A request that the server answers. `security`: any of these sets of schemes will do."""

    name: str
    method: str
    path: str
    doc: str
    deprecated: bool
    parameters: tuple[Parameter, ...]
    body: Body | None
    responses: tuple[Response, ...]
    security: tuple[tuple[str, ...], ...]

    @property
    def inputs(self) -> tuple[Parameter, ...]:
        """The parameters, and the body: its fields, or as a whole."""
        if self.body is None:
            return self.parameters
        if self.body.fields is None:
            whole = Parameter("body", "body", self.body.type, self.body.required)
            return (*self.parameters, whole)
        fields = (
            Parameter(field.name, "field", field.type, field.required, field.doc)
            for field in self.body.fields
        )
        return (*self.parameters, *fields)

    @property
    def streams(self) -> bool:
        return any(each.kind == "stream" for each in self.responses)


@dataclass(slots=True)
class Api:
    """A whole document."""

    title: str
    version: str
    types: dict[str, Model | Enum | Alias] = field(default_factory=dict)
    schemes: tuple[Scheme, ...] = ()
    operations: tuple[Operation, ...] = ()
