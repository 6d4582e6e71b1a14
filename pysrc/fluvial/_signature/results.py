"""From handlers' results to responses where more than the result's JSON is needed: response
classes, response models, statuses without content.
"""

from __future__ import annotations

import json
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, get_args

import msgspec

from .._messages.framing import WITHOUT_CONTENT
from .._validation.annotations import (
    concrete,
    is_class,
    is_model,
    needs_msgspec,
    split_annotated,
    walk,
    without_members,
)
from .._validation.containers import known_to_msgspec
from .._validation.declared_fields import declared_serializer, serializer_of
from .._validation.problems import problems_of
from .._validation.validators import StructValidator, make_adapter
from .._validation.write_json import (
    REFUSED,
    encode_fallback,
    for_models,
    plain,
    plain_once,
    to_json,
)
from ..exceptions import FluvialError, RequestValidationError, ResponseValidationError
from ..params import MISSING
from ..responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from ..sse import EventSourceResponse, ServerSentEvent
from .foreign import check_model
from .json_lines import JSONLinesResponse, lines_of
from .model_shapes import NOTHING_FITS, make_model_shape
from .shapes import Shape, make_shape, reducer_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import SchemaSerializer

Wrap = Callable[[Any], Response]
Encode = Callable[[Any], bytes]
_ITERATORS = (Generator, Iterable, Iterator)


class ModelOptions(TypedDict, total=False):
    """What to include of a model in the response; the same options as pydantic's `model_dump`."""

    include: Any
    exclude: Any
    by_alias: bool
    exclude_unset: bool
    exclude_defaults: bool
    exclude_none: bool


class NoContent(Response):
    """The response of a route whose status has no content; the handler's Response parameter may
    change that.

    `make` makes the function that wraps the handler's result, for another status.
    """

    def __init__(self, status_code: int, result: Any, make: Callable[[], Wrap | None]) -> None:
        super().__init__(status_code=status_code)
        self._result = result
        self._make = make

    def changed_to(self, status_code: int) -> Response:
        """The response with this status, and with the result if the status allows content."""
        if status_code in WITHOUT_CONTENT:
            self.status_code = status_code
            return self
        return make_respond(self._make(), status_code)(self._result)


class JSONWrap:
    """Makes a Response of a result by `encode`. C can do without: see `writers_of`."""

    def __init__(self, encode: Encode, status_code: int, media_type: str | None) -> None:
        self.encode = encode
        self._status_code = status_code
        self.media_type = media_type

    def __call__(self, result: Any) -> Response:
        return Response(self.encode(result), self._status_code, media_type=self.media_type)


class TextWrap:
    """Makes a response of a text. For str and bytes C can do without: see `writers_of`."""

    def __init__(self, cls: Any, status: Any) -> None:
        self._cls = cls
        self._status = status
        ((_, self.content_type),) = cls("").raw_headers

    def __call__(self, result: Any) -> Response:
        response: Response = self._cls(result, **self._status)
        return response


class Writers(TypedDict):
    """What a plan has to make a response of a result."""

    encode: Encode | None
    wrap: Wrap | None
    text: bytes | None


def writers_of(wrap: Wrap | None) -> Writers:
    """Plain JSON is written by C, which needs what makes the body only; so are texts."""
    if isinstance(wrap, JSONWrap) and wrap.media_type == JSONResponse.media_type:
        return {"encode": wrap.encode, "wrap": None, "text": None}
    text = wrap.content_type if isinstance(wrap, TextWrap) else None
    return {"encode": None, "wrap": wrap, "text": text}


def make_wrap(
    status_code: int | None,
    response_class: type[Response] | None,
    response_model: Any,
    annotation: Any,
    options: ModelOptions,
) -> Wrap | None:
    """Makes the function that turns a result into a Response; None if plain JSON will do.

    `response_model` is MISSING if the route doesn't set it. Then the return annotation is used, if
    it contains a model. With None, neither is used. Without `status_code`, the default of the
    response class applies.
    """
    if status_code is not None and status_code in WITHOUT_CONTENT:
        make = partial(make_wrap, None, response_class, response_model, annotation, options)
        return lambda result: NoContent(status_code, result, make)
    cls: Any = response_class or JSONResponse
    status: Any = {} if status_code is None else {"status_code": status_code}
    if issubclass(cls, StreamingResponse):
        return _stream_wrap(cls, status, response_model, annotation, options)
    encode = _model_encoder(response_model, annotation, options)
    if encode is None:
        if response_class is None:
            return None
        if _writes_json(cls):
            return lambda result: cls(json.loads(to_json(result)), **status)
        if cls in (PlainTextResponse, HTMLResponse):
            return TextWrap(cls, status)
        return lambda result: cls(result, **status)  # content, a URL, a path, an iterator
    if issubclass(cls, JSONResponse) and cls.render is JSONResponse.render:
        return JSONWrap(encode, status_code or 200, cls.media_type)
    return lambda result: cls(json.loads(encode(result)), **status)


