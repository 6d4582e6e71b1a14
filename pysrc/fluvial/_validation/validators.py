"""Validators: from texts and JSON to a parameter's type. Made once for each parameter.

pydantic's TypeAdapters do the work. Types that contain Structs are decoded by msgspec, which is
faster; pydantic is asked about what msgspec refuses.
"""

from __future__ import annotations

import copy
import json
import re
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec

from ..exceptions import HTTPException, InvalidJSON, RequestValidationError
from .annotations import concrete, is_optional, needs_msgspec, strip_optional, walk
from .field_defaults import Filler, copies_defaults
from .problems import Loc, problems_of
from .read_json import Exact, read_slowly, settle

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

# Bodies in which msgspec might accept NaN, infinity or a number with too many digits as a Decimal.
_DOUBTFUL = re.compile(rb"nan|inf|\\u|(?<!\d)\d{4301}", re.IGNORECASE)

_REFUSED = (msgspec.DecodeError, UnicodeError, RecursionError)  # what msgspec raises

# Limits that don't apply to a type. pydantic notices that only with the first value.
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

    @property
    def quick(self) -> Callable[[bytes], Any] | None:
        """A function that does the same for bodies that it doesn't refuse, if there is one."""

    def from_refused(self, body: bytes, loc: Loc, failed: Exception) -> Any:
        """As from_json(), after `quick` has raised `failed`."""


def make_adapter(annotation: Any) -> TypeAdapter[Any]:
    """pydantic's TypeAdapter for a type, which may contain Structs.

    Raises: TypeError when pydantic can't validate the type.
    """
    import pydantic
    from pydantic.warnings import UnsupportedFieldAttributeWarning
    from pydantic_core import SchemaError

    from .structs import for_pydantic

    try:
        kind = for_pydantic(annotation) if needs_msgspec(annotation) else annotation
        with warnings.catch_warnings():
            # It is about attributes that only fields of models have, such as `deprecated`.
            warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
            try:
                return pydantic.TypeAdapter(kind)
            except SchemaError as exc:
                if "regex" not in str(exc):
                    raise
                # Python's patterns can do more, for instance look ahead.
                return pydantic.TypeAdapter(kind, config={"regex_engine": "python-re"})
    except (pydantic.errors.PydanticUserError, TypeError, ValueError, SchemaError) as exc:
        if isinstance(exc, pydantic.errors.PydanticUndefinedAnnotation):
            raise
        first, _, rest = str(exc).partition("\n")
        words = f"{first} {rest.strip()}" if first.endswith(":") else first  # the reason follows
        hint = ""
        if isinstance(exc, pydantic.errors.PydanticSchemaGenerationError):
            hint = "; write Depends(function) for what isn't in the request"
        raise TypeError(f"{annotation!r} can't be validated: {words}{hint}") from None


def make_validator(
    annotation: Any, constraints: dict[str, Any], adapter: Callable[[], TypeAdapter[Any]]
) -> Validator:
    """Makes a validator for `annotation`; `adapter` gives pydantic's for the same values.

    Raises: TypeError when a limit doesn't apply to the type, or when neither msgspec nor pydantic
    can validate it.
    """
    kind = concrete(strip_optional(annotation))
    for name in constraints:
        if isinstance(kind, type) and name in _NOT_FOR.get(kind, ()):
            raise TypeError(f"{name} is not a limit for values of type {kind.__name__}")
    if needs_msgspec(annotation):
        with suppress(TypeError, ValueError):  # of limits that msgspec doesn't have
            return StructValidator(annotation, constraints, adapter)
    return PydanticValidator(adapter(), annotation)


