"""Parameters from a form. Each takes a field, the files of a name, or with a model all fields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Union

from .._validation.annotations import (
    concrete,
    is_class,
    is_model,
    is_optional,
    is_sequence,
    split_annotated,
    strip_optional,
    union_members,
)
from .._validation.problems import missing
from ..datastructures import FormData, UploadFile
from ..exceptions import RequestValidationError
from ..params import MISSING, File, Form
from .fields import validator_for
from .param_models import extra_policy, model_inputs

if TYPE_CHECKING:
    from .._forms.limits import FormOptions
    from .._validation.problems import Loc
    from .._validation.validators import Validator
    from .declared import Field

Received = dict[str, list[Any]]

# Annotations whose values are in the form as they are wanted.
_AS_SENT: dict[Any, Any] = {str: str, UploadFile: UploadFile, bytes: bytes}


def is_upload(annotation: Any) -> bool:
    """Whether the annotation is UploadFile, a list of them, or a union with either."""
    return _has_member(annotation, UploadFile)


def _has_member(annotation: Any, kind: type) -> bool:
    for member in union_members(annotation):
        items = getattr(split_annotated(member)[0], "__args__", ())
        inner = items if is_sequence(member) else ()
        if any(is_class(each, kind) for each in (member, *inner)):
            return True
    return False


def is_form(field: Field) -> bool:
    """Whether the value comes from a form."""
    return isinstance(field.marker, Form)


class FormBody:
    """Reads the parameters of one route from a request's form.

    `limits` are the arguments of `Request.form` that the route sets.
    """

    def __init__(self, fields: Sequence[Field], limits: FormOptions | None) -> None:
        self._readers = [_Model(f) if _takes_all(f) else _Value(f) for f in fields]
        self._limits: FormOptions = {} if limits is None else limits

    async def __call__(self, request: Any) -> list[Any]:
        """The value of each parameter; a RequestValidationError where there is none.

        Raises: HTTPException 400 or 413 when the form is malformed or exceeds a limit,
        ClientDisconnect when the client leaves before its end.
        """
        form = await request.form(**self._limits)
        return [await reader.read(form) for reader in self._readers]


def _takes_all(field: Field) -> bool:
    """Whether the field is a model of the form, not a part of it."""
    marker = field.marker
    is_json = any(type(item).__name__ == "Json" for item in split_annotated(field.annotation)[1])
    return isinstance(marker, Form) and not (marker.embed or is_json) and bool(_models(field))


class _Reader(ABC):
    """What the two kinds of parameters have in common."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._made: Validator | None = None

    @abstractmethod
    async def read(self, form: FormData) -> Any:
        """The value, or the RequestValidationError that says why there is none."""

    def _validated(self, value: Any, loc: tuple[str, ...], form: FormData) -> Any:
        try:
            return self._validator().from_python(value, loc)
        except RequestValidationError as exc:
            exc.body = form
            return exc

    def _absent(self, loc: Loc, form: FormData) -> Any:
        """The default, MISSING if there is none; a RequestValidationError if it isn't valid."""
        try:
            return self._field.absent(loc)
        except RequestValidationError as exc:
            exc.body = form
            return exc

    def _validator(self) -> Validator:
        if self._made is None:
            self._made = validator_for(self._field, self._field.annotation)
        return self._made


class _Value(_Reader):
    """A parameter for the fields of one name."""

    def __init__(self, field: Field) -> None:
        super().__init__(field)
        bare, metadata = split_annotated(strip_optional(field.annotation))
        is_json = any(type(item).__name__ == "Json" for item in metadata)
        self._many = is_sequence(bare) and not is_json
        self._as_bytes = isinstance(field.marker, File) and _has_member(bare, bytes)
        self._names = (field.alias, *field.further)
        self._as_sent = _as_sent(field, bare, metadata)
        if self._as_sent is None:
            self._validator()  # so that errors in the annotation are raised at registration

    async def read(self, form: FormData) -> Any:
        """The value, or a RequestValidationError."""
        name, value = self._find(form)
        if value is MISSING:
            default = self._absent(("body", name), form)
            if default is not MISSING:
                return default
            return RequestValidationError([missing(("body", name))], body=form)
        if self._as_bytes:
            value = [await _content(v) for v in value] if self._many else await _content(value)
        kind, items = self._as_sent, value if self._many else (value,)
        if kind is not None and all(isinstance(item, kind) for item in items):
            return value
        return self._validated(value, ("body", name), form)

    def _find(self, form: FormData) -> tuple[str, Any]:
        """The first of the names that has a value, and that value. Empty fields and files count as
        absent, since browsers send them for inputs that were left empty."""
        for name in self._names:
            value = _sent(form.getlist(name), self._many)
            if value is not MISSING:
                return name, value
        return self._names[0], MISSING


