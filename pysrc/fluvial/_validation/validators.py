"""Validators: from texts and JSON to a parameter's type. Made once for each parameter.

msgspec does the work where it can. Annotations that contain anything from pydantic, or that only
pydantic knows, are handled by a pydantic TypeAdapter. pydantic is only imported for those.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, get_args, get_origin

import msgspec
from msgspec import inspect as types

from ..exceptions import HTTPException, InvalidJSON, RequestValidationError
from .annotations import concrete, has_pydantic, has_struct, is_optional, strip_optional, walk
from .field_defaults import Filler
from .lax import INVALID, Lax, Literals
from .problems import Loc, Problem, problem
from .read_json import Exact, read_slowly, settle

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError


_TEXT_SOURCES = frozenset({("path",), ("query",), ("header",), ("cookie",)})
_UNLIKE_TEXT = (bytes, datetime, date, timedelta)
# Bodies in which msgspec might accept NaN, infinity or a number with too many digits as a Decimal.
_DOUBTFUL = re.compile(rb"nan|inf|\\u|(?<!\d)\d{4301}", re.IGNORECASE)

# Limits that don't apply to a type. msgspec and pydantic notice that only with the first value.
_LENGTHS = ("min_length", "max_length", "pattern")
_NUMBERS = ("multiple_of", "max_digits", "decimal_places", "allow_inf_nan")
_NOT_FOR: dict[Any, tuple[str, ...]] = {int: _LENGTHS, float: _LENGTHS, Decimal: _LENGTHS}
_NOT_FOR |= {bool: (*_LENGTHS, *_NUMBERS), str: _NUMBERS}


class Validator(Protocol):
    """Makes typed values.

    Its methods raise RequestValidationError when a value doesn't match the type, and from_json()
    raises HTTPException when the body isn't UTF-8.
    """

    @property
    def exact(self) -> bool:
        """Whether `from_python` makes use of `Exact` numbers."""

    def from_python(self, value: Any, loc: Loc) -> Any:
        """A text, a list of texts, or decoded JSON as the type."""

    def from_json(self, body: bytes, loc: Loc) -> Any:
        """JSON as the type."""


def make_validator(annotation: Any, constraints: dict[str, Any]) -> Validator:
    """Makes a validator for `annotation`.

    Raises: TypeError when a constraint doesn't apply to the type, or when neither msgspec nor
    pydantic (if it is installed) can validate it.
    """
    kind = concrete(strip_optional(annotation))
    for name in constraints:
        if isinstance(kind, type) and name in _NOT_FOR.get(kind, ()):
            raise TypeError(f"{name} is not a limit for values of type {kind.__name__}")
    if has_pydantic(annotation) and not has_struct(annotation):
        return by_pydantic(annotation, constraints)
    try:
        validator = MsgspecValidator(annotation, constraints)
        _refuse_others(validator.info)
        return validator
    except (
        TypeError,
        ValueError,
        OverflowError,
        re.error,
    ) as reason:  # also of limits beyond 64 bits
        return last_resort(annotation, constraints, reason)


def _refuse_others(info: types.Type) -> None:
    """Refuses classes of which msgspec can't make a value, also in unions and containers.

    Fields of models may have such classes, since they can have defaults.

    Raises: TypeError when such a class is found.
    """
    match info:
        case types.CustomType() if not hasattr(info.cls, "__pydantic_validator__"):
            raise TypeError(f"{info.cls!r} is not a type that msgspec knows")
        case types.Metadata():
            _refuse_others(info.type)
        case types.UnionType():
            for member in info.types:
                _refuse_others(member)
        case types.DictType():
            _refuse_others(info.key_type)
            _refuse_others(info.value_type)
        case types.TupleType():
            for item in info.item_types:
                _refuse_others(item)
    items = getattr(info, "item_type", None)  # of lists, sets and similar types
    if items is not None:
        _refuse_others(items)


def last_resort(
    annotation: Any, constraints: dict[str, Any], reason: Exception
) -> PydanticValidator:
    """Makes a validator for an annotation that msgspec has refused for `reason`.

    Raises: TypeError when pydantic isn't installed or can't validate the annotation either.
    """
    try:
        import pydantic  # noqa: F401
    except ImportError:
        hint = "pydantic might know it, but it isn't installed"
        raise TypeError(f"{annotation!r} can't be validated: {reason} ({hint})") from None
    return by_pydantic(annotation, constraints)


def by_pydantic(annotation: Any, constraints: dict[str, Any]) -> PydanticValidator:
    """Makes a validator that uses pydantic. Raises: TypeError when pydantic can't validate the
    annotation."""
    import pydantic
    from pydantic_core import SchemaError

    try:
        return PydanticValidator(annotation, constraints)
    except (pydantic.errors.PydanticUserError, TypeError, ValueError, SchemaError) as exc:
        words = str(exc).partition("\n")[0]
        hint = "; write Depends(function) for what isn't in the request"
        if not isinstance(exc, pydantic.errors.PydanticSchemaGenerationError):
            hint = ""
        raise TypeError(f"{annotation!r} can't be validated: {words}{hint}") from None


class MsgspecValidator:
    """Validates built-in types, dataclasses, Structs, and types made of these."""

    def __init__(self, annotation: Any, constraints: dict[str, Any]) -> None:
        self._type = _with_meta(annotation, constraints) if constraints else annotation
        info = msgspec.inspect.type_info(self._type)
        if isinstance(info, msgspec.inspect.CustomType) and not hasattr(
            info.cls, "__pydantic_validator__"
        ):
            raise TypeError(f"{info.cls!r} is not a type that msgspec knows")
        # The decoder is strict. Only the slow conversion accepts, for example, a string for an int.
        self._decoder = msgspec.json.Decoder(self._type, dec_hook=decode_custom)
        filler = Filler()
        self._fill = filler.make(info)
        self._shares = filler.shares
        kinds = list(walk(annotation))
        # msgspec accepts NaN as a Decimal, which is never wanted in a price, for example.
        self.exact = Decimal in kinds
        # msgspec would read texts for bytes as Base64, and timestamps in milliseconds as seconds.
        self._slow_for_texts = self.exact or any(kind in _UNLIKE_TEXT for kind in kinds)

    @cached_property
    def info(self) -> msgspec.inspect.Type:
        """The type as msgspec sees it."""
        return msgspec.inspect.type_info(self._type)

    @cached_property
    def _literals(self) -> Literals:
        found = [get_args(item) for item in walk(self._type) if get_origin(item) is Literal]
        return {frozenset(values): values for values in found}

    def from_python(self, value: Any, loc: Loc) -> Any:
        """A text, a list of texts, or decoded JSON as the type."""
        if self.exact or (self._slow_for_texts and loc[:1] in _TEXT_SOURCES):
            return self._slowly(value, loc, None)
        try:
            strict = loc[:1] == ("body",)
            made = msgspec.convert(value, self._type, strict=strict, dec_hook=decode_custom)
        except (msgspec.ValidationError, UnicodeError) as exc:
            return self._slowly(value, loc, exc)
        return self._completed(made)

    def from_json(self, body: bytes, loc: Loc) -> Any:
        """JSON as the type."""
        if self.exact and _DOUBTFUL.search(body):
            return self._slowly(load_json(body, loc, exact=True), loc, None)
        try:
            made = self._decoder.decode(body)
        except msgspec.ValidationError as exc:
            return self._slowly(load_json(body, loc, exact=self.exact), loc, exc)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self.from_python(load_json(body, loc, exact=self.exact), loc)
        return self._completed(made)

    def _completed(self, made: Any) -> Any:
        if self._fill is not None:
            self._fill(made)
        return copy.deepcopy(made) if self._shares else made

    def _slowly(self, value: Any, loc: Loc, exc: Exception | None) -> Any:
        lax = Lax(decode_custom, self._literals, texts=loc[:1] in _TEXT_SOURCES)
        made = lax.convert(value, self.info, loc)
        if made is not INVALID:
            return self._completed(made)
        problems = lax.problems or [problem("value_error", loc, f"Value error, {exc}", value)]
        raise RequestValidationError(problems, body=_if_body(loc, settle(value))) from exc


class PydanticValidator:
    """Validates pydantic's models, and types that only pydantic knows."""

    def __init__(self, annotation: Any, constraints: dict[str, Any]) -> None:
        import pydantic

        if constraints:
            annotation = Annotated[annotation, pydantic.Field(**constraints)]
        self.adapter: TypeAdapter[Any] = pydantic.TypeAdapter(annotation)
        self._error: type[ValidationError] = pydantic.ValidationError
        self.exact = _has_decimal(self.adapter.core_schema)

    def from_python(self, value: Any, loc: Loc) -> Any:
        """A text, a list of texts, or decoded JSON as the type."""
        try:
            made = self.adapter.validate_python(value, from_attributes=True)
        except self._error as exc:
            problems = pydantic_problems(exc, loc)
            raise RequestValidationError(problems, body=_if_body(loc, settle(value))) from exc
        return settle(made) if self.exact else made

    def from_json(self, body: bytes, loc: Loc) -> Any:
        """JSON as the type."""
        if self.exact:
            return self._exactly(body, loc)
        try:
            return self.adapter.validate_json(body)
        except self._error:
            return self.from_python(load_json(body, loc), loc)

    def _exactly(self, body: bytes, loc: Loc) -> Any:
        """As from_json(), but Decimals keep all of their digits. pydantic's own JSON parser reads
        numbers as floats, which rounds them."""
        value = load_json(body, loc, exact=True)
        try:
            return settle(self.adapter.validate_python(value, from_attributes=True))
        except self._error as exc:
            strict = _exact_for_strict(exc)
            text = json.dumps(settle(value, strict)) if strict else body
            with suppress(self._error):
                return self.adapter.validate_json(text)  # strict models accept more from JSON
            sent = _if_body(loc, load_json(body, loc))
            raise RequestValidationError(pydantic_problems(exc, loc), body=sent) from exc


