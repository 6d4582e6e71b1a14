"""The JSON body: a single parameter gets all of it, several parameters get one member each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .._validation.problems import Loc, Problem, missing
from .._validation.read_json import read_json, settle
from .._validation.validators import Validator, load_json
from ..exceptions import HTTPException, InvalidJSON, RequestValidationError
from ..params import MISSING

_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


@dataclass(frozen=True, slots=True)
class BodyField:
    """A parameter that takes the body or a member of it."""

    alias: str
    validator: Validator
    absent: Callable[[Loc], Any]  # the value when none was sent, MISSING if it is required
    further: tuple[str, ...] = ()  # other names that are accepted like `alias`

    def name_in(self, members: dict[str, Any]) -> str | None:
        """The name under which `members` has a value for it."""
        if self.alias in members or not self.further:
            return self.alias if self.alias in members else None
        return next((name for name in self.further if name in members), None)


class ContentRule(Enum):
    """How a body is read whose Content-Type doesn't say JSON."""

    REFUSED = "refused"  # with 415
    TEXT = "text"  # validated as text, which most types refuse with 422: FastAPI's way
    ASSUMED = "assumed"  # without Content-Type it is JSON; with another one it is text


class WholeBody:
    """Decodes the body for one parameter. C calls it with the body and its Content-Type."""

    def __init__(self, field: BodyField, rule: ContentRule = ContentRule.REFUSED) -> None:
        self._field = field
        self._rule = rule
        self._from_json = field.validator.from_json
        self.from_json = field.validator.quick  # for C, which comes here with what that raises

    def __call__(
        self, body: bytes, content_type: str | None, failed: Exception | None = None
    ) -> Any:
        """Raises: RequestValidationError (422) or HTTPException when the body doesn't fit."""
        if not body:
            value = self._field.absent(("body",))
            if value is MISSING:
                raise RequestValidationError([missing(("body",))])
            return value
        if content_type != "application/json" and not is_json(content_type, self._rule):
            return self._field.validator.from_python(body.decode(errors="replace"), ("body",))
        try:
            if failed is not None:
                return self._field.validator.from_refused(body, ("body",), failed)
            return self._from_json(body, ("body",))
        except RecursionError as exc:
            raise _too_deep(("body",)) from exc


class EmbeddedBody:
    """Decodes the body for several parameters and returns a tuple with the value of each."""

    from_json = None

    def __init__(
        self, fields: Sequence[BodyField], rule: ContentRule = ContentRule.REFUSED
    ) -> None:
        self._fields = tuple(fields)
        self._rule = rule
        self._exact = any(field.validator.exact for field in fields)

    def __call__(self, body: bytes, content_type: str | None) -> tuple[Any, ...]:
        """Raises: RequestValidationError (422) or HTTPException when the body doesn't fit."""
        if not body:
            return self._pick({}, None)
        decoded: Any = None
        if content_type == "application/json" or is_json(content_type, self._rule):
            decoded = self._decode(body)
        if not isinstance(decoded, dict):
            problems = [missing(("body", field.alias)) for field in self._fields]
            raise RequestValidationError(problems, body=decoded)
        return self._pick(decoded, decoded)

    def _pick(self, decoded: dict[str, Any], body: Any) -> tuple[Any, ...]:
        values: list[Any] = []
        problems: list[Problem] = []
        for field in self._fields:
            name = field.name_in(decoded)
            if name is None:
                values.append(_absent(field, problems))
            else:
                values.append(_validated(field, name, decoded[name], problems))
        if problems:
            raise RequestValidationError(problems, body=settle(body))
        return tuple(values)

    def _decode(self, body: bytes) -> Any:
        if self._exact:
            return load_json(body, ("body",), exact=True)
        try:
            return read_json(body)
        except InvalidJSON:
            return load_json(body, ("body",))


def is_json(content_type: str | None, rule: ContentRule) -> bool:
    """Whether the body is read as JSON.

    Raises: HTTPException 415 when Content-Type names something else, if that is the rule.
    """
    if rule is ContentRule.REFUSED:
        check_content_type(content_type)
        return True
    if not content_type:
        return rule is ContentRule.ASSUMED
    try:
        check_content_type(content_type)
    except HTTPException:
        return False
    return True


def check_content_type(content_type: str | None) -> None:
    """Checks that Content-Type says JSON in UTF-8.

    A body without Content-Type is refused, too. A page of another site can make a browser send one
    with the user's cookies and without a CORS preflight.

    Raises: HTTPException 415 when the type is missing or isn't JSON, or the charset isn't UTF-8.
    """
    if not content_type:
        raise HTTPException(415, "Unsupported: no Content-Type: send application/json")
    media_type, _, rest = content_type.partition(";")
    media_type = media_type.strip().lower()
    plain = media_type == "application/json"
    if not plain and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise HTTPException(415, f"Unsupported media type {media_type!r}: send application/json")
    charset = _charset(rest)
    if charset not in _CHARSETS:
        raise HTTPException(415, f"Unsupported charset {charset!r}: send UTF-8")


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return "utf-8"


def _absent(field: BodyField, problems: list[Problem]) -> Any:
    loc = ("body", field.alias)
    try:
        value = field.absent(loc)
    except RequestValidationError as exc:
        problems.extend(exc.errors())
        return None
    if value is MISSING:
        problems.append(missing(loc))
    return value


def _validated(field: BodyField, name: str, value: Any, problems: list[Problem]) -> Any:
    loc = ("body", name)
    if not field.validator.exact:
        value = settle(value)
    try:
        return field.validator.from_python(value, loc)
    except RequestValidationError as exc:
        problems.extend(exc.errors())
    except RecursionError:
        problems.extend(_too_deep(loc).errors())
    return None


def _too_deep(loc: tuple[str | int, ...]) -> RequestValidationError:
    return InvalidJSON("Nested too deeply", "", 0).at(loc)
