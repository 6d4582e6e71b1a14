"""From handlers' results to responses, where plain JSON of the result isn't what is asked for:
response classes, response models, statuses without content.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypedDict

import msgspec

from ._encode import plain, to_json
from ._exceptions import RequestValidationError
from ._params import MISSING
from ._responses import JSONResponse, Response
from ._types import has_pydantic, has_struct, is_class, is_model, union_members, walk
from ._validate import MsgspecValidator, PydanticValidator

Wrap = Callable[[Any], Response]


class ModelOptions(TypedDict, total=False):
    """What of a model goes into the answer; as pydantic's `model_dump` takes it."""

    include: Any
    exclude: Any
    by_alias: bool
    exclude_unset: bool
    exclude_defaults: bool
    exclude_none: bool


class ResponseValidationError(Exception):
    """A handler's result doesn't fit the route's response model: answered with 500."""


def make_wrap(
    status_code: int | None,
    response_class: type[Response] | None,
    response_model: Any,
    annotation: Any,
    options: ModelOptions,
) -> Wrap | None:
    """What makes a Response of a result; None where the result's own JSON is the answer.

    `response_model` is MISSING when the route says nothing, then the return annotation counts
    where it names a model; None switches both off. Without `status_code` the class's own holds.
    """
    if status_code in (204, 205, 304):
        return lambda result: Response(status_code=status_code)
    encode = _model_encoder(response_model, annotation, options)
    cls: Any = response_class or JSONResponse
    status: Any = {} if status_code is None else {"status_code": status_code}
    if encode is None:
        if response_class is None:
            return None
        return lambda result: cls(result, **status)  # content, a URL, a path, an iterator
    if issubclass(cls, JSONResponse) and cls.render is JSONResponse.render:
        return _json_wrap(encode, cls, status_code or 200)
    return lambda result: cls(json.loads(encode(result)), **status)


def make_respond(wrap: Wrap | None, status_code: int) -> Wrap:
    """What makes a Response of any result, also of one that is a Response already."""

    def respond(result: Any) -> Response:
        if isinstance(result, Response):
            return result
        return JSONResponse(result, status_code) if wrap is None else wrap(result)

    return respond


def _json_wrap(encode: Callable[[Any], bytes], cls: type[JSONResponse], status_code: int) -> Wrap:
    def wrap(result: Any) -> Response:
        return Response(encode(result), status_code, media_type=cls.media_type)

    return wrap


def _model_encoder(
    response_model: Any, annotation: Any, options: ModelOptions
) -> Callable[[Any], bytes] | None:
    if response_model is not MISSING:
        return None if response_model is None else _encoder_of(response_model, options)
    if annotation is MISSING or not any(map(is_model, walk(annotation))):
        return None
    if any(is_class(member, Response) for member in union_members(annotation)):
        return None
    return _encoder_of(annotation, options)


def _encoder_of(model: Any, options: ModelOptions) -> Callable[[Any], bytes]:
    if options or (has_pydantic(model) and not has_struct(model)):
        return _pydantic_encoder(model, options)
    return _msgspec_encoder(model)


def _pydantic_encoder(model: Any, options: ModelOptions) -> Callable[[Any], bytes]:
    adapter = PydanticValidator(model, {}).adapter
    dump: ModelOptions = {"by_alias": True, **options}

    def encode(result: Any) -> bytes:
        try:
            value = adapter.validate_python(result, from_attributes=True)
        except ValueError as exc:
            raise ResponseValidationError(str(exc)) from exc
        try:
            return adapter.dump_json(value, warnings=False, **dump)
        except ValueError:  # lone surrogates
            return to_json(adapter.dump_python(value, warnings=False, **dump))

    return encode


def _msgspec_encoder(model: Any) -> Callable[[Any], bytes]:
    validator = MsgspecValidator(model, {})

    def encode(result: Any) -> bytes:
        if type(result) is not model:
            fields = msgspec.to_builtins(result, enc_hook=plain)
            try:
                result = validator.from_python(fields, ("response",))
            except RequestValidationError as exc:
                raise ResponseValidationError(str(exc)) from exc
        return to_json(result)

    return encode