def _exact_for_strict(exc: ValidationError) -> set[int]:
    """The ids of the numbers that strict models refuse as a Decimal, but accept as JSON strings."""
    given: dict[int, set[str]] = {}
    for error in exc.errors(include_url=False):
        if type(error["input"]) is Exact:
            given.setdefault(id(error["input"]), set()).add(error["type"])
    return {number for number, kinds in given.items() if kinds == {"is_instance_of"}}


def _has_decimal(schema: Any) -> bool:
    """Whether a schema of pydantic's core contains a Decimal."""
    seen: dict[int, Any] = {}
    pending = [schema]
    while pending:
        item = pending.pop()
        if id(item) in seen or not isinstance(item, (dict, list, tuple)):
            continue
        seen[id(item)] = item
        values: Iterable[Any] = item
        if isinstance(item, dict):
            if item.get("type") == "decimal":
                return True
            values = item.values()
        pending.extend(values)
    return False


def _if_body(loc: Loc, value: Any) -> Any:
    return value if loc[:1] == ("body",) else None


def load_json(body: bytes, loc: Loc, *, exact: bool = False) -> Any:
    """JSON as `read_slowly` reads it.

    Raises: HTTPException 400 when `body` isn't UTF-8; RequestValidationError when it isn't JSON.
    """
    try:
        return read_slowly(body, exact=exact)
    except InvalidJSON as exc:
        if isinstance(exc.__cause__, UnicodeDecodeError):
            raise HTTPException(400, "The body is not valid UTF-8") from exc
        raise exc.at(loc) from exc


def pydantic_problems(exc: ValidationError, loc: Loc) -> Sequence[Problem]:
    """The problems in a pydantic error about the value at `loc`."""
    errors: list[Any] = exc.errors(include_url=False)
    return [{**error, "loc": (*loc, *error["loc"])} for error in errors]


def decode_custom(kind: Any, value: Any) -> Any:
    """msgspec's dec_hook: validates pydantic's models inside Structs."""
    if hasattr(kind, "__pydantic_validator__"):
        return kind.__pydantic_validator__.validate_python(value)
    raise TypeError(f"{kind!r} can't be decoded from JSON")


def _with_meta(annotation: Any, constraints: dict[str, Any]) -> Any:
    meta = msgspec.Meta(**constraints)
    if is_optional(annotation) and annotation is not Any:
        return Annotated[strip_optional(annotation), meta] | None
    return Annotated[annotation, meta]