def _writes_json(cls: type[Response]) -> bool:
    """Whether a class has its own code to write JSON. It gets what json.dumps() can write."""
    if cls.render in (Response.render, JSONResponse.render):
        return False
    name = cls.media_type or ""
    return issubclass(cls, JSONResponse) or name.endswith(("/json", "+json"))


def make_respond(wrap: Wrap | None, status_code: int) -> Wrap:
    """Makes a function that turns any result into a Response, even if it is one already."""

    def respond(result: Any) -> Response:
        if isinstance(result, Response):
            return result
        return JSONResponse(result, status_code) if wrap is None else wrap(result)

    return respond


def _stream_wrap(
    cls: Any, status: Any, response_model: Any, annotation: Any, options: ModelOptions
) -> Wrap:
    """As `make_wrap`, for streams. Each event's data may have a model; the pieces of other streams
    are bytes or str."""
    encode = None
    if issubclass(cls, (EventSourceResponse, JSONLinesResponse)):
        model = None if response_model is None else _items_of(response_model)
        encode = _model_encoder(model, _items_of(annotation), options)
    if cls is JSONLinesResponse:
        encode_item = encode or to_json
        return lambda result: cls(lines_of(result, encode_item), **status)
    if encode is None:
        return lambda result: cls(result, **status)
    encode_event = encode

    def wrap(result: Any) -> Response:
        response: EventSourceResponse = cls(result, **status)
        response.encode_data = encode_event
        return response

    return wrap


def _items_of(annotation: Any) -> Any:
    """The model of an iterator's items, without the types of events that the handler makes."""
    if concrete(annotation) in (*_ITERATORS, AsyncGenerator, AsyncIterable, AsyncIterator):
        annotation = next(iter(get_args(split_annotated(annotation)[0])), MISSING)
    return without_members(annotation, (ServerSentEvent, bytes), MISSING)


def returned_model(annotation: Any) -> Any:
    """The response model that FastAPI takes a return annotation for; MISSING if there is none.

    Raises: FluvialError for a Response in a union: FastAPI has no model for that.
    """
    if annotation in (MISSING, type(None)) or is_class(annotation, Response):
        return MISSING
    if concrete(annotation) in (*_ITERATORS, AsyncGenerator, AsyncIterable, AsyncIterator):
        return MISSING  # the type of what is streamed
    if without_members(annotation, (Response,), MISSING) is not annotation:
        raise FluvialError(
            f"{annotation!r} has a Response beside other types, so that it isn't a valid Pydantic "
            "field type: give the decorator the parameter response_model=None"
        )
    return annotation


def _model_encoder(response_model: Any, annotation: Any, options: ModelOptions) -> Encode | None:
    if response_model is not MISSING:
        check_model(response_model, "response_model")
        return None if response_model is None else _encoder_of(response_model, options)
    annotation = without_members(annotation, (Response,), MISSING)
    return _encoder_of(annotation, options) if has_model(annotation) else None


def has_model(annotation: Any) -> bool:
    """Whether a return annotation says which fields are sent."""
    return annotation is not MISSING and any(map(is_model, walk(annotation)))


def _encoder_of(model: Any, options: ModelOptions) -> Encode:
    if concrete(model) in _ITERATORS and (arguments := get_args(split_annotated(model)[0])):
        encode = _encoder_of(list[arguments[0]], options)  # type: ignore[valid-type]
        return lambda result: encode(list(result))
    structs = needs_msgspec(model)
    if options and structs:
        raise TypeError(
            f"response_model_{next(iter(options))} is not for Structs and attrs' classes: give "
            "response_model a class with the fields that are to be sent, or omit_defaults=True"
        )
    return (
        _msgspec_encoder(model) if structs else _ModelEncoder(make_adapter(model), options).encode
    )