class StructValidator:
    """Validates what contains Structs: by msgspec, and by pydantic what msgspec has refused."""

    def __init__(
        self,
        annotation: Any,
        constraints: dict[str, Any],
        adapter: Callable[[], TypeAdapter[Any]],
    ) -> None:
        self._type = _with_meta(annotation, constraints) if constraints else annotation
        self.info = msgspec.inspect.type_info(self._type)
        # The decoder is strict. Only pydantic accepts, for example, a string for an int.
        self._decoder = msgspec.json.Decoder(self._type, dec_hook=decode_custom)
        self._adapter = adapter
        filler = Filler()
        self._fill = filler.make(self.info)
        self._shares = filler.shares
        # msgspec accepts NaN as a Decimal, which is never wanted in a price, for example.
        self.exact = Decimal in list(walk(annotation))

    @cached_property
    def _slow(self) -> PydanticValidator:
        return PydanticValidator(self._adapter())

    def from_python(self, value: Any, loc: Loc) -> Any:
        """A text, a list of texts, or decoded JSON as the type."""
        if self.exact or loc[:1] != ("body",):
            return self._completed(self._slow.from_python(value, loc))
        try:
            made = msgspec.convert(value, self._type, dec_hook=decode_custom)
        except (msgspec.ValidationError, UnicodeError):
            made = self._slow.from_python(value, loc)
        return self._completed(made)

    def from_json(self, body: bytes, loc: Loc) -> Any:
        """JSON as the type."""
        if self.exact and _DOUBTFUL.search(body):
            return self.from_python(load_json(body, loc, exact=True), loc)
        try:
            made = self._decoder.decode(body)
        except _REFUSED as exc:
            return self.from_refused(body, loc, exc)
        return self._completed(made)

    @property
    def quick(self) -> Callable[[bytes], Any] | None:
        """msgspec's decoder, if what it makes is complete."""
        whole = self._fill is None and not self._shares and not self.exact
        return self._decoder.decode if whole else None

    def from_refused(self, body: bytes, loc: Loc, failed: Exception) -> Any:
        """As from_json(), after `quick` has raised `failed`."""
        if not isinstance(failed, _REFUSED):
            raise failed
        return self.from_python(load_json(body, loc, exact=self.exact), loc)

    def _completed(self, made: Any) -> Any:
        if self._fill is not None:
            self._fill(made)
        return copy.deepcopy(made) if self._shares else made


class PydanticValidator:
    """Validates by pydantic."""

    def __init__(self, adapter: TypeAdapter[Any], annotation: Any = None) -> None:
        import pydantic

        self.adapter = adapter
        self._complete = copies_defaults(annotation)
        self._error: type[ValidationError] = pydantic.ValidationError
        self.exact = _has_decimal(adapter.core_schema)

    def from_python(self, value: Any, loc: Loc) -> Any:
        """A text, a list of texts, or decoded JSON as the type."""
        try:
            made = self.adapter.validate_python(value, from_attributes=True)
        except self._error as exc:
            raise RequestValidationError(
                problems_of(exc, loc), body=_if_body(loc, settle(value))
            ) from exc
        if self.exact:
            made = settle(made)
        return made if self._complete is None else self._complete(made)

    def from_json(self, body: bytes, loc: Loc) -> Any:
        """JSON as the type."""
        if self.exact:
            made = self._exactly(body, loc)
        else:
            try:
                made = self.adapter.validate_json(body)
            except self._error as exc:
                return self.from_refused(body, loc, exc)
        return made if self._complete is None else self._complete(made)

    @property
    def quick(self) -> Callable[[bytes], Any] | None:
        """pydantic's validator itself, if it is ready and what it makes is complete."""
        from pydantic_core import SchemaValidator

        validator = self.adapter.validator
        whole = self._complete is None and not self.exact
        return validator.validate_json if whole and type(validator) is SchemaValidator else None

    def from_refused(self, body: bytes, loc: Loc, failed: Exception) -> Any:
        """As from_json(), after `quick` has raised `failed`."""
        if not isinstance(failed, self._error):
            raise failed
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
            raise RequestValidationError(problems_of(exc, loc), body=sent) from exc


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