class _Shape:
    """How the fields of a form become those of one model."""

    def __init__(self, model: Any, field: Field) -> None:
        self._inputs = model_inputs(model, field)
        self._own = {each.sent for each in self._inputs}
        self._keeps_others = extra_policy(model) in ("allow", "forbid")

    def is_supplied(self, received: Received) -> bool:
        """Whether the form has any of the model's fields."""
        return bool(self._own.intersection(received) or (self._keeps_others and received))

    def given(self, received: Received) -> dict[str, Any]:
        """The form as the model's validator gets it: all fields, with lists where the model has
        lists. If a field has several names, the first one with a value counts."""
        given: dict[str, Any] = {}
        taken: set[str] = set()
        filled: set[str] = set()
        for each in self._inputs:
            if each.field in filled:
                continue
            taken.add(each.sent)
            value = _sent(received.get(each.sent, []), each.many)
            if value is not MISSING:
                given[each.name] = value
                filled.add(each.field)
        return given | {
            name: values[0] if len(values) == 1 else values
            for name, values in received.items()
            if name not in taken
        }

    def normal(self, value: Any) -> Any:
        """The same for data that another validator has made of the form."""
        if not isinstance(value, dict):
            return value
        received = {n: item if isinstance(item, list) else [item] for n, item in value.items()}
        empty = {name: item for name, item in value.items() if item is None or item == []}
        return self.given(received) | empty


class _Model(_Reader):
    """A parameter whose model's fields are those of the form; also one of several models."""

    def __init__(self, field: Field) -> None:
        super().__init__(field)
        self._shapes = [_Shape(model, field) for model in _models(field)]
        self._optional = is_optional(field.annotation)
        if len(self._shapes) > 1:
            self._made = validator_for(field, _with_shapes(field.annotation, self._shapes))
        self._validator()

    async def read(self, form: FormData) -> Any:
        """The value, or a RequestValidationError."""
        received: Received = {}
        for name, value in form.multi_items():
            received.setdefault(name, []).append(value)
        if not any(shape.is_supplied(received) for shape in self._shapes):
            default = self._absent(("body",), form)
            if default is not MISSING:
                return default
            if self._optional:
                return RequestValidationError([missing(("body",))], body=form)
        if len(self._shapes) == 1:
            given = self._shapes[0].given(received)
        else:  # each model's shape is applied when it is tried
            given = {n: values[0] if len(values) == 1 else values for n, values in received.items()}
        return self._validated(given, ("body",), form)


def _models(field: Field) -> list[Any]:
    """The models of which a whole form is one; none if it may be something else."""
    members = [m for m in union_members(field.annotation) if m is not type(None)]
    return [concrete(m) for m in members] if all(map(is_model, members)) else []


def _with_shapes(annotation: Any, shapes: list[_Shape]) -> Any:
    """A union of models that are each given the form in their own shape."""
    from pydantic import BeforeValidator, Tag

    bare, metadata = split_annotated(annotation)
    rest = iter(shapes)
    choices: list[Any] = []
    for member in union_members(bare):
        if member is type(None):
            choices.append(member)
            continue
        inner, of_member = split_annotated(member)
        tags = [item for item in of_member if isinstance(item, Tag)] or [Tag(inner.__name__)]
        choices.append(Annotated[member, BeforeValidator(next(rest).normal), tags[-1]])
    union: Any = Union[tuple(choices)]  # noqa: UP007 - made of a tuple
    return Annotated[(union, *metadata)] if metadata else union


def _as_sent(field: Field, bare: Any, metadata: tuple[Any, ...]) -> Any:
    """The class that needs no validation, or None."""
    outer = split_annotated(field.annotation)[1]
    if field.marker.constraints or any(item is not field.marker for item in (*metadata, *outer)):
        return None
    if is_sequence(bare):
        items = getattr(bare, "__args__", ())
        return _AS_SENT.get(items[0]) if concrete(bare) is list and items else None
    return _AS_SENT.get(bare)


def _sent(values: list[Any], many: bool) -> Any:
    """All values or the last one; MISSING if there is none."""
    if many:
        return [value for value in values if not _is_no_file(value)] or MISSING
    value = values[-1] if values else ""
    return MISSING if value == "" or _is_no_file(value) else value


def _is_no_file(value: Any) -> bool:
    """Whether this is what browsers send when no file was selected."""
    return isinstance(value, UploadFile) and value.filename == "" and value.size == 0


async def _content(value: str | UploadFile) -> bytes:
    """The content of a file from its current position, which doesn't change: other parameters may
    be the same file."""
    if isinstance(value, str):
        return value.encode(errors="replace")
    position = value.file.tell()
    try:
        return await value.read()
    finally:
        await value.seek(position)