class _ModelEncoder:
    """Writes results as a type that pydantic knows."""

    def __init__(self, adapter: TypeAdapter[Any], options: ModelOptions) -> None:
        self._adapter = adapter
        self._options = options
        self._by_alias = options.get("by_alias", True)
        self._dump: ModelOptions = {"by_alias": True, **options}
        self._fits = NOTHING_FITS
        self._complete = False

    def _prepare(self) -> None:
        """At the first result, once it is validated, the schema is complete, also that of classes
        that were defined later."""
        schema = self._adapter.core_schema
        self._serializer = declared_serializer(schema, reducer_of) or self._adapter.serializer
        to_json = self._serializer.to_json
        self._write = partial(to_json, **self._options) if self._options else to_json
        self._fits = make_model_shape(schema)
        self._complete = True

    def encode(self, result: Any) -> bytes:
        """`result` as JSON. Raises: ResponseValidationError when it doesn't match the type."""
        if self._fits.fits(result):
            try:
                return self._write(result, by_alias=self._by_alias, warnings=False)
            except ValueError:  # lone surrogates
                pass
        return self._encode_any(result)

    def _encode_any(self, result: Any) -> bytes:
        value = _validated(self._adapter, result)
        if not self._complete:
            self._prepare()
        serializer = self._serializer
        try:
            return serializer.to_json(value, warnings="error", **self._dump)
        except ValueError:
            value = _as_declared(self._adapter, serializer, value)
        try:
            return serializer.to_json(value, warnings=False, **self._dump)
        except ValueError:  # lone surrogates
            return to_json(serializer.to_python(value, warnings=False, **self._dump))


def _validated(adapter: TypeAdapter[Any], result: Any) -> Any:
    """`result` as the model. Raises: ResponseValidationError when it doesn't match the model."""
    try:
        return adapter.validate_python(result, from_attributes=True)
    except ValueError as exc:
        with suppress(ValueError):
            return adapter.validate_python(for_models(result), from_attributes=True)
        with suppress(ValueError, TypeError):  # objects of another class than the declared one
            return adapter.validate_python(json.loads(to_json(result)))
        raise _misfit(exc, result) from exc


def _as_declared(adapter: TypeAdapter[Any], serializer: SchemaSerializer, value: Any) -> Any:
    """`value`, or if its fields hold values of undeclared types, a new model made from its data.

    Such values would be written with all of their own fields.

    Raises: ResponseValidationError when the data doesn't match the model.
    """
    try:
        serializer.to_python(value, warnings="error")
    except (ValueError, AttributeError, TypeError):  # of TypeError: see _made_anew
        return _made_anew(adapter, value)
    return value


def _made_anew(adapter: TypeAdapter[Any], value: Any) -> Any:
    """A new model from the data of `value`.

    pydantic can't dump a set of models to Python: dicts can't be in a set. To JSON it can.
    """
    try:
        try:
            plain = adapter.dump_python(value, warnings=False, by_alias=False, exclude_unset=True)
        except AttributeError:  # only models know which of their fields were set
            plain = adapter.dump_python(value, warnings=False, by_alias=False)
        return adapter.validate_python(plain, from_attributes=True, by_name=True)
    except TypeError:
        text = adapter.dump_json(value, warnings=False, by_alias=False, exclude_unset=True)
        return adapter.validate_json(text, by_name=True)
    except ValueError as exc:
        with suppress(ValueError, TypeError):
            return adapter.validate_python(json.loads(to_json(value)), by_name=True)
        raise _misfit(exc, value) from exc


def _misfit(exc: Any, result: Any) -> ResponseValidationError:
    """The error to raise for one of pydantic's, or for RequestValidationError's."""
    errors = problems_of(exc, ("response",)) if hasattr(exc, "error_count") else ()
    return ResponseValidationError(errors, body=result, message=str(exc))


def _msgspec_encoder(model: Any) -> Encode:
    model = known_to_msgspec(model)
    validator = StructValidator(model, {}, lambda: make_adapter(model))
    shape, models = make_shape(validator.info)
    write = to_json if shape is None or not models else _writer_of(shape, models)

    fits = None if shape is None else shape.test.fits

    def encode(result: Any) -> bytes:
        if shape is not None and fits is not None and not fits(result):
            try:
                fields = msgspec.to_builtins(shape.reduce(result), enc_hook=plain)
                result = validator.from_python(fields, ("response",))
            except RequestValidationError as exc:
                raise ResponseValidationError(exc.errors(), body=result, message=str(exc)) from exc
        return write(result)

    return encode


def _writer_of(shape: Shape, models: list[Any]) -> Encode:
    """As to_json(), for what contains these pydantic models, of which no more is written than
    they declare."""
    known = frozenset(models)

    def hook(value: Any) -> Any:
        kind = type(value)
        if kind not in known:
            return plain_once(value)
        return serializer_of(kind, reducer_of).to_python(value, mode="json", by_alias=True)

    encoder = msgspec.json.Encoder(enc_hook=hook, decimal_format="number")

    def write(value: Any) -> bytes:
        try:
            return encoder.encode(value)
        except REFUSED:
            return encode_fallback(shape.reduce(value))

    return write
